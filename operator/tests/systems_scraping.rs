//! A real Prometheus picks pods by their annotations with the configuration of docs/monitoring.md: each once, by the port
//! and the path that it names, with the labels that rules and dashboards use; and nobody else's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod hdfs_nodes;
mod kafka_nodes;
mod prometheus_support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use millrace_operator::kafka::validate::Found;
use millrace_operator::{hdfs, kafka};
use millrace_testkit::{own_loopback, prometheus};
use prometheus_support::{Prometheus, documented};
use serde_json::json;

/// The third number of the pods' addresses.
const NET: u8 = 61;

/// Tells one number to whoever asks for this path.
fn serve(address: Ipv4Addr, port: u16, path: &'static str) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let size = stream.read(&mut head).unwrap_or_default();
            let asked = String::from_utf8_lossy(&head[..size]).into_owned();
            let status = if asked.starts_with(&format!("GET {path} ")) {
                "200 OK"
            } else {
                "404 Not Found"
            };
            let text = "a_number 1\n";
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

/// The first pod of a set as it would run at this address.
fn first(set: &StatefulSet, address: Ipv4Addr) -> Pod {
    let template = set.spec.clone().unwrap().template;
    let name = format!("{}-0", set.metadata.name.as_deref().unwrap());
    let mut pod = json!({"metadata": template.metadata, "spec": template.spec,
        "status": {"podIP": address.to_string()}});
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = json!("ns");
    serde_json::from_value(pod).unwrap()
}

#[test]
#[ignore = "systems tier"]
fn pods_are_found_by_what_they_say() {
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    let one = kafka_nodes::cluster(json!({"nodes": 1, "storage": {"size": "1Gi"}}));
    let one = kafka_nodes::valid(&one, &Found::default());
    let of_kafka: StatefulSet = kafka::build::build(&one).unwrap().get("k").unwrap();
    let files =
        hdfs_nodes::cluster(json!({"dataNodes": {"replicas": 1, "storage": {"size": "1Gi"}}}));
    let files = hdfs_nodes::valid(&files);
    let of_hdfs: StatefulSet = hdfs::build::build(&files)
        .unwrap()
        .get("h-namenode")
        .unwrap();
    let [at_kafka, at_hdfs, at_other] = [10, 11, 12].map(|host| own_loopback(NET, host));
    serve(at_kafka, 9404, "/metrics");
    serve(at_hdfs, 9870, "/prom");
    serve(at_other, 9404, "/metrics");
    let other = json!({"metadata": {"name": "other", "namespace": "ns",
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9404"}},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 9404}]}]},
        "status": {"podIP": at_other.to_string()}});
    let pods = [
        first(&of_kafka, at_kafka),
        first(&of_hdfs, at_hdfs),
        serde_json::from_value(other).unwrap(),
    ];
    let home = tempfile::tempdir().unwrap();
    let scrape = documented(home.path(), &pods, "");
    let prometheus = Prometheus::start(&programs, home.path(), &scrape);
    for (pod, component, instance) in [("k-0", "kafka", "k"), ("h-namenode-0", "hdfs", "h")] {
        prometheus.wait_for(&format!(
            "a_number{{namespace=\"ns\",pod=\"{pod}\",app_kubernetes_io_part_of=\"millrace\",app_kubernetes_io_name=\"{component}\",app_kubernetes_io_instance=\"{instance}\"}}"
        ));
    }
    let found = prometheus.ask("up").unwrap();
    let pods: BTreeSet<_> = found
        .iter()
        .map(|one| one["metric"]["pod"].to_string())
        .collect();
    assert_eq!(pods.len(), 2, "{found:?}");
    assert_eq!(found.len(), 2, "each is one target: {found:?}");
}
