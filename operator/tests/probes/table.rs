//! The whole table of edges on real nodes: a pod for each component that there is, below the policies that the operator makes.

use std::collections::{BTreeMap, BTreeSet};

use millrace_operator::job::crd::StreamJob;
use millrace_operator::network::{EDGES, Edge, NetworkSettings, Peer, Reach, client_label, policy};
use millrace_operator::reconcile::Owner;
use millrace_testkit::Platform;
use serde_json::{Value, json};

use super::{Probe, Target, UNNAMED, Who, check, component, start, unused};
use crate::{image, operator_and_strangers};

/// Where the pods of components are, and those of an operator and of a monitoring of their own.
const ALL: &str = "edges";
const ALL_OPERATOR: &str = "edges-operator";
const ALL_MONITORING: &str = "edges-monitoring";

/// A pod for each component and part that the table names; and another one, which only tries, where an edge leads from a
/// component to itself: no policy is between a pod and itself.
fn one_of_each(owner: &Owner) -> (Vec<Probe>, Vec<Probe>) {
    let ends = EDGES.iter().flat_map(|edge| [edge.from, edge.to]);
    let all: BTreeSet<_> = ends
        .filter_map(|peer| match peer {
            Peer::Component(name) => Some((name, None)),
            Peer::Part(name, label, value) => Some((name, Some((label, value)))),
            _ => None,
        })
        .collect();
    let (mut made, mut others) = (Vec::new(), Vec::new());
    for (name, part) in all {
        let mut labels = owner.selector(name);
        labels.extend(part.map(|(label, value)| (label.to_owned(), value.to_owned())));
        let own = part.map_or_else(|| name.to_owned(), |(_, value)| format!("{name}-{value}"));
        let who = Who::Component(name, part);
        let mut probe = Probe::new(&own, ALL, labels.clone(), who.clone());
        let into = EDGES.iter().filter(|edge| component(edge.to) == Some(name));
        let ports: BTreeSet<i32> = into.flat_map(|edge| edge.ports).copied().collect();
        probe.ports = ports.into_iter().collect();
        made.push(probe);
        let itself = Peer::Component(name);
        let is_round = |edge: &Edge| edge.from == itself && edge.to == itself;
        if part.is_none() && EDGES.iter().any(is_round) {
            others.push(Probe::new(&format!("{own}-other"), ALL, labels, who));
        }
    }
    (made, others)
}

/// All policies that come of the table, in a namespace where nothing else is.
fn apply_policies(platform: &Platform, owner: &Owner) {
    let settings = NetworkSettings {
        operator_namespace: ALL_OPERATOR.to_owned(),
        metrics_from: BTreeMap::from([(
            "kubernetes.io/metadata.name".to_owned(),
            ALL_MONITORING.to_owned(),
        )]),
    };
    let ends = EDGES.iter().flat_map(|edge| [edge.from, edge.to]);
    let components: BTreeSet<&str> = ends.filter_map(component).collect();
    let policies: Vec<Value> = components
        .iter()
        .map(|name| {
            let made = policy(owner, name, &settings, Reach::Table);
            let name = made.metadata.name.clone();
            let mut made = serde_json::to_value(made).unwrap();
            // Not that of an owner that is not there: Kubernetes would take it away.
            made["metadata"] = json!({"name": name, "namespace": ALL});
            made
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": policies});
    platform.apply(&list.to_string()).unwrap();
}

#[test]
#[ignore = "cluster tier"]
fn each_edge_of_the_table_is_open_and_every_other_closed() {
    let Some(mut platform) = Platform::find().unwrap() else {
        return;
    };
    let image = image(&platform);
    platform.namespace = ALL.to_owned();
    let namespaces = [ALL, ALL_OPERATOR, ALL_MONITORING];
    for name in namespaces {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        platform.apply(&namespace.to_string()).unwrap();
    }
    let job: StreamJob = serde_json::from_value(json!({
        "metadata": {"name": "e", "namespace": ALL, "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": {"job": "gateway"}}))
    .unwrap();
    let owner = Owner::of(&job).unwrap();
    apply_policies(&platform, &owner);

    let (mut probes, others) = one_of_each(&owner);
    let listening = probes.len();
    probes.extend(others);
    let to = EDGES.iter().filter(|edge| edge.from == Peer::Clients);
    let of: Vec<&str> = to.filter_map(|edge| component(edge.to)).collect();
    // Two clients, of which each is one of every second component; one of them in a namespace of others.
    for (first, namespace) in [ALL, ALL_OPERATOR].into_iter().enumerate() {
        let of: Vec<_> = of.iter().copied().skip(first).step_by(2).collect();
        let labels = of
            .iter()
            .map(|name| (client_label(name), "true".to_owned()));
        let labels = labels.collect();
        probes.push(Probe::new("client", namespace, labels, Who::Client(of)));
    }
    probes.extend(operator_and_strangers(ALL_OPERATOR, ALL));
    let reader = Probe::new("reader", ALL_MONITORING, BTreeMap::new(), Who::Monitoring);
    probes.push(reader);
    let left = unused(&probes);
    assert!(left.is_empty(), "no pod goes by {left:?}");

    let addresses = start(&platform, &image, &probes);
    let mut targets = Vec::new();
    for (probe, address) in probes.iter().zip(&addresses).take(listening) {
        let Who::Component(name, _) = probe.who else {
            continue;
        };
        let ports = probe.ports.iter().copied().chain([UNNAMED]);
        targets.extend(ports.map(|port| Target {
            component: name,
            address: address.clone(),
            port,
        }));
    }
    let (open, closed) = check(&platform, &probes, &addresses, &targets);
    assert!(
        open >= 100 && closed >= 1000,
        "{open} open, {closed} closed"
    );
    for name in namespaces {
        let gone = ["delete", "namespace", name, "--wait=false"];
        platform.kubectl(&gone).unwrap();
    }
}
