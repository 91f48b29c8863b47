//! How nodes are reached, and where they stand.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How clients and nodes reach nodes.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || has(self.secure)")
        .message("spec.listeners.external: is open to everybody without spec.listeners.secure; set that too"),
)]
pub struct Listeners {
    /// Nodes know each other by certificates (TLS in both directions), clients log in by SCRAM-SHA-512 over TLS, and
    /// what they may do is decided by access rules (KafkaUser). It cannot be added or removed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<Secure>,
    /// Addresses for clients outside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// TLS, log-in and access rules.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Secure {
    /// A certificate authority of your own for the cluster. The operator makes one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<CaSecret>,
}

/// A Secret with a certificate authority.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaSecret {
    /// Name of the Secret, with the keys `ca.crt` (PEM) and `ca.key` (PEM, PKCS#8). Every certificate of this authority
    /// with the name of a node or of the operator is let in, so it must be for this cluster alone.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub secret_name: String,
}

/// How clients outside Kubernetes reach the brokers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ExternalType {
    /// By a port of the nodes of Kubernetes for each broker.
    #[default]
    NodePort,
    /// By a load balancer for each broker.
    LoadBalancer,
}

/// Addresses for clients outside Kubernetes: TLS and SCRAM on a Service for each broker and one to begin with.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'NodePort' || has(self.host)")
        .message("spec.listeners.external.host: is missing; give the DNS name or address at which the nodes of Kubernetes are reached"),
    validation = Rule::new("self.type == 'NodePort' || !has(self.bootstrapNodePort)")
        .message("spec.listeners.external.bootstrapNodePort: is for type NodePort; remove it, or set type to NodePort"),
    validation = Rule::new("self.type == 'LoadBalancer' || !has(self.host)  || !has(self.loadBalancerSourceRanges)")
        .message("spec.listeners.external.loadBalancerSourceRanges: is for type LoadBalancer; remove it, or set type to LoadBalancer"),
    validation = Rule::new("self.type == 'NodePort' || !has(self.host)")
        .message("spec.listeners.external.host: is for type NodePort, a load balancer has an address of its own; remove it, or set type to NodePort"),
)]
pub struct External {
    /// `NodePort` or `LoadBalancer`.
    #[serde(rename = "type")]
    pub type_: ExternalType,
    /// The DNS name or IP address at which the nodes of Kubernetes are reached, for type NodePort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("isIP(self) || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message(Message::Expression("'spec.listeners.external.host: ' + self + ': is neither a DNS name in lower case nor an IP address; write it like kafka.example.org'".into())))]
    pub host: Option<String>,
    /// The port of the nodes of Kubernetes that clients begin with; one is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub bootstrap_node_port: Option<i32>,
    /// Annotations of the Services, for the maker of load balancers or of DNS names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::types::kubernetes_annotations")]
    pub annotations: BTreeMap<String, String>,
    /// From where load balancers let clients in, for example `192.0.2.0/24`; from everywhere when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(r, isCIDR(r))").message("spec.listeners.external.loadBalancerSourceRanges: holds what is no range of addresses; write them like 192.0.2.0/24"))]
    pub load_balancer_source_ranges: Vec<String>,
}
