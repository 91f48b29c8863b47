//! A platform whose Kafka lets only its users in, on real nodes: records go through it, every edge of the network that is
//! not needed is closed, and broken as it may be it goes away with its namespace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;
mod probes;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cluster_support::{client, condition, forward, get, make_namespace, millrace, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use millrace_operator::network::client_label;
use millrace_testkit::{Platform, fresh};
use probes::{Probe, Target, Who};
use serde_json::{Value, json};

const NAMESPACE: &str = "secure";
const OPERATOR_NAMESPACE: &str = "millrace-system";
const COMPONENT: &str = "app.kubernetes.io/name";
/// Two cores start seven containers one after the other.
const LIMIT: Duration = Duration::from_secs(420);
/// The user deletes a namespace and goes on when it is gone.
const GONE: Duration = Duration::from_secs(120);

fn make(platform: &Platform) {
    make_namespace(platform);
    let small = |memory: &str| json!({"memory": memory, "cpu": "10m"});
    let wanted = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Platform",
    "metadata": {"name": "s", "namespace": NAMESPACE},
    "spec": {
        "kafka": {"listeners": {"secure": {}}, "resources": small("512Mi"), "storage": {"size": "256Mi"}},
        "gateway": {"resources": small("128Mi")}, "detect": {"resources": small("128Mi")},
        "flow": {"canarySeconds": 10},
    }});
    platform.apply(&wanted.to_string()).unwrap();
}

/// Records pass the gateway and detect, each of which is a user of its own, and the operator sees it.
fn records_go_through(platform: &Platform) {
    wait("the platform", LIMIT, || {
        let object = get(platform, &["platform", "s"]);
        (condition(&object, "Available") == "True").then_some(())
    });
    wait("a canary", LIMIT, || {
        let object = get(platform, &["platform", "s"]);
        let stages = object["status"]["flow"]["stages"].as_array()?.clone();
        let through = |name: &str| {
            let stage = stages.iter().find(|stage| stage["stage"] == name);
            stage.is_some_and(|stage| stage["canarySeconds"].is_number())
        };
        (through("detected") && through("notified")).then_some(())
    });
    for user in ["s-gateway", "s-detect"] {
        let object = get(platform, &["kafkauser", user]);
        assert_eq!(condition(&object, "Available"), "True", "{object}");
    }
}

/// The ports on which pods of a component listen, with an address of one.
fn targets(platform: &Platform) -> Vec<Target> {
    let mut targets = Vec::new();
    for component in ["kafka", "gateway", "detect"] {
        let selector = format!("app.kubernetes.io/name={component}");
        let pods = get(platform, &["pods", "-l", &selector]);
        let pod = &pods["items"][0];
        let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
        for port in ports {
            targets.push(Target {
                component,
                address: pod["status"]["podIP"].as_str().unwrap().to_owned(),
                port: i32::try_from(port["containerPort"].as_i64().unwrap()).unwrap(),
            });
        }
    }
    assert!(targets.len() >= 6, "{targets:?}");
    targets
}

/// Pods with the labels of each component, of clients and of nobody: each reaches what the table says, and nothing else.
fn edges_are_open_and_all_others_closed(platform: &Platform) {
    let targets = targets(platform);
    let labels = |component: &str| -> BTreeMap<String, String> {
        let policy = get(
            platform,
            &["networkpolicy", &format!("s-{component}-{component}")],
        );
        serde_json::from_value(policy["spec"]["podSelector"]["matchLabels"].clone()).unwrap()
    };
    let mut probes: Vec<Probe> = ["kafka", "gateway", "detect"]
        .map(|name| Probe::new(name, NAMESPACE, labels(name), Who::Component(name, None)))
        .into();
    let client = || BTreeMap::from([(client_label("kafka"), "true".to_owned())]);
    // Clients may be anywhere.
    for namespace in [NAMESPACE, "default"] {
        let of = Who::Client(vec!["kafka"]);
        probes.push(Probe::new("client", namespace, client(), of));
    }
    probes.extend(operator_and_strangers(OPERATOR_NAMESPACE, NAMESPACE));
    let addresses = probes::start(platform, &image(platform), &probes);
    let (open, closed) = probes::check(platform, &probes, &addresses, &targets);
    assert!(open >= 8 && closed >= 20, "{open} open, {closed} closed");
    probes::stop(platform, &probes);
}

