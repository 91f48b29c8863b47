//! Triggers and rules as they are kept, and how the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::action::{Parameter, Version};
use crate::name::FullName;

/// A trigger: a named channel of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version; its last number rises with each change.
    pub version: Version,
    /// Shared with everybody; kept, without an effect here.
    pub publish: bool,
    /// Parameters that every event has, unless it brings its own.
    pub parameters: Vec<Parameter>,
    /// Annotations.
    pub annotations: Vec<Parameter>,
    /// The rules that listen, by their names in the trigger's namespace, and whether each is active.
    /// They are kept here so that a trigger and the states of its rules change, and go, together.
    pub rules: BTreeMap<String, bool>,
    /// Time of the last change, ms since 1970.
    pub updated: i64,
}

/// A rule: an action that runs at each event of a trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version; its last number rises with each change.
    pub version: Version,
    /// Shared with everybody; kept, without an effect here.
    pub publish: bool,
    /// Annotations.
    pub annotations: Vec<Parameter>,
    /// The trigger it listens to.
    pub trigger: FullName,
    /// The action it runs.
    pub action: FullName,
    /// Time of the last change, ms since 1970.
    pub updated: i64,
}

/// The word for a rule's state.
fn state(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

fn reference(name: &FullName) -> Value {
    json!({ "name": name.leaf(), "path": name.path() })
}

impl Trigger {
    /// Namespace and name.
    pub fn full_name(&self) -> FullName {
        FullName {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The trigger as a client sees it; `rules` are those that listen to it.
    pub fn view<'a>(&self, rules: impl Iterator<Item = &'a Rule>) -> Value {
        let mut view = self.summary();
        view.insert("limits".to_owned(), json!({}));
        view.insert("parameters".to_owned(), json!(self.parameters));
        let rules: Map<String, Value> = rules
            .filter_map(|rule| {
                let active = self.rules.get(&rule.name)?;
                let shown = json!({ "action": reference(&rule.action), "status": state(*active) });
                Some((rule.full_name().to_string(), shown))
            })
            .collect();
        if !rules.is_empty() {
            view.insert("rules".to_owned(), Value::Object(rules));
        }
        Value::Object(view)
    }

    /// The trigger as lists show it.
    pub fn summary(&self) -> Map<String, Value> {
        let mut view = Map::new();
        view.insert("annotations".to_owned(), json!(self.annotations));
        view.insert("name".to_owned(), json!(self.name));
        view.insert("namespace".to_owned(), json!(self.namespace));
        view.insert("publish".to_owned(), json!(self.publish));
        view.insert("updated".to_owned(), json!(self.updated));
        view.insert("version".to_owned(), json!(self.version));
        view
    }
}

impl Rule {
    /// Namespace and name.
    pub fn full_name(&self) -> FullName {
        FullName {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The rule as a client sees it.
    pub fn view(&self, active: bool) -> Value {
        let mut view = self.summary();
        view.insert("status".to_owned(), json!(state(active)));
        Value::Object(view)
    }

    /// The rule as lists show it: without its state, as the real server has it.
    pub fn summary(&self) -> Map<String, Value> {
        let mut view = Map::new();
        view.insert("action".to_owned(), reference(&self.action));
        view.insert("annotations".to_owned(), json!(self.annotations));
        view.insert("name".to_owned(), json!(self.name));
        view.insert("namespace".to_owned(), json!(self.namespace));
        view.insert("publish".to_owned(), json!(self.publish));
        view.insert("trigger".to_owned(), reference(&self.trigger));
        view.insert("updated".to_owned(), json!(self.updated));
        view.insert("version".to_owned(), json!(self.version));
        view
    }
}

/// What became of one rule of a fire; a line of the log of the trigger's activation.
#[derive(Debug, Serialize)]
pub struct RuleResult {
    /// As the status codes of activations: 0 when the action was started.
    #[serde(rename = "statusCode")]
    status_code: u8,
    success: bool,
    #[serde(rename = "activationId", skip_serializing_if = "Option::is_none")]
    activation_id: Option<String>,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    action: String,
}

impl RuleResult {
    /// The rule's action was started.
    pub fn started(rule: &Rule, activation: &str) -> Self {
        Self {
            status_code: 0,
            success: true,
            activation_id: Some(activation.to_owned()),
            rule: rule.full_name().to_string(),
            error: None,
            action: rule.action.to_string(),
        }
    }

    /// The rule's action was not started. The fault is the server's own when `internal`.
    pub fn failed(rule: &Rule, internal: bool, error: impl Into<String>) -> Self {
        Self {
            status_code: if internal { 3 } else { 1 },
            success: false,
            activation_id: None,
            rule: rule.full_name().to_string(),
            error: Some(error.into()),
            action: rule.action.to_string(),
        }
    }

    /// An inactive rule starts nothing.
    pub fn inactive(rule: &Rule) -> Self {
        let text = format!(
            "Rule '{}' is inactive, action '{}' was not activated.",
            rule.full_name(),
            rule.action
        );
        Self::failed(rule, false, text)
    }

    /// The line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are the real server's, the order of their fields too.
    #[test]
    fn lines_of_rules() {
        let name = |name: &str| FullName {
            namespace: "guest".to_owned(),
            name: name.to_owned(),
        };
        let rule = Rule {
            namespace: "guest".to_owned(),
            name: "r".to_owned(),
            version: Version::FIRST,
            publish: false,
            annotations: Vec::new(),
            trigger: name("t"),
            action: name("p1/inner"),
            updated: 0,
        };
        assert_eq!(
            RuleResult::started(&rule, "224a").line(),
            r#"{"statusCode":0,"success":true,"activationId":"224a","rule":"guest/r","action":"guest/p1/inner"}"#
        );
        assert_eq!(
            RuleResult::inactive(&rule).line(),
            r#"{"statusCode":1,"success":false,"rule":"guest/r","error":"Rule 'guest/r' is inactive, action 'guest/p1/inner' was not activated.","action":"guest/p1/inner"}"#
        );
        assert_eq!(
            rule.view(true)["action"],
            json!({ "name": "inner", "path": "guest/p1" })
        );
    }
}
