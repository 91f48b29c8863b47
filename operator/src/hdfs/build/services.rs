//! The Services of a cluster.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::super::roles::{Node, Role, RoleKind};
use super::super::validate::ValidatedHdfs;
use super::super::{COMPONENT, FAIL_OVER_PORT};
use crate::pods;

/// Set by Kubernetes on each pod of a StatefulSet.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

pub(super) fn services(hdfs: &ValidatedHdfs) -> Vec<Service> {
    let mut services = vec![names(hdfs)];
    for role in hdfs.roles().filter(|role| role.kind.has_own_services()) {
        let nodes = hdfs.nodes(role).into_iter();
        services.extend(nodes.map(|node| own(hdfs, role, node)));
    }
    services
}

/// The ports of a role, by name.
pub(super) fn ports(hdfs: &ValidatedHdfs, role: &Role) -> Vec<(&'static str, i32)> {
    let mut ports = role.kind.ports().to_vec();
    if role.kind == RoleKind::NameNode && hdfs.is_ha() {
        ports.push(("fail-over", FAIL_OVER_PORT));
    }
    ports
}

/// Names for the pods of all StatefulSets.
fn names(hdfs: &ValidatedHdfs) -> Service {
    let ports = hdfs.roles().flat_map(|role| ports(hdfs, role));
    pods::names_of_pods(
        hdfs.owner.meta(nodes_name(hdfs), COMPONENT),
        hdfs.owner.selector(COMPONENT),
        ports
            .map(|(name, port)| pods::service_port(name, port))
            .collect(),
    )
}

pub(super) fn nodes_name(hdfs: &ValidatedHdfs) -> String {
    format!("{}-nodes", hdfs.owner.name)
}

/// An address of its own for one server, which stays when the pod comes anew.
fn own(hdfs: &ValidatedHdfs, role: &Role, node: Node) -> Service {
    let mut selector = super::selector(hdfs, role);
    selector.insert(POD_NAME.into(), node.pod.clone());
    let ports = ports(hdfs, role).into_iter();
    Service {
        metadata: hdfs.owner.meta(node.pod, COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(selector),
            // They must find each other before they are ready.
            publish_not_ready_addresses: Some(true),
            ports: Some(
                ports
                    .map(|(name, port)| pods::service_port(name, port))
                    .collect(),
            ),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