fn operator_and_strangers(operators: &'static str, namespace: &'static str) -> [Probe; 3] {
    let operator = || BTreeMap::from([(COMPONENT.to_owned(), "millrace-operator".to_owned())]);
    [
        Probe::new("operator", operators, operator(), Who::Operator),
        // The label alone makes nobody the operator, and a stranger is let in nowhere but where everybody is.
        Probe::new("false-operator", namespace, operator(), Who::Nobody),
        Probe::new("stranger", namespace, BTreeMap::new(), Who::Nobody),
    ]
}

/// The image of Kafka's pods, which are there in each platform.
fn image(platform: &Platform) -> String {
    let pods = get(platform, &["pods", "-l", "app.kubernetes.io/name=kafka"]);
    let image = &pods["items"][0]["spec"]["containers"][0]["image"];
    image.as_str().unwrap().to_owned()
}

/// Runs a shell command in Kafka's pod.
fn in_the_broker(platform: &Platform, command: &str) -> anyhow::Result<String> {
    platform.kubectl(&[
        "exec",
        "s-kafka-0",
        "-c",
        "kafka",
        "--",
        "sh",
        "-c",
        command,
    ])
}

/// The gateway by a port on loopback: no policy lets this machine in.
async fn gateway(platform: &Platform) -> SocketAddr {
    let pods: Api<Pod> = Api::namespaced(client(platform).await, NAMESPACE);
    let gateways = ListParams::default().labels("app.kubernetes.io/name=gateway");
    let gateways = pods.list(&gateways).await.unwrap().items;
    // A probe that has its labels may still be going.
    let own = |pod: &&Pod| pod.metadata.owner_references.is_some();
    let gateway = gateways.iter().find(own).unwrap().name_any();
    forward(pods, gateway, 8080).await
}

/// The status of the gateway's answer to an event.
async fn posted(gateway: SocketAddr, vehicle: &str, token: &str) -> reqwest::Result<u16> {
    let now = jiff::Timestamp::now();
    let event = json!({"vehicle": vehicle, "sequence": now.as_millisecond(), "time": now});
    let answer = reqwest::Client::new()
        .post(format!("http://{gateway}/v1/vehicles/{vehicle}/telemetry"))
        .bearer_auth(token)
        .json(&event)
        .timeout(Duration::from_secs(60))
        .send()
        .await?;
    Ok(answer.status().as_u16())
}

/// A volume at 96 %, on which the broker still writes: it is told, and the gateway is told to take nothing in.
fn a_filling_volume_stops_the_intake(platform: &Platform) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = runtime.block_on(gateway(platform));
    let vehicle = fresh("secure");
    let enrol = ["--platform", "s", "vehicle", "enrol", &vehicle];
    let token = millrace(platform, NAMESPACE, &enrol).unwrap();
    let answers = |status: u16| {
        let told = runtime.block_on(posted(gateway, &vehicle, &token));
        (told.ok()? == status).then_some(())
    };
    wait("an event to be taken in", LIMIT, || answers(200));
    let text = |object: Value| object["data"]["ingest.yaml"].as_str().map(str::to_owned);
    let order = || text(get(platform, &["configmap", "s-ingest"])).unwrap_or_default();
    assert_eq!(order(), "accept: all\n");
    // All but the twenty-fifth part of it, in KiB.
    let fill = "cd /var/lib/kafka/data && set -- $(df -k --output=size,avail . | tail -n 1) && \
        head -c $((($2 - $1 / 25) * 1024)) /dev/zero > filler && sync filler";
    in_the_broker(platform, fill).unwrap();
    wait("DiskPressure", LIMIT, || {
        let object = get(platform, &["kafkacluster", "s-kafka"]);
        let is_full = object["status"]["disk"]["full"] == true;
        (is_full && condition(&object, "DiskPressure") == "True").then_some(())
    });
    wait("the order to take nothing in", LIMIT, || {
        order().starts_with("accept: none\n").then_some(())
    });
    // A kubelet renews a mounted ConfigMap each minute or so.
    wait("telemetry to be refused", LIMIT, || answers(429));
    wait("the event", LIMIT, || {
        let events = get(platform, &["events"]);
        let told = |event: &Value| {
            event["reason"] == "DiskFull" && event["involvedObject"]["name"] == "s-kafka"
        };
        events["items"].as_array()?.iter().any(told).then_some(())
    });
}

