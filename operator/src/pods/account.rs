//! Who pods are to Kubernetes, and what they may there. Pure.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use crate::reconcile::{Error, Owner, Prepared, Resources};

/// Adds a ServiceAccount, a Role with these rules and what binds them, all of this name.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn add(
    resources: &mut Resources<Prepared>,
    owner: &Owner,
    name: &str,
    component: &str,
    rules: Vec<PolicyRule>,
) -> Result<(), Error> {
    let meta = || owner.meta(name.to_owned(), component);
    resources.add(&ServiceAccount {
        metadata: meta(),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })?;
    resources.add(&Role {
        metadata: meta(),
        rules: Some(rules),
    })?;
    resources.add(&RoleBinding {
        metadata: meta(),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "Role".into(),
            name: name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: name.to_owned(),
            namespace: Some(owner.namespace.clone()),
            ..Subject::default()
        }]),
    })?;
    Ok(())
}
