//! What became of activations.

use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{WhiskClient, parse};
use crate::remote::openwhisk::error::WhiskError;
use crate::remote::openwhisk::model::{ActivationResponse, Fire, ListedActivation};
use crate::url::percent_encoded;

impl WhiskClient {
    /// The last activations of that name that have a record, the newest first, 200 at most; `package/name` for a packaged
    /// action. Actions and triggers may have the same name.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn last_activations(
        &self,
        name: &str,
        limit: usize,
    ) -> Result<Vec<ListedActivation>, WhiskError> {
        self.last(name, limit, false).await
    }

    /// The same of a trigger, with what became of its rules. The events come along over the wire: up to 1 MiB each.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn last_fires(&self, trigger: &str, limit: usize) -> Result<Vec<Fire>, WhiskError> {
        self.last(trigger, limit, true).await
    }

    /// What came of an activation, without its log, or `None` when there is no record of it.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn activation_response(
        &self,
        id: &str,
    ) -> Result<Option<ActivationResponse>, WhiskError> {
        let asked = format!("read the result of activation {id}");
        let id = percent_encoded(id);
        let path = format!("/api/v1/namespaces/_/activations/{id}/result");
        match self.call(Method::GET, &path, None, &asked).await {
            Err(error) if error.is_not_found() => Ok(None),
            result => parse(&result?, &asked).map(Some),
        }
    }

    async fn last<T: DeserializeOwned>(
        &self,
        name: &str,
        limit: usize,
        docs: bool,
    ) -> Result<Vec<T>, WhiskError> {
        let asked = format!("list activations of {name}");
        let name = percent_encoded(name);
        let path =
            format!("/api/v1/namespaces/_/activations?name={name}&limit={limit}&docs={docs}");
        parse(&self.call(Method::GET, &path, None, &asked).await?, &asked)
    }
}
