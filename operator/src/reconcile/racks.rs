//! The racks of the nodes of Kubernetes, for systems that spread copies over them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;

use super::Error;
use crate::context::Context;
use crate::rbac::Rule;

/// Entries of a page of a list.
const PAGE: u32 = 500;

/// What the operator must be allowed to read for it.
#[must_use]
pub fn rule() -> Rule {
    Rule::new(
        "",
        &["nodes"],
        &["list"],
        "Tell brokers and DataNodes their rack (spec.rack); used for nothing else.",
    )
}

/// The rack of each node of Kubernetes, empty for one that has none: all of them, so that a pod that comes to one need
/// not wait to be told.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn racks(
    context: &Context,
    topology_key: &str,
) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let mut racks = BTreeMap::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list_metadata(&page).await.map_err(Error::doing(
            "listing the nodes of Kubernetes for spec.rack",
        ))?;
        racks.extend(list.items.iter().map(|node: &PartialObjectMeta<Node>| {
            let rack = node.labels().get(topology_key);
            (node.name_any(), rack.cloned().unwrap_or_default())
        }));
        match list.metadata.continue_ {
            Some(token) if !token.is_empty() => page = page.continue_token(&token),
            _ => return Ok(racks),
        }
    }
}

/// The racks as a table for pods: a line for each node of Kubernetes.
#[must_use]
pub fn table(racks: &BTreeMap<String, String>) -> String {
    let lines = racks.iter().map(|(node, rack)| format!("{node} {rack}\n"));
    lines.collect()
}
