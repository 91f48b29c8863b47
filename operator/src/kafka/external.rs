//! How clients outside Kubernetes reach the brokers. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

use super::EXTERNAL_PORT;
use super::crd::{self, ExternalType};

/// An external listener that can be built.
#[derive(Clone, Debug)]
pub struct External {
    /// What is asked for.
    pub spec: crd::External,
    /// The address of each broker, by node id, as far as it is known.
    pub brokers: BTreeMap<i32, Address>,
    /// The address to begin with, if it is known.
    pub bootstrap: Option<Address>,
}

/// Where something listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// DNS name or IP address.
    pub host: String,
    /// Port.
    pub port: i32,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Name of the Service that clients begin with.
#[must_use]
pub fn bootstrap_name(cluster: &str) -> String {
    format!("{cluster}-external")
}

/// Name of the Service of one broker.
#[must_use]
pub fn broker_name(cluster: &str, id: i32) -> String {
    format!("{cluster}-external-{id}")
}

/// Where a live Service is reached, if that is known yet.
#[must_use]
pub fn address(spec: &crd::External, service: &Service) -> Option<Address> {
    match spec.type_ {
        ExternalType::NodePort => Some(Address {
            host: spec.host.clone()?,
            port: service.spec.as_ref()?.ports.as_ref()?.first()?.node_port?,
        }),
        ExternalType::LoadBalancer => {
            let status = service.status.as_ref()?.load_balancer.as_ref()?;
            let ingress = status.ingress.as_ref()?.first()?;
            Some(Address {
                // A name goes on when the address behind it changes.
                host: ingress.hostname.clone().or_else(|| ingress.ip.clone())?,
                port: EXTERNAL_PORT,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(spec: serde_json::Value, service: serde_json::Value) -> Option<String> {
        let spec = serde_json::from_value(spec).unwrap();
        address(&spec, &serde_json::from_value(service).unwrap()).map(|a| a.to_string())
    }

    #[test]
    fn addresses_are_known_once_kubernetes_has_given_them() {
        let node = json!({"type": "NodePort", "host": "kafka.example.org"});
        let without = json!({"metadata": {}, "spec": {"ports": [{"port": 9095}]}});
        assert_eq!(at(node.clone(), without), None);
        let with = json!({"metadata": {}, "spec": {"ports": [{"port": 9095, "nodePort": 30111}]}});
        assert_eq!(at(node, with).as_deref(), Some("kafka.example.org:30111"));
        let balancer = json!({"type": "LoadBalancer"});
        assert_eq!(at(balancer.clone(), json!({"metadata": {}})), None);
        let ip = json!({"metadata": {}, "status": {"loadBalancer": {"ingress": [{"ip": "2001:db8::1"}]}}});
        assert_eq!(at(balancer, ip).as_deref(), Some("[2001:db8::1]:9095"));
    }
}