/// Writes into Kafka's volume until there is no room. A broker that ends for it takes the command with it.
fn fill_the_volume(platform: &Platform) {
    let told = in_the_broker(platform, "cat /dev/zero > /var/lib/kafka/data/rest");
    let told = told.unwrap_err().to_string();
    assert!(
        told.contains("No space left") || told.contains("exit code 137"),
        "{told}"
    );
}

/// A volume without room, an image that is nowhere, a broker that is gone with its volume, users whose Kafka never answers
/// again: the namespace goes all the same.
fn what_is_broken_goes_with_its_namespace(platform: &Platform) {
    fill_the_volume(platform);
    let patch = json!({"spec": {"kafka": {"image": "localhost/nowhere:1"}, "gateway": {"image": "localhost/nowhere:1"}}});
    let kubectl = |arguments: &[&str]| platform.kubectl(arguments).unwrap();
    kubectl(&[
        "patch",
        "platform",
        "s",
        "--type=merge",
        "-p",
        &patch.to_string(),
    ]);
    wait("the image that is nowhere", LIMIT, || {
        let set = get(platform, &["statefulset", "s-kafka"]);
        let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
        (image == "localhost/nowhere:1").then_some(())
    });
    kubectl(&[
        "delete",
        "pvc",
        "-l",
        "app.kubernetes.io/instance=s-kafka",
        "--wait=false",
    ]);
    // The operator may have taken it down already, for the new image.
    kubectl(&[
        "delete",
        "pod",
        "s-kafka-0",
        "--ignore-not-found",
        "--grace-period=0",
        "--force",
    ]);
    wait("Kafka to be away", LIMIT, || {
        let object = get(platform, &["kafkacluster", "s-kafka"]);
        (condition(&object, "Available") == "False").then_some(())
    });
    let users = get(platform, &["kafkausers"]);
    let held = users["items"][0]["metadata"]["finalizers"].as_array();
    assert!(
        held.is_some_and(|held| !held.is_empty()),
        "what could hold it up is there"
    );
    let started = Instant::now();
    platform
        .kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])
        .unwrap();
    wait("the end of the namespace", GONE, || {
        let left = platform.kubectl(&[
            "get",
            "namespace",
            NAMESPACE,
            "--ignore-not-found",
            "-o",
            "name",
        ]);
        left.is_ok_and(|left| left.trim().is_empty()).then_some(())
    });
    // Not by println, which is shown only when the test fails: this is a figure for docs/reliability.md.
    let _ = writeln!(
        std::io::stderr(),
        "the namespace was gone after {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

#[test]
#[ignore = "cluster tier"]
fn a_secure_platform_is_closed_works_and_goes() {
    let Some(mut platform) = Platform::find().unwrap() else {
        return;
    };
    platform.namespace = NAMESPACE.to_owned();
    make(&platform);
    records_go_through(&platform);
    edges_are_open_and_all_others_closed(&platform);
    a_filling_volume_stops_the_intake(&platform);
    what_is_broken_goes_with_its_namespace(&platform);
}
