//! `dispatch` between a real Kafka and the embedded OpenWhisk, which is killed on the way.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kafka_support;
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_support::{Job, alert, create_topics, read_all, send_alert, trip, wait_until_read};
use millrace_contract::{DeadLetter, codec, topics, trace};
use millrace_stream::connect::Producer;
use millrace_testkit::{Kafka, Server, free_port};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};
use support::five::Five;
use support::tls::{Made, front};

const GROUP: &str = "dispatch-warnings";
const KEY: (&str, &str) = (
    "23bc46b1-71f6-4ed5-8c54-816aa4f8c502",
    "123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP",
);

// Hands back what it was given; fails on what is called broken.
const ACTION: &str = "#!/bin/sh
while read -r line; do
  case \"$line\" in
    *broken*) printf '%s\\n' '{\"error\":\"boom\"}' >&3 ;;
    *) printf '{\"got\":%s}\\n' \"$line\" >&3 ;;
  esac
done
";

struct Whisk {
    program: std::path::PathBuf,
    directory: std::path::PathBuf,
    port: u16,
    server: Server,
}

impl Whisk {
    fn start(program: &Path, directory: &Path, port: u16) -> Self {
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(directory.join("whisk"))
            .arg("--auth-file")
            .arg(directory.join("auth"));
        let mut server = Server::start(&mut command, &directory.join("whisk.log")).unwrap();
        server.wait_for_port(port, Duration::from_secs(30)).unwrap();
        Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            port,
            server,
        }
    }

    fn restart(&mut self) {
        self.server.kill();
        *self = Self::start(&self.program, &self.directory, self.port);
    }

    fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn create_action(&self) {
        let body = json!({"exec": {"kind": "rust:default", "code": ACTION, "main": "main"}});
        self.put("actions/warn-driver", body).await;
    }

    async fn put(&self, path: &str, body: Value) {
        let url = format!("{}/api/v1/namespaces/_/{path}", self.uri());
        let answer = reqwest::Client::new()
            .put(url)
            .basic_auth(KEY.0, Some(KEY.1))
            .json(&body)
            .send()
            .await
            .unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
    }

    /// The records of all activations.
    async fn activations(&self) -> Vec<Value> {
        let url = format!(
            "{}/api/v1/namespaces/_/activations?docs=true&limit=200",
            self.uri()
        );
        let answer = reqwest::Client::new()
            .get(url)
            .basic_auth(KEY.0, Some(KEY.1))
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    }

    /// Ids of the alerts on which an activation succeeded.
    async fn succeeded(&self) -> BTreeSet<String> {
        let records = self.activations().await;
        records
            .iter()
            .filter(|record| {
                record["name"] == "warn-driver" && record["response"]["success"] == true
            })
            .map(|record| {
                let id = &record["response"]["result"]["got"]["value"]["alert"]["id"];
                id.as_str().unwrap_or_else(|| panic!("{record}")).to_owned()
            })
            .collect()
    }
}

