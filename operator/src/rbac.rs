//! What the operator must be allowed to do, collected from the components so that nothing is asked for without a use.

use std::collections::BTreeSet;

/// One rule, and why it is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Why the operator needs it; becomes the comment above the rule.
    pub why: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Resources in the plural, with `/status` and the like.
    pub resources: Vec<String>,
    /// What may be done with them.
    pub verbs: Vec<String>,
}

impl Rule {
    /// A rule for resources of one group.
    #[must_use]
    pub fn new(group: &str, resources: &[&str], verbs: &[&str], why: &str) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            why: why.to_owned(),
            group: group.to_owned(),
            resources: owned(resources),
            verbs: owned(verbs),
        }
    }

    /// The rule of who tells why pods are not ready.
    #[must_use]
    pub fn looks_at_pods() -> Self {
        let why = "See what keeps pods from being ready.";
        Self::new("", &["pods"], &["list"], why)
    }

    /// The rules for a custom resource that the operator reconciles.
    #[must_use]
    pub fn own_kind(plural: &str) -> Vec<Self> {
        let status = format!("{plural}/status");
        let finalizers = format!("{plural}/finalizers");
        vec![
            Self::new(
                crate::types::GROUP,
                &[plural],
                &["get", "list", "watch"],
                "Read what is asked for.",
            ),
            Self::new(
                crate::types::GROUP,
                &[&status],
                &["patch"],
                "Tell what was seen.",
            ),
            Self::new(
                crate::types::GROUP,
                &[&finalizers],
                &["update"],
                "Set owner references where the cluster checks who may make an object block its owner's deletion.",
            ),
        ]
    }
}

/// Joins rules that differ only in their resources and says each reason once.
#[must_use]
pub fn merge(rules: impl IntoIterator<Item = Rule>) -> Vec<Rule> {
    let mut merged: Vec<Rule> = Vec::new();
    for rule in rules {
        match merged
            .iter_mut()
            .find(|m| m.group == rule.group && m.verbs == rule.verbs && m.why == rule.why)
        {
            Some(same) => {
                let all: BTreeSet<String> =
                    same.resources.drain(..).chain(rule.resources).collect();
                same.resources = all.into_iter().collect();
            }
            None => merged.push(rule),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rules_are_joined() {
        let rules = merge(
            Rule::own_kind("kafkatopics")
                .into_iter()
                .chain(Rule::own_kind("actions"))
                .chain([Rule::new("", &["secrets"], &["get"], "Read bindings.")]),
        );
        assert_eq!(rules.len(), 4);
        assert_eq!(rules[0].resources, ["actions", "kafkatopics"]);
    }
}
