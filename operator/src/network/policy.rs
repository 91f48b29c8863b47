//! One NetworkPolicy from the table. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{EDGES, NetworkSettings, Peer, Reach, client_label};
use crate::context::MANAGER;
use crate::reconcile::Owner;

const COMPONENT: &str = "app.kubernetes.io/name";
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// The policy for the pods of a component of one owner: closed in both directions but for its edges and DNS.
#[must_use]
pub fn policy(
    owner: &Owner,
    component: &str,
    settings: &NetworkSettings,
    reach: Reach,
) -> NetworkPolicy {
    // The policy is of all parts of a component: their way out is one.
    let is_me = |peer: Peer| matches!(peer, Peer::Component(name) | Peer::Part(name, ..) if name == component);
    let ingress = EDGES
        .iter()
        .filter(|edge| is_me(edge.to))
        .filter_map(|edge| {
            Some(NetworkPolicyIngressRule {
                from: Some(peers(edge.from, component, settings)?),
                ports: ports(edge.ports),
            })
        });
    let mut egress = vec![dns()];
    for edge in EDGES.iter().filter(|edge| is_me(edge.from)) {
        if let Some(to) = peers(edge.to, component, settings) {
            egress.push(NetworkPolicyEgressRule {
                to: Some(to),
                ports: ports(edge.ports),
            });
        }
    }
    if reach == Reach::Anywhere {
        egress.push(NetworkPolicyEgressRule {
            to: peers(Peer::Anywhere, component, settings),
            ports: ports(&[]),
        });
    }
    NetworkPolicy {
        metadata: owner.meta(format!("{}-{component}", owner.name), component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(owner.selector(component)),
                ..LabelSelector::default()
            }),
            ingress: Some(ingress.collect()),
            egress: Some(egress),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
        }),
    }
}

/// What lets the pods of a component of one owner reach the API of Kubernetes. No label finds its servers, and their port is
/// that behind the Service: 443 or 6443 nearly everywhere.
#[must_use]
pub fn api(owner: &Owner, component: &str) -> NetworkPolicy {
    NetworkPolicy {
        metadata: owner.meta(format!("{}-{component}-api", owner.name), component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(owner.selector(component)),
                ..LabelSelector::default()
            }),
            egress: Some(vec![NetworkPolicyEgressRule {
                to: Some(anywhere()),
                ports: ports(&[443, 6443]),
            }]),
            policy_types: Some(vec!["Egress".into()]),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// The other end of an edge; `None` where nobody is there.
fn peers(
    peer: Peer,
    component: &str,
    settings: &NetworkSettings,
) -> Option<Vec<NetworkPolicyPeer>> {
    let labels = |labels: BTreeMap<String, String>| {
        Some(LabelSelector {
            match_labels: Some(labels),
            ..LabelSelector::default()
        })
    };
    let one = |key: &str, value: &str| labels(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let pods = |namespaces, pods| {
        vec![NetworkPolicyPeer {
            namespace_selector: namespaces,
            pod_selector: pods,
            ip_block: None,
        }]
    };
    Some(match peer {
        Peer::Component(name) => pods(None, one(COMPONENT, name)),
        Peer::Part(name, label, value) => {
            let both = [(COMPONENT, name), (label, value)];
            let both = both.map(|(key, value)| (key.to_owned(), value.to_owned()));
            pods(None, labels(BTreeMap::from(both)))
        }
        Peer::Operator => pods(
            one(NAMESPACE, &settings.operator_namespace),
            one(COMPONENT, MANAGER),
        ),
        Peer::Clients => pods(
            Some(LabelSelector::default()),
            one(&client_label(component), "true"),
        ),
        Peer::Monitoring if settings.metrics_from.is_empty() => return None,
        Peer::Monitoring => pods(labels(settings.metrics_from.clone()), None),
        Peer::Anywhere => anywhere(),
    })
}

/// Every address but the link-local ones.
fn anywhere() -> Vec<NetworkPolicyPeer> {
    [("0.0.0.0/0", "169.254.0.0/16"), ("::/0", "fe80::/10")]
        .into_iter()
        .map(|(all, link_local)| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: all.into(),
                except: Some(vec![link_local.into()]),
            }),
            ..NetworkPolicyPeer::default()
        })
        .collect()
}

/// Any server, for its address differs from cluster to cluster (one on each node is link-local).
fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![port("UDP", Some(53)), port("TCP", Some(53))]),
    }
}

fn ports(numbers: &[i32]) -> Option<Vec<NetworkPolicyPort>> {
    Some(if numbers.is_empty() {
        vec![port("TCP", None)]
    } else {
        numbers
            .iter()
            .map(|number| port("TCP", Some(*number)))
            .collect()
    })
}

