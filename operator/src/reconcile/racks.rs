//! The racks of the nodes of Kubernetes, for systems that spread copies over them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;

use millrace_contract::Invalid;

use super::Error;
use crate::context::{Context, is_status};
use crate::rbac::Rule;

/// Entries of a page of a list.
const PAGE: u32 = 500;
const LISTING: &str = "listing the nodes of Kubernetes for spec.rack";

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

/// One word for that racks are not known because the nodes of Kubernetes may not be listed.
pub const UNREADABLE: &str = "NodesUnreadable";

/// How the operator comes by the right to list nodes. An operator for some namespaces has it only where it is given, for
/// no Role can grant it.
pub const CURE: &str = "set readNodes: true in the values of the operator's chart";

/// Whether the nodes of Kubernetes may be listed.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn readable(context: &Context) -> Result<bool, Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    match api.list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(true),
        Err(error) if is_status(&error, 403) => Ok(false),
        Err(error) => Err(Error::doing(LISTING)(error)),
    }
}

/// The rack of each node of Kubernetes, empty for one that has none: all of them, so that a pod that comes to one need
/// not wait to be told.
///
/// # Errors
/// Kubernetes could not be asked, or the nodes may not be listed: that names the cure, and what ran goes on.
pub async fn racks(
    context: &Context,
    topology_key: &str,
) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let mut racks = BTreeMap::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list_metadata(&page).await;
        let list = list.map_err(|error| failed(error, topology_key))?;
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

fn failed(error: kube::Error, topology_key: &str) -> Error {
    if !is_status(&error, 403) {
        return Error::doing(LISTING)(error);
    }
    Error::Missing {
        reason: UNREADABLE,
        invalid: Invalid::new(
            "spec.rack.topologyKey",
            topology_key,
            "the nodes of Kubernetes say which rack they are in, and the operator may not list them",
            format!("{CURE}, or remove spec.rack"),
        ),
    }
}

/// The racks as a table for pods: a line for each node of Kubernetes.
#[must_use]
pub fn table(racks: &BTreeMap<String, String>) -> String {
    let lines = racks.iter().map(|(node, rack)| format!("{node} {rack}\n"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::Failure;

    #[test]
    fn nodes_that_may_not_be_listed_are_told_with_the_cure() {
        let answer = |code| {
            let status = kube::core::Status::failure("no", "Reason").with_code(code);
            failed(kube::Error::Api(status.boxed()), "zone")
        };
        let refused = answer(403);
        assert_eq!(refused.reason(), "NodesUnreadable");
        let told = refused.to_string();
        for part in [
            "spec.rack.topologyKey",
            "zone",
            "readNodes: true",
            "remove spec.rack",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let failing = answer(500);
        assert_eq!(failing.reason(), "KubernetesFailed", "it may pass");
    }
}
