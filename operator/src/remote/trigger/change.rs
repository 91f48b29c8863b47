//! What has to change to make a trigger as it is asked for. Pure. No change holds the value of a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::remote::openwhisk::{
    Difference, TriggerPut, TriggerRecord, annotation_text, key_values, parameter_differences,
};
use crate::remote::pipeline::Plan;

/// A trigger as it is asked for.
#[derive(Clone, PartialEq)]
pub struct WantedTrigger {
    /// Its name in OpenWhisk.
    pub name: String,
    /// Parameters of every event.
    pub parameters: BTreeMap<String, Value>,
    /// Annotations. There are no others: OpenWhisk adds none of its own to a trigger.
    pub annotations: BTreeMap<String, Value>,
}

/// One change of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerChange {
    /// There is none of that name.
    Create {
        /// The trigger.
        trigger: String,
    },
    /// A parameter differs.
    Parameter {
        /// The trigger.
        trigger: String,
        /// The parameter.
        key: String,
        /// How.
        difference: Difference,
    },
    /// An annotation differs.
    Annotation {
        /// The trigger.
        trigger: String,
        /// The annotation.
        key: String,
        /// The value it has.
        from: Option<String>,
        /// The value it shall have; none to remove it.
        to: Option<String>,
    },
}

impl fmt::Display for TriggerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TriggerChange::Create { trigger } => write!(f, "create trigger {trigger}"),
            TriggerChange::Parameter {
                trigger,
                key,
                difference,
            } => write!(f, "trigger {trigger}: parameter {key} is {difference}"),
            TriggerChange::Annotation {
                trigger,
                key,
                from,
                to,
            } => write!(
                f,
                "trigger {trigger}: annotation {key}: {} → {}",
                from.as_deref().unwrap_or("(none)"),
                to.as_deref().unwrap_or("(none)")
            ),
        }
    }
}

/// Compares.
#[must_use]
pub fn diff(wanted: &WantedTrigger, observed: Option<&TriggerRecord>) -> Plan<TriggerChange> {
    let mut plan = Plan::default();
    let trigger = wanted.name.clone();
    let Some(observed) = observed else {
        plan.changes.push(TriggerChange::Create { trigger });
        return plan;
    };
    let parameters = parameter_differences(&wanted.parameters, &observed.parameters);
    plan.changes.extend(
        parameters
            .into_iter()
            .map(|(key, difference)| TriggerChange::Parameter {
                trigger: trigger.clone(),
                key,
                difference,
            }),
    );
    let has: BTreeMap<&str, &Value> = observed
        .annotations
        .iter()
        .map(|annotation| (annotation.key.as_str(), &annotation.value))
        .collect();
    let keys: BTreeSet<&str> = has
        .keys()
        .copied()
        .chain(wanted.annotations.keys().map(String::as_str))
        .collect();
    for key in keys {
        let (from, to) = (has.get(key).copied(), wanted.annotations.get(key));
        if from == to {
            continue;
        }
        plan.changes.push(TriggerChange::Annotation {
            trigger: trigger.clone(),
            key: key.to_owned(),
            from: from.map(annotation_text),
            to: to.map(annotation_text),
        });
    }
    plan
}

/// One request that makes all changes: only what differs is sent, the server keeps the rest.
pub(super) fn put_for(wanted: &WantedTrigger, changes: &[TriggerChange]) -> TriggerPut {
    let mut put = TriggerPut::default();
    for change in changes {
        let created = matches!(change, TriggerChange::Create { .. });
        if created || matches!(change, TriggerChange::Parameter { .. }) {
            put.parameters = Some(key_values(wanted.parameters.clone()));
        }
        if created || matches!(change, TriggerChange::Annotation { .. }) {
            put.annotations = Some(key_values(wanted.annotations.clone()));
        }
    }
    put
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted() -> WantedTrigger {
        WantedTrigger {
            name: "alerts".to_owned(),
            parameters: BTreeMap::from([("token".to_owned(), json!("s3cret"))]),
            annotations: BTreeMap::from([("owner".to_owned(), json!("fleet"))]),
        }
    }

    fn record(parameters: Value, annotations: Value) -> TriggerRecord {
        serde_json::from_value(
            json!({"name": "alerts", "namespace": "guest", "version": "0.0.1",
            "parameters": parameters, "annotations": annotations}),
        )
        .unwrap()
    }

    #[test]
    fn what_is_as_asked_for_is_left_alone() {
        let record = record(
            json!([{"key": "token", "value": "s3cret"}]),
            json!([{"key": "owner", "value": "fleet"}]),
        );
        assert!(diff(&wanted(), Some(&record)).is_settled());
    }

    #[test]
    fn each_difference_is_told_without_values_of_parameters_and_sent_once() {
        let other = record(
            json!([{"key": "token", "value": "old-secret"}, {"key": "more", "value": 1}]),
            json!([{"key": "owner", "value": {"team": 7}}, {"key": "feed", "value": "/_/f"}]),
        );
        let plan = diff(&wanted(), Some(&other));
        assert_eq!(
            plan.to_string(),
            "trigger alerts: parameter token is changed\n\
             trigger alerts: parameter more is removed\n\
             trigger alerts: annotation feed: /_/f → (none)\n\
             trigger alerts: annotation owner: {\"team\":7} → fleet"
        );
        let put = serde_json::to_value(put_for(&wanted(), &plan.changes)).unwrap();
        assert_eq!(
            put,
            json!({"parameters": [{"key": "token", "value": "s3cret"}], "annotations": [{"key": "owner", "value": "fleet"}]})
        );
        let only = put_for(&wanted(), &plan.changes[..1]);
        assert!(only.annotations.is_none());
        assert_eq!(diff(&wanted(), None).to_string(), "create trigger alerts");
    }
}
