//! What servers may that start pods for actions. Pure.

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::validate::ValidatedApache;
use super::{INVOKER, invoker_set};
use crate::pods::account;
use crate::rbac::Rule;
use crate::reconcile::{Error, Prepared, Resources};

/// What a server may that starts pods for actions: group, resource and verbs. The operator must hold all of it to hand it on.
const STARTS_PODS: [(&str, &str, &[&str]); 3] = [
    (
        "",
        "pods",
        &[
            "get",
            "list",
            "watch",
            "create",
            "delete",
            "deletecollection",
        ],
    ),
    ("", "pods/log", &["get"]),
    ("", "events", &["get", "list"]),
];

/// The same, as what the operator must be allowed to do.
pub(super) fn handed_on() -> Vec<Rule> {
    let why = "Hand on to the invokers of an Apache OpenWhisk, which start a pod for each action: nobody can give what he does not have.";
    STARTS_PODS
        .iter()
        .map(|(group, resource, verbs)| Rule::new(group, &[resource], verbs, why))
        .collect()
}

/// Who starts pods, and what he may.
pub(super) fn starts_pods(
    whisk: &ValidatedApache,
    resources: &mut Resources<Prepared>,
) -> Result<(), Error> {
    let owner = &whisk.owner;
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let rules = STARTS_PODS
        .iter()
        .map(|(group, resource, verbs)| PolicyRule {
            api_groups: Some(text(&[group])),
            resources: Some(text(&[resource])),
            verbs: text(verbs),
            ..PolicyRule::default()
        })
        .collect();
    account::add(resources, owner, &invoker_set(&owner.name), INVOKER, rules)
}
