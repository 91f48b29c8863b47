//! The REST client.

mod activations;
mod links;

use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::WhiskError;
use super::model::{ActionPut, ActionRecord, Activation, Invocation, Invoked};
use crate::remote::code::Roots;
use crate::remote::transport::{Request, Transport, basic};
use crate::url::percent_encoded;

/// Most that a server lists at once.
const LIST_MAX: usize = 200;
/// A blocking invocation is answered after at most a minute by the server; leave it time to say so.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(75);

/// A client of one namespace of one OpenWhisk.
#[derive(Clone)]
pub struct WhiskClient {
    transport: Transport,
    base: String,
    /// The value of the `Authorization` header. Never shown.
    authorization: String,
}

impl std::fmt::Debug for WhiskClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhiskClient")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl WhiskClient {
    /// A client of the server at `uri` (`http://host:port` or `https://host:port`) for the owner of `user:key`. Over https the
    /// authorities of the system are trusted.
    ///
    /// # Errors
    /// [`WhiskError::Address`].
    pub fn new(uri: &str, user: &str, key: &str, timeout: Duration) -> Result<Self, WhiskError> {
        Self::trusting(uri, user, key, timeout, &Roots::System)
    }

    /// The same, with the authorities that are trusted over https.
    ///
    /// # Errors
    /// [`WhiskError::Address`].
    pub fn trusting(
        uri: &str,
        user: &str,
        key: &str,
        timeout: Duration,
        roots: &Roots,
    ) -> Result<Self, WhiskError> {
        let wrong = |problem: String| WhiskError::Address {
            value: uri.to_owned(),
            problem,
        };
        let base = uri.trim().trim_end_matches('/');
        let parsed = reqwest::Url::parse(base).map_err(|e| wrong(e.to_string()))?;
        Ok(WhiskClient {
            transport: Transport::new(parsed.scheme(), timeout, roots).map_err(wrong)?,
            base: base.to_owned(),
            authorization: basic(user, key),
        })
    }

    /// An action, or `None`. The code comes along only when asked for.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn action(
        &self,
        name: &str,
        with_code: bool,
    ) -> Result<Option<ActionRecord>, WhiskError> {
        let asked = format!("read action {name}");
        let path = format!("{}?code={with_code}", action_path(name));
        match self.call(Method::GET, &path, None, &asked).await {
            Err(error) if error.is_not_found() => Ok(None),
            result => parse(&result?, &asked).map(Some),
        }
    }

    /// Creates an action, or changes what `put` gives when `overwrite` is set.
    ///
    /// # Errors
    /// [`WhiskError`]; of class `Conflict` when it exists and `overwrite` is not set.
    pub async fn put_action(
        &self,
        name: &str,
        put: &ActionPut,
        overwrite: bool,
    ) -> Result<ActionRecord, WhiskError> {
        let asked = format!("write action {name}");
        let body = to_json(put, &asked)?;
        let path = format!("{}?overwrite={overwrite}", action_path(name));
        parse(
            &self.call(Method::PUT, &path, Some(body), &asked).await?,
            &asked,
        )
    }

    /// Deletes an action; `false` when there was none.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn delete_action(&self, name: &str) -> Result<bool, WhiskError> {
        let asked = format!("delete action {name}");
        match self
            .call(Method::DELETE, &action_path(name), None, &asked)
            .await
        {
            Err(error) if error.is_not_found() => Ok(false),
            result => result.map(|_| true),
        }
    }

    /// All actions of the namespace, without code and parameters.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn actions(&self) -> Result<Vec<ActionRecord>, WhiskError> {
        let asked = "list actions";
        let mut all = Vec::new();
        loop {
            let path = format!(
                "/api/v1/namespaces/_/actions?limit={LIST_MAX}&skip={}",
                all.len()
            );
            let page: Vec<ActionRecord> =
                parse(&self.call(Method::GET, &path, None, asked).await?, asked)?;
            let last = page.len() < LIST_MAX;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Invokes an action. A failed activation is an answer, not an error: see its record.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn invoke(
        &self,
        name: &str,
        arguments: &Value,
        how: Invocation,
    ) -> Result<Invoked, WhiskError> {
        let asked = format!("invoke action {name}");
        let mut path = format!("{}?blocking={}", action_path(name), how.blocking);
        if let Some(timeout) = how.timeout_ms {
            path.push_str(&format!("&timeout={timeout}"));
        }
        let body = to_json(arguments, &asked)?;
        let mut request = self.request(Method::POST, &path, Some(body));
        request.timeout = Some(INVOKE_TIMEOUT);
        let (status, bytes) = self.send(request, &asked).await?;
        match status {
            200 => parse(&bytes, &asked).map(Invoked::Finished),
            202 => {
                let answer: Value = parse(&bytes, &asked)?;
                match answer.get("activationId").and_then(Value::as_str) {
                    Some(id) => Ok(Invoked::Started(id.to_owned())),
                    None => Err(WhiskError::Answer {
                        asked,
                        problem: "no activationId".to_owned(),
                    }),
                }
            }
            // Errors of the action come as 502 with the whole record, those of the server without one.
            502 => match serde_json::from_slice::<Activation>(&bytes) {
                Ok(record) => Ok(Invoked::Finished(record)),
                Err(_) => Err(WhiskError::refused(&asked, 502, &bytes)),
            },
            other => Err(WhiskError::refused(&asked, other, &bytes)),
        }
    }

    /// The record of an activation, or `None` while it is not there yet.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn activation(&self, id: &str) -> Result<Option<Activation>, WhiskError> {
        let asked = format!("read activation {id}");
        let path = format!("/api/v1/namespaces/_/activations/{}", percent_encoded(id));
        match self.call(Method::GET, &path, None, &asked).await {
            Err(error) if error.is_not_found() => Ok(None),
            result => parse(&result?, &asked).map(Some),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Request {
        Request {
            method,
            url: format!("{}{path}", self.base),
            authorization: Some(self.authorization.clone()),
            body,
            timeout: None,
        }
    }

    async fn send(&self, request: Request, asked: &str) -> Result<(u16, Vec<u8>), WhiskError> {
        let sent = self.transport.send(request).await;
        sent.map_err(|problem| WhiskError::Unreachable {
            address: self.base.clone(),
            asked: asked.to_owned(),
            problem,
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        asked: &str,
    ) -> Result<Vec<u8>, WhiskError> {
        let (status, bytes) = self.send(self.request(method, path, body), asked).await?;
        if (200..300).contains(&status) {
            Ok(bytes)
        } else {
            Err(WhiskError::refused(asked, status, &bytes))
        }
    }
}

fn to_json<T: serde::Serialize>(value: &T, asked: &str) -> Result<Vec<u8>, WhiskError> {
    serde_json::to_vec(value).map_err(|e| WhiskError::Answer {
        asked: asked.to_owned(),
        problem: format!("the request cannot be written as JSON: {e}"),
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8], asked: &str) -> Result<T, WhiskError> {
    serde_json::from_slice(bytes).map_err(|e| WhiskError::Answer {
        asked: asked.to_owned(),
        problem: e.to_string(),
    })
}

/// The path of an action; `package/name` names a packaged one.
fn action_path(name: &str) -> String {
    let name: Vec<String> = name.split('/').map(percent_encoded).collect();
    format!("/api/v1/namespaces/_/actions/{}", name.join("/"))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