fn port(protocol: &str, number: Option<i32>) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.into()),
        port: number.map(IntOrString::Int),
        end_port: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn made(component: &str, metrics: &[(&str, &str)], reach: Reach) -> Value {
        let job: crate::job::crd::StreamJob = serde_json::from_value(json!({
            "metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": {"job": "gateway"}}))
        .unwrap();
        let settings = NetworkSettings {
            operator_namespace: "millrace-system".into(),
            metrics_from: metrics
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let owner = Owner::of(&job).unwrap();
        serde_json::to_value(policy(&owner, component, &settings, reach)).unwrap()
    }

    fn names(rules: &Value, end: &str) -> Vec<String> {
        let rules = rules.as_array().unwrap().iter();
        rules
            .filter_map(|rule| {
                let label = &rule[end][0]["podSelector"]["matchLabels"][COMPONENT];
                label.as_str().map(str::to_owned)
            })
            .collect()
    }

    #[test]
    fn only_the_edges_of_the_table_are_open() {
        let kafka = made("kafka", &[], Reach::Table);
        assert_eq!(
            names(&kafka["spec"]["ingress"], "from"),
            [
                "kafka",
                "gateway",
                "detect",
                "dispatch",
                "archive",
                MANAGER,
                "materialize",
                "druid",
                "openwhisk",
                "openwhisk-invoker"
            ]
        );
        assert_eq!(names(&kafka["spec"]["egress"], "to"), ["kafka"]);
        assert_eq!(kafka["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        let dispatch = made("dispatch", &[], Reach::Table);
        assert_eq!(
            names(&dispatch["spec"]["egress"], "to"),
            ["kafka", "openwhisk"]
        );
        assert_eq!(names(&dispatch["spec"]["ingress"], "from"), [MANAGER]);
    }

    #[test]
    fn the_embedded_openwhisk_gets_nowhere_as_a_controller() {
        let lets_in = |component: &str| -> Vec<Value> {
            let policy = made(component, &[], Reach::Table);
            let rules = policy["spec"]["ingress"].as_array().unwrap().iter();
            rules
                .map(|rule| rule["from"][0]["podSelector"]["matchLabels"].clone())
                .filter(|labels| labels[COMPONENT] == "openwhisk")
                .collect()
        };
        let controller = json!({
            "app.kubernetes.io/name": "openwhisk",
            "millrace.dev/openwhisk-role": "controller",
        });
        assert_eq!(lets_in("kafka"), std::slice::from_ref(&controller));
        assert_eq!(lets_in("openwhisk-action"), [controller]);
        // Both read and write documents.
        assert_eq!(
            lets_in("mongo"),
            [json!({"app.kubernetes.io/name": "openwhisk"})]
        );
    }

    #[test]
    fn a_component_that_nobody_named_is_closed() {
        let none = made("unknown", &[], Reach::Table);
        assert_eq!(none["spec"]["ingress"], json!([]));
        assert_eq!(none["spec"]["egress"].as_array().unwrap().len(), 1, "DNS");
    }

    #[test]
    fn metrics_are_read_only_from_where_it_is_said() {
        let metrics = |policy: &Value| {
            let ingress = policy["spec"]["ingress"].as_array().unwrap().clone();
            ingress
                .into_iter()
                .filter(|rule| rule["from"][0]["namespaceSelector"]["matchLabels"]["a"] == "b")
                .map(|rule| rule["ports"][0]["port"].clone())
                .collect::<Vec<_>>()
        };
        assert!(metrics(&made("detect", &[], Reach::Table)).is_empty());
        assert_eq!(
            metrics(&made("detect", &[("a", "b")], Reach::Table)),
            [9090]
        );
    }

    #[test]
    fn a_foreign_system_is_reached_and_credentials_of_clouds_are_not() {
        let open = |policy: &Value| {
            let egress = policy["spec"]["egress"].as_array().unwrap().clone();
            egress
                .into_iter()
                .find(|rule| rule["to"][0]["ipBlock"]["cidr"] == "0.0.0.0/0")
        };
        assert!(open(&made("detect", &[], Reach::Table)).is_none());
        let rule = open(&made("detect", &[], Reach::Anywhere)).unwrap();
        assert_eq!(rule["ports"], json!([{"protocol": "TCP"}]));
        assert_eq!(rule["to"][0]["ipBlock"]["except"][0], "169.254.0.0/16");
        assert!(open(&made("openwhisk", &[], Reach::Table)).is_some());
    }
}
