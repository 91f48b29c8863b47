//! NetworkPolicies: each component is closed in both directions but for the edges of one table.
//!
//! Pods are found by their component's label, which pods that run already carry too: a policy cuts nobody off who waits for a
//! restart. One more label finds a part of a component, where that part has carried it from the beginning.

mod edges;
mod page;
mod policy;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use crate::context::{Context, Settings};
use crate::reconcile::{Error, Owner, Prepared, Resources};

pub use edges::{EDGES, Edge, Peer};
pub use page::page;
pub use policy::policy;

/// How policies are made.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// The operator's own namespace: it reaches what it administers.
    pub operator_namespace: String,
    /// Labels of the namespaces whose pods may read metrics; none when empty.
    pub metrics_from: BTreeMap<String, String>,
}

impl NetworkSettings {
    /// The settings as the operator's command line has them: `None` when policies are not wanted. `metrics_from` is a
    /// JSON object of labels.
    ///
    /// # Errors
    /// `metrics_from` is something else.
    pub fn parse(
        operator_namespace: Option<&str>,
        wanted: bool,
        metrics_from: &str,
    ) -> Result<Option<Self>, Invalid> {
        let metrics_from = serde_json::from_str(metrics_from).map_err(|error| {
            Invalid::new(
                "--network-metrics-from",
                metrics_from,
                error.to_string(),
                "write for example {\"team\": \"monitoring\"}",
            )
        })?;
        let namespace = operator_namespace.filter(|name| wanted && !name.is_empty());
        Ok(namespace.map(|name| Self {
            operator_namespace: name.to_owned(),
            metrics_from,
        }))
    }
}

/// Where the pods of one owner must get to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// What the table says.
    Table,
    /// Anywhere, by TCP: one of its bindings is of a system that this operator did not make, whose servers may name any
    /// address and port.
    Anywhere,
}

/// The label by which pods of users, in any namespace, say that they are clients of a component.
#[must_use]
pub fn client_label(component: &str) -> String {
    format!("millrace.dev/uses-{component}")
}

/// Adds the policy of a component to its objects, if policies are wanted.
///
/// # Errors
/// It cannot be written as JSON.
pub fn add(
    resources: &mut Resources<Prepared>,
    settings: &Settings,
    owner: &Owner,
    component: &str,
    reach: Reach,
) -> Result<(), Error> {
    if let Some(settings) = &settings.network {
        resources.add(&policy(owner, component, settings, reach))?;
    }
    Ok(())
}

/// Adds the policy by which the pods of a component reach the API of Kubernetes, if policies are wanted.
///
/// # Errors
/// It cannot be written as JSON.
pub fn add_api(
    resources: &mut Resources<Prepared>,
    settings: &Settings,
    owner: &Owner,
    component: &str,
) -> Result<(), Error> {
    if settings.network.is_some() {
        resources.add(&policy::api(owner, component))?;
    }
    Ok(())
}

/// How far pods that mount these bindings must reach. A binding that is not there yet asks for nothing.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn reach(context: &Context, owner: &Owner, bindings: &[String]) -> Result<Reach, Error> {
    if context.settings.network.is_none() {
        return Ok(Reach::Table);
    }
    let api = context.namespaced::<Secret>(&owner.namespace);
    for name in bindings {
        let secret = api
            .get_opt(name)
            .await
            .map_err(Error::doing("reading a binding"))?;
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        if is_foreign(&data) {
            return Ok(Reach::Anywhere);
        }
    }
    Ok(Reach::Table)
}

/// Whether a binding is of a system that this operator did not make.
fn is_foreign(binding: &BTreeMap<String, ByteString>) -> bool {
    let text = |key: &str| binding.get(key).map(|value| value.0.trim_ascii());
    let connects = ["host", "uri", "bootstrap-servers"]
        .iter()
        .any(|key| binding.contains_key(*key));
    connects && text("provider") != Some(b"millrace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_of_another_provider_is_foreign() {
        let binding = |entries: &[(&str, &str)]| {
            let entries = entries.iter();
            let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
            is_foreign(
                &entries
                    .map(|(key, value)| ((*key).to_owned(), bytes(value)))
                    .collect(),
            )
        };
        assert!(binding(&[("bootstrap-servers", "k.example:9092")]));
        assert!(binding(&[("host", "k.example"), ("provider", "other")]));
        assert!(!binding(&[("host", "k.ns.svc"), ("provider", "millrace")]));
        assert!(!binding(&[("admin-token", "t")]), "it connects to nothing");
    }
}