fn program() -> Option<std::path::PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_millrace-stream")).with_file_name("millrace-whisk");
    if program.is_file() {
        return Some(program);
    }
    millrace_testkit::left_out(
        "millrace-whisk",
        "it is not built; `cargo build -p millrace-whisk`",
    )
    .unwrap();
    None
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn every_alert_reaches_its_action_although_the_platform_dies() {
    let Some(program) = program() else {
        return;
    };
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(
        &bootstrap,
        &[("alerts", 3, false), ("dead-letters", 1, false)],
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("auth"), format!("{}:{}\n", KEY.0, KEY.1)).unwrap();
    let config = format!(
        "{{topic: alerts, group: {GROUP}, action: warn-driver, deadLetterTopic: dead-letters, attempts: 2, \
         backoff: {{initialMilliseconds: 50, maximumMilliseconds: 500}}}}"
    );
    std::fs::write(at("config.yaml"), config).unwrap();
    let mut whisk = Whisk::start(&program, directory.path(), free_port().unwrap());

    let producer = Producer::new(&bootstrap, "test").unwrap();
    let send = async |round: usize| {
        let mut sent = BTreeSet::new();
        for n in 0..10 {
            for vehicle in ["car-1", "car-2", "car-3", "car-4"] {
                let id = format!("{vehicle}-{round}-{n}");
                send_alert(&producer, &alert(vehicle, id.clone())).await;
                sent.insert(id);
            }
        }
        sent
    };
    let mut sent = send(0).await;
    send_alert(&producer, &alert("car-1", "car-1-broken".to_owned())).await;

    let auth = at("auth");
    let more = [
        "--openwhisk-uri",
        &whisk.uri(),
        "--openwhisk-auth-file",
        auth.to_str().unwrap(),
    ];
    let dispatch = Job::start(
        "dispatch",
        &bootstrap,
        &at("config.yaml"),
        &at("dispatch.log"),
        &more,
    );
    let until = Instant::now() + Duration::from_secs(60);
    while !dispatch
        .get("/readyz")
        .is_some_and(|(_, text)| text.contains("does not exist"))
    {
        assert!(
            Instant::now() < until,
            "{:?}\n{}",
            dispatch.get("/readyz"),
            dispatch.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    whisk.create_action().await;
    wait_until_read(&bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;
    assert_eq!(whisk.succeeded().await, sent);

    sent.extend(send(1).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    whisk.restart();
    sent.extend(send(2).await);
    wait_until_read(&bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;
    let missing: Vec<String> = sent.difference(&whisk.succeeded().await).cloned().collect();
    assert!(missing.is_empty(), "never told: {missing:?}");

    let dead = read_all(&bootstrap, "dead-letters").await;
    assert_eq!(dead.len(), 1);
    let letter: DeadLetter = serde_json::from_slice(dead[0].payload.as_deref().unwrap()).unwrap();
    assert!(letter.reason.problem.contains("boom"), "{letter:?}");
    assert_eq!(letter.attempts, 2);
    dispatch.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_trigger_has_succeeded_when_all_that_it_started_has() {
    let Some(program) = program() else {
        return;
    };
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(
        &bootstrap,
        &[("alerts", 3, false), ("dead-letters", 1, false)],
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("auth"), format!("{}:{}\n", KEY.0, KEY.1)).unwrap();
    let config = format!(
        "{{topic: alerts, group: {GROUP}, trigger: alerted, deadLetterTopic: dead-letters, attempts: 2, \
         backoff: {{initialMilliseconds: 50, maximumMilliseconds: 500}}}}"
    );
    std::fs::write(at("config.yaml"), config).unwrap();
    let mut whisk = Whisk::start(&program, directory.path(), free_port().unwrap());
    whisk.create_action().await;

    let producer = Producer::new(&bootstrap, "test").unwrap();
    send_alert(&producer, &alert("car-1", "car-1-nobody".to_owned())).await;
    // Over https, by a binding as the operator mounts it: first with an authority that is not the server's.
    let made = Made::new();
    let port = front(whisk.port, &made).await;
    let binding = at("bindings/whisk");
    std::fs::create_dir_all(&binding).unwrap();
    Made::new().write(directory.path());
    std::fs::rename(at("tls.crt"), binding.join("ca.crt")).unwrap();
    for (name, entry) in [
        ("type", "openwhisk".to_owned()),
        ("uri", format!("https://localhost:{port}")),
        ("username", KEY.0.to_owned()),
        ("password", KEY.1.to_owned()),
    ] {
        std::fs::write(binding.join(name), entry).unwrap();
    }
    let root = at("bindings");
    let more = ["--service-binding-root", root.to_str().unwrap()];
    let start = || {
        let (config, log) = (at("config.yaml"), at("dispatch.log"));
        Job::start("dispatch", &bootstrap, &config, &log, &more)
    };
    let until = Instant::now() + Duration::from_secs(60);
    let distrusting = start();
    while !distrusting
        .get("/readyz")
        .is_some_and(|(_, text)| text.contains("certificate"))
    {
        assert!(
            Instant::now() < until,
            "{:?}\n{}",
            distrusting.get("/readyz"),
            distrusting.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    distrusting.terminate(Duration::from_secs(20)).await;
    made.write(directory.path());
    std::fs::rename(at("tls.crt"), binding.join("ca.crt")).unwrap();
    let dispatch = start();
    let until = Instant::now() + Duration::from_secs(60);
    while !dispatch
        .get("/readyz")
        .is_some_and(|(_, text)| text.contains("trigger alerted does not exist"))
    {
        assert!(Instant::now() < until, "{}", dispatch.server.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A trigger without a rule is a failure with a cure, not a success.
    whisk.put("triggers/alerted", json!({})).await;
    wait_until_read(&bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;
    let rule = json!({"trigger": "/_/alerted", "action": "/_/warn-driver"});
    whisk.put("rules/tell", rule).await;

    let mut sent = BTreeSet::new();
    for n in 0..8 {
        for vehicle in ["car-1", "car-2", "car-3"] {
            let id = format!("{vehicle}-{n}");
            send_alert(&producer, &alert(vehicle, id.clone())).await;
            sent.insert(id);
        }
    }
    send_alert(&producer, &alert("car-2", "car-2-broken".to_owned())).await;
    wait_until_read(&bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;
    assert_eq!(whisk.succeeded().await, sent);

    whisk.restart();
    send_alert(&producer, &alert("car-1", "car-1-after".to_owned())).await;
    sent.insert("car-1-after".to_owned());
    wait_until_read(&bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;
    assert_eq!(whisk.succeeded().await, sent);

    let dead: Vec<DeadLetter> = read_all(&bootstrap, "dead-letters")
        .await
        .iter()
        .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
        .collect();
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert_eq!(dead[0].reason.field.as_deref(), Some("trigger"));
    assert!(
        dead[0].reason.problem.contains("no active rule"),
        "{dead:?}"
    );
    assert!(dead[0].reason.cure.contains("activate a Rule"), "{dead:?}");
    assert!(
        dead[1].reason.problem.contains("boom") && dead[1].reason.problem.contains("warn-driver"),
        "{dead:?}"
    );
    dispatch.terminate(Duration::from_secs(20)).await;
}

/// A trace as a vehicle begins it, and its id.
fn traceparent(id: char) -> (String, String) {
    let id = id.to_string().repeat(32);
    (format!("00-{id}-00f067aa0ba902b7-01"), id)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn one_trace_leads_from_the_vehicle_to_the_action_and_back() {
    let Some(program) = program() else {
        return;
    };
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    support::create_topics(&bootstrap).await;
    let gateway = support::Gateway::start(&bootstrap, "").await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("auth"), format!("{}:{}\n", KEY.0, KEY.1)).unwrap();
    std::fs::write(at("detect.yaml"), "flushInterval: 100ms\n").unwrap();
    let dispatching = format!("{{topic: alerts, group: {GROUP}, action: warn-driver}}");
    std::fs::write(at("dispatch.yaml"), dispatching).unwrap();
    let whisk = Whisk::start(&program, directory.path(), free_port().unwrap());
    whisk.create_action().await;
    let instance = ["--instance", "d"];
    let (config, log) = (at("detect.yaml"), at("detect.log"));
    let _detect = Job::start("detect", &bootstrap, &config, &log, &instance);
    let (auth, uri) = (at("auth"), whisk.uri());
    let platform = [
        "--openwhisk-uri",
        &uri,
        "--openwhisk-auth-file",
        auth.to_str().unwrap(),
    ];
    let (config, log) = (at("dispatch.yaml"), at("dispatch.log"));
    let dispatch = Job::start("dispatch", &bootstrap, &config, &log, &platform);

    // One vehicle tells its trace as HTTP does, one as MQTT 5 does, and one none. What is well is of another trace than
    // what is not.
    let (healthy, _) = traceparent('a');
    let told = [("http", traceparent('b')), ("mqtt", traceparent('c'))];
    for vehicle in ["http", "mqtt", "silent"] {
        let token = gateway.enrol(vehicle).await;
        let events = trip(vehicle, 900, 300, 4.0);
        let (well, hot) = events.split_at(300);
        for (part, is_hot) in [(well, false), (hot, true)] {
            let values: Vec<Value> = part
                .iter()
                .map(|event| serde_json::from_slice(&codec::encode(event)).unwrap())
                .collect();
            let known = told.iter().find(|(name, _)| *name == vehicle);
            let own = known.map(|(_, (trace, _))| if is_hot { trace } else { &healthy });
            for body in values.chunks(100).map(|chunk| json!(chunk).to_string()) {
                if vehicle == "mqtt" {
                    publish(&gateway, &token, own.unwrap(), body).await;
                    continue;
                }
                let url = gateway.url(&format!("/v1/vehicles/{vehicle}/telemetry"));
                let mut request = gateway.client.post(url).bearer_auth(&token).body(body);
                if let Some(own) = own {
                    request = request.header(trace::NAME, own);
                }
                let answer = request.send().await.unwrap();
                assert!(answer.status().is_success(), "{:?}", answer.text().await);
            }
        }
    }
    let until = Instant::now() + Duration::from_secs(90);
    let of = |records: &[Value], vehicle: &str| -> Option<String> {
        let given = records
            .iter()
            .map(|record| &record["response"]["result"]["got"]["value"])
            .find(|given| given["alert"]["vehicle"] == vehicle)?;
        let parent = given["cloudevent"]["traceparent"].as_str();
        Some(
            parent
                .unwrap_or_else(|| panic!("no trace: {given}"))
                .to_owned(),
        )
    };
    let records = loop {
        let records = whisk.activations().await;
        if ["http", "mqtt", "silent"]
            .iter()
            .all(|one| of(&records, one).is_some())
        {
            break records;
        }
        assert!(Instant::now() < until, "{}", dispatch.server.tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    for (vehicle, (parent, id)) in &told {
        let given = of(&records, vehicle).unwrap();
        assert_eq!(given[3..35], **id, "{vehicle}");
        assert_ne!(given, *parent, "detection is a step of its own");
    }
    let begun: millrace_contract::TraceParent = of(&records, "silent").unwrap().parse().unwrap();
    assert!(told.iter().all(|(_, (_, id))| begun.trace_id() != **id));

    // The action tells the gateway with it, and the vehicle's notification belongs to the same trace.
    let given = of(&records, "http").unwrap();
    let answer = gateway
        .client
        .post(gateway.url("/v1/notifications"))
        .bearer_auth(support::NOTIFY)
        .header(trace::NAME, &given)
        .body(support::notification("n", "http", 60).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), reqwest::StatusCode::ACCEPTED);
    let written = support::all(&bootstrap, topics::NOTIFICATIONS).await;
    let header = written[0].header(trace::HEADER).unwrap();
    assert_eq!(header[3..35], given[3..35]);
    let id = &given[3..35];
    assert!(gateway.log_text().contains(id), "{}", gateway.log_text());
}

/// Publishes a body with a trace, and waits for its acknowledgement.
async fn publish(gateway: &support::Gateway, token: &str, trace: &str, body: String) {
    let mut car = Five::connect(gateway, "mqtt", token).await;
    let properties = PublishProperties {
        user_properties: vec![(trace::NAME.to_owned(), trace.to_owned())],
        ..PublishProperties::default()
    };
    let topic = "vehicles/mqtt/telemetry";
    car.client
        .publish_with_properties(topic, QoS::AtLeastOnce, false, body, properties)
        .await
        .unwrap();
    car.acknowledged().await;
}
