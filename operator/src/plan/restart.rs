//! Which pods would restart, and why.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde_json::Value;

use crate::reconcile::differences;

/// So many differences are named.
const NAMED: usize = 6;

/// A pod that would restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Its name.
    pub pod: String,
    /// What of its template would differ.
    pub because: String,
}

/// The pods of a workload that would restart.
///
/// # Errors
/// In words: the pods could not be listed.
pub(super) async fn restarts(
    client: &Client,
    live: &Value,
    would: &Value,
) -> Result<Vec<Restart>, String> {
    let Some(because) = because(live, would) else {
        return Ok(Vec::new());
    };
    let namespace = live["metadata"]["namespace"].as_str().unwrap_or_default();
    let labels = live["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
        .collect();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&selector.join(","));
    let pods = api.list(&ours).await.map_err(|error| {
        let told = match &error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        format!("which pods would restart ({because}): {told}")
    })?;
    let mut names: Vec<String> = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(ResourceExt::name_any)
        .collect();
    names.sort();
    Ok(names
        .into_iter()
        .map(|pod| Restart {
            pod,
            because: because.clone(),
        })
        .collect())
}

// What differs between the templates of a workload, if something does.
fn because(live: &Value, would: &Value) -> Option<String> {
    let workload = would["kind"] == "StatefulSet" || would["kind"] == "Deployment";
    if !workload || live.is_null() {
        return None;
    }
    let differences = differences(&live["spec"]["template"], &would["spec"]["template"]);
    if differences.is_empty() {
        return None;
    }
    let mut told = differences[..differences.len().min(NAMED)].join("; ");
    if differences.len() > NAMED {
        told.push_str(&format!("; and {} more", differences.len() - NAMED));
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_another_template_restarts_pods() {
        let set = |image: &str, replicas: u32| {
            json!({"kind": "StatefulSet", "spec": {"replicas": replicas,
            "template": {"spec": {"containers": [{"name": "k", "image": image}]}}}})
        };
        assert_eq!(because(&set("a", 1), &set("a", 3)), None);
        assert_eq!(because(&Value::Null, &set("a", 1)), None);
        assert_eq!(
            because(&set("a", 1), &set("b", 1)).as_deref(),
            Some("spec.containers[k].image: a → b")
        );
        let other = json!({"kind": "Service", "spec": {"template": "x"}});
        assert_eq!(because(&json!({"kind": "Service"}), &other), None);
    }
}
