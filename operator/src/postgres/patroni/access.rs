//! What Patroni may do in Kubernetes: its own ConfigMaps, and to write on its pods who they are. Pure.

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::memory;
use crate::pods::account;
use crate::postgres::COMPONENT;
use crate::postgres::crd::MOST_MEMBERS;
use crate::reconcile::{Error, Owner, Prepared, Resources};

/// Name of the ServiceAccount of the members, of its Role and of what binds them.
#[must_use]
pub(super) fn account_name(cluster: &str) -> String {
    format!("{cluster}-postgres")
}

/// Adds the ServiceAccount with its rights.
///
/// # Errors
/// An object cannot be written as JSON.
pub(in crate::postgres) fn add(
    resources: &mut Resources<Prepared>,
    owner: &Owner,
) -> Result<(), Error> {
    let name = account_name(&owner.name);
    account::add(resources, owner, &name, COMPONENT, rules(&owner.name))
}

fn rules(cluster: &str) -> Vec<PolicyRule> {
    let rule = |resource: &str, verbs: &[&str], names: Option<Vec<String>>| PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        resource_names: names,
        ..PolicyRule::default()
    };
    let pods = (0..MOST_MEMBERS).map(|n| format!("{cluster}-{n}"));
    vec![
        rule(
            "configmaps",
            &["get", "patch"],
            Some(memory(cluster).into()),
        ),
        // Neither what is made nor what is watched can be bound to names.
        rule("configmaps", &["create", "list", "watch"], None),
        rule("pods", &["get", "patch"], Some(pods.collect())),
        rule("pods", &["list", "watch"], None),
    ]
}
