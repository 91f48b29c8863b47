//! Bodies of triggers and rules. Pure.

use serde_json::{Map, Value};

use super::common::{Common, updated};
use super::parse::parse_name;
use crate::api::ApiError;
use crate::link::{Rule, Trigger};
use crate::name::FullName;
use crate::settings::Bounds;

/// A checked body of `PUT triggers/{name}`.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerPut(Common);

impl TriggerPut {
    /// Checks a body.
    ///
    /// # Errors
    /// [`ApiError`] with the real server's words.
    pub fn parse(body: &Map<String, Value>, bounds: &Bounds) -> Result<Self, ApiError> {
        let common = Common::parse(body)?;
        common.check_sizes(bounds)?;
        Ok(Self(common))
    }

    /// Applies it to `old`, or makes a new trigger. What is not given is kept, the rules in any case.
    pub fn apply(self, old: Option<&Trigger>, name: &FullName, now: i64) -> Trigger {
        let common = self.0;
        Trigger {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            version: common.next_version(old.map(|old| old.version)),
            publish: common
                .publish
                .unwrap_or_else(|| old.is_some_and(|old| old.publish)),
            parameters: common
                .parameters
                .unwrap_or_else(|| old.map(|old| old.parameters.clone()).unwrap_or_default()),
            annotations: common
                .annotations
                .unwrap_or_else(|| old.map(|old| old.annotations.clone()).unwrap_or_default()),
            rules: old.map(|old| old.rules.clone()).unwrap_or_default(),
            updated: updated(now, old.map(|old| old.updated)),
        }
    }
}

/// A checked body of `PUT rules/{name}`.
#[derive(Debug, Clone, PartialEq)]
pub struct RulePut {
    /// The trigger; kept as it is when absent.
    pub trigger: Option<FullName>,
    /// The action; kept as it is when absent.
    pub action: Option<FullName>,
    common: Common,
}

impl RulePut {
    /// Checks a body.
    ///
    /// # Errors
    /// [`ApiError`] with the real server's words.
    pub fn parse(
        body: &Map<String, Value>,
        own_namespace: &str,
        bounds: &Bounds,
    ) -> Result<Self, ApiError> {
        let name = |field: &str| match body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => parse_name(value, own_namespace).map(Some),
        };
        let put = Self {
            trigger: name("trigger")?,
            action: name("action")?,
            common: Common::parse(body)?,
        };
        put.common.check_sizes(bounds)?;
        Ok(put)
    }

    /// Applies it to `old`, or makes a new rule.
    ///
    /// # Errors
    /// [`ApiError`] for a new rule without trigger or action.
    pub fn apply(self, old: Option<&Rule>, name: &FullName, now: i64) -> Result<Rule, ApiError> {
        let trigger = self.trigger.or_else(|| old.map(|old| old.trigger.clone()));
        let action = self.action.or_else(|| old.map(|old| old.action.clone()));
        let (Some(trigger), Some(action)) = (trigger, action) else {
            return Err(ApiError::rejected(
                400,
                "rule requires a valid trigger and a valid action",
            ));
        };
        Ok(Rule {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            version: self.common.next_version(old.map(|old| old.version)),
            publish: self
                .common
                .publish
                .unwrap_or_else(|| old.is_some_and(|old| old.publish)),
            annotations: self
                .common
                .annotations
                .unwrap_or_else(|| old.map(|old| old.annotations.clone()).unwrap_or_default()),
            trigger,
            action,
            updated: updated(now, old.map(|old| old.updated)),
        })
    }
}

/// The state in a body of `POST rules/{name}`: whether the rule is to be active.
///
/// # Errors
/// [`ApiError`] for anything but `active` and `inactive`.
pub fn parse_status(body: &Map<String, Value>) -> Result<bool, ApiError> {
    match body.get("status") {
        Some(Value::String(state)) if state == "active" => Ok(true),
        Some(Value::String(state)) if state == "inactive" => Ok(false),
        Some(Value::String(state)) => Err(ApiError::malformed(format!(
            "requirement failed: {state} is not a recognized rule state"
        ))),
        _ => Err(ApiError::malformed(
            "'status' must be a string: 'active' or 'inactive'",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn name(name: &str) -> FullName {
        FullName {
            namespace: "me".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn an_update_of_a_trigger_keeps_what_it_does_not_name_and_its_rules() {
        let put = |body| TriggerPut::parse(&object(body), &Bounds::default()).unwrap();
        let mut first =
            put(json!({ "parameters": [{ "key": "a", "value": 1 }] })).apply(None, &name("t"), 10);
        first.rules.insert("r".to_owned(), true);
        let second = put(json!({ "annotations": [{ "key": "feed", "value": "/_/f" }] })).apply(
            Some(&first),
            &name("t"),
            5,
        );
        assert_eq!(second.version.to_string(), "0.0.2");
        assert_eq!(
            (&second.parameters, &second.rules),
            (&first.parameters, &first.rules)
        );
        assert!(second.updated > first.updated);
    }

    #[test]
    fn a_rule_needs_full_names_of_both_and_a_change_of_one() {
        let put = |body| RulePut::parse(&object(body), "me", &Bounds::default());
        let missing = put(json!({ "action": "/_/a" })).unwrap();
        assert_eq!(missing.apply(None, &name("r"), 0).unwrap_err().status, 400);
        let bare = put(json!({ "trigger": "t", "action": "/_/a" })).unwrap_err();
        assert!(bare.message.contains("fully qualified"), "{}", bare.message);
        let rule = put(json!({ "trigger": "/_/t", "action": "other/p/a" }))
            .unwrap()
            .apply(None, &name("r"), 0)
            .unwrap();
        assert_eq!(
            (rule.trigger.to_string(), rule.action.to_string()),
            ("me/t".to_owned(), "other/p/a".to_owned())
        );
        let changed = put(json!({ "action": "/_/b" }))
            .unwrap()
            .apply(Some(&rule), &name("r"), 0)
            .unwrap();
        assert_eq!(
            (changed.trigger.clone(), changed.action.to_string()),
            (rule.trigger.clone(), "me/b".to_owned())
        );
    }

    #[test]
    fn states() {
        let state = |body| parse_status(&object(body));
        assert_eq!(state(json!({ "status": "active" })), Ok(true));
        assert_eq!(state(json!({ "status": "inactive" })), Ok(false));
        let error = state(json!({ "status": "weird" })).unwrap_err();
        assert!(
            error
                .message
                .ends_with("weird is not a recognized rule state")
        );
        assert_eq!(state(json!({})).unwrap_err().status, 400);
    }
}
