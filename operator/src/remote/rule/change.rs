//! What has to change to make a rule as it is asked for. Pure.

use std::fmt;

use crate::remote::openwhisk::RuleRecord;
use crate::remote::pipeline::Plan;

/// A rule as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRule {
    /// Its name in OpenWhisk.
    pub name: String,
    /// The trigger that it listens to.
    pub trigger: String,
    /// The action that it runs; `package/name` for a packaged one.
    pub action: String,
    /// Whether it runs it.
    pub active: bool,
}

/// One change of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange {
    /// There is none of that name.
    Create {
        /// The rule.
        rule: String,
        /// The trigger.
        trigger: String,
        /// The action.
        action: String,
    },
    /// It listens to another trigger, or runs another action.
    Connect {
        /// The rule.
        rule: String,
        /// Trigger and action that it has.
        from: (String, String),
        /// Trigger and action that it shall have.
        to: (String, String),
    },
    /// It is to be active, or not any more.
    Active {
        /// The rule.
        rule: String,
        /// Whether it shall be.
        active: bool,
    },
}

impl fmt::Display for RuleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleChange::Create {
                rule,
                trigger,
                action,
            } => write!(f, "create rule {rule}: {trigger} runs {action}"),
            RuleChange::Connect { rule, from, to } => write!(
                f,
                "rule {rule}: {} runs {} → {} runs {}",
                from.0, from.1, to.0, to.1
            ),
            RuleChange::Active { rule, active: true } => write!(f, "rule {rule}: activate"),
            RuleChange::Active {
                rule,
                active: false,
            } => write!(f, "rule {rule}: make inactive"),
        }
    }
}

/// Compares.
#[must_use]
pub fn diff(wanted: &WantedRule, observed: Option<&RuleRecord>) -> Plan<RuleChange> {
    let mut plan = Plan::default();
    let rule = wanted.name.clone();
    let Some(observed) = observed else {
        plan.changes.push(RuleChange::Create {
            rule: rule.clone(),
            trigger: wanted.trigger.clone(),
            action: wanted.action.clone(),
        });
        // A new rule is active.
        if !wanted.active {
            plan.changes.push(RuleChange::Active {
                rule,
                active: false,
            });
        }
        return plan;
    };
    let own = observed.namespace.as_str();
    let from = (observed.trigger.within(own), observed.action.within(own));
    let to = (wanted.trigger.clone(), wanted.action.clone());
    if from != to {
        let rule = rule.clone();
        plan.changes.push(RuleChange::Connect { rule, from, to });
    }
    // After its trigger was deleted a rule is inactive, also when there is a new trigger of that name.
    if (observed.status == "active") != wanted.active {
        plan.changes.push(RuleChange::Active {
            rule,
            active: wanted.active,
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(active: bool) -> WantedRule {
        WantedRule {
            name: "warn".to_owned(),
            trigger: "alerts".to_owned(),
            action: "pkg/warn-driver".to_owned(),
            active,
        }
    }

    fn record(trigger: &str, path: &str, status: &str) -> RuleRecord {
        serde_json::from_value(json!({"name": "warn", "namespace": "guest", "version": "0.0.1", "status": status,
            "trigger": {"name": trigger, "path": "guest"}, "action": {"name": "warn-driver", "path": path}}))
        .unwrap()
    }

    #[test]
    fn what_is_as_asked_for_is_left_alone() {
        let record = record("alerts", "guest/pkg", "active");
        assert!(diff(&wanted(true), Some(&record)).is_settled());
    }

    #[test]
    fn changes_in_words() {
        let told =
            |active, record: Option<RuleRecord>| diff(&wanted(active), record.as_ref()).to_string();
        assert_eq!(
            told(true, None),
            "create rule warn: alerts runs pkg/warn-driver"
        );
        assert_eq!(
            told(false, None),
            "create rule warn: alerts runs pkg/warn-driver\nrule warn: make inactive"
        );
        assert_eq!(
            told(true, Some(record("alerts", "guest/pkg", "inactive"))),
            "rule warn: activate"
        );
        assert_eq!(
            told(true, Some(record("other", "guest", "active"))),
            "rule warn: other runs warn-driver → alerts runs pkg/warn-driver"
        );
        // A namespace that only begins with the same letters is another one.
        assert!(
            told(true, Some(record("alerts", "guests/pkg", "active")))
                .contains("alerts runs /guests/pkg/warn-driver →")
        );
    }
}
