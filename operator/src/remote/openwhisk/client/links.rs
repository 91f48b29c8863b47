//! Triggers and rules.

use reqwest::Method;
use serde_json::{Value, json};

use super::{WhiskClient, parse, to_json};
use crate::remote::openwhisk::error::WhiskError;
use crate::remote::openwhisk::model::{RulePut, RuleRecord, TriggerPut, TriggerRecord};
use crate::url::percent_encoded;

fn path(collection: &str, name: &str) -> String {
    format!(
        "/api/v1/namespaces/_/{collection}/{}",
        percent_encoded(name)
    )
}

impl WhiskClient {
    /// A trigger, or `None`.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn trigger(&self, name: &str) -> Result<Option<TriggerRecord>, WhiskError> {
        let asked = format!("read trigger {name}");
        match self
            .call(Method::GET, &path("triggers", name), None, &asked)
            .await
        {
            Err(error) if error.is_not_found() => Ok(None),
            result => parse(&result?, &asked).map(Some),
        }
    }

    /// Creates a trigger, or changes what `put` gives. Its rules stay.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn put_trigger(
        &self,
        name: &str,
        put: &TriggerPut,
    ) -> Result<TriggerRecord, WhiskError> {
        let asked = format!("write trigger {name}");
        let path = format!("{}?overwrite=true", path("triggers", name));
        let body = to_json(put, &asked)?;
        parse(
            &self.call(Method::PUT, &path, Some(body), &asked).await?,
            &asked,
        )
    }

    /// Deletes a trigger; its rules become inactive. `false` when there was none.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn delete_trigger(&self, name: &str) -> Result<bool, WhiskError> {
        self.delete("triggers", "trigger", name).await
    }

    /// Fires a trigger. Returns the id of its activation, whose log has a line for each rule; `None` when no rule is
    /// active.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn fire(&self, name: &str, event: &Value) -> Result<Option<String>, WhiskError> {
        let asked = format!("fire trigger {name}");
        let body = to_json(event, &asked)?;
        let bytes = self
            .call(Method::POST, &path("triggers", name), Some(body), &asked)
            .await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let answer: Value = parse(&bytes, &asked)?;
        match answer.get("activationId").and_then(Value::as_str) {
            Some(id) => Ok(Some(id.to_owned())),
            None => Err(WhiskError::Answer {
                asked,
                problem: "no activationId".to_owned(),
            }),
        }
    }

    /// A rule, or `None`.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn rule(&self, name: &str) -> Result<Option<RuleRecord>, WhiskError> {
        let asked = format!("read rule {name}");
        match self
            .call(Method::GET, &path("rules", name), None, &asked)
            .await
        {
            Err(error) if error.is_not_found() => Ok(None),
            result => parse(&result?, &asked).map(Some),
        }
    }

    /// Creates a rule, which is active then, or changes one, which stays as active as it was.
    ///
    /// # Errors
    /// [`WhiskError`]; of class `Invalid` when there is no such trigger or action.
    pub async fn put_rule(&self, name: &str, put: &RulePut) -> Result<RuleRecord, WhiskError> {
        let asked = format!("write rule {name}");
        let path = format!("{}?overwrite=true", path("rules", name));
        let body = to_json(put, &asked)?;
        parse(
            &self.call(Method::PUT, &path, Some(body), &asked).await?,
            &asked,
        )
    }

    /// Makes a rule active or inactive.
    ///
    /// # Errors
    /// [`WhiskError`]; of class `NotFound` when the rule or its trigger is not there.
    pub async fn set_rule_active(&self, name: &str, active: bool) -> Result<(), WhiskError> {
        let state = if active { "active" } else { "inactive" };
        let asked = format!("make rule {name} {state}");
        let body = to_json(&json!({ "status": state }), &asked)?;
        self.call(Method::POST, &path("rules", name), Some(body), &asked)
            .await
            .map(drop)
    }

    /// Deletes a rule; `false` when there was none.
    ///
    /// # Errors
    /// [`WhiskError`].
    pub async fn delete_rule(&self, name: &str) -> Result<bool, WhiskError> {
        self.delete("rules", "rule", name).await
    }

    async fn delete(&self, collection: &str, what: &str, name: &str) -> Result<bool, WhiskError> {
        let asked = format!("delete {what} {name}");
        match self
            .call(Method::DELETE, &path(collection, name), None, &asked)
            .await
        {
            Err(error) if error.is_not_found() => Ok(false),
            result => result.map(|_| true),
        }
    }
}
