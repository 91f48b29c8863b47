//! The jobs on a Kafka that wants credentials and permissions, as local processes.
//!
//! `cargo test -p millrace-stream --test systems_secure -- --ignored`
#![cfg(test)]

mod kafka_support;
mod secure_support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_support::{create_topics, read_alerts, read_all, send, trip, wait_until_read};
use millrace_contract::topics;
use millrace_stream::check_sequence::{Consumed, Produced};
use millrace_stream::connect::Producer;
use millrace_testkit::{Server, free_port};
use secure_support::{Authority, SecureKafka};

const LIMIT: Duration = Duration::from_secs(60);

/// An operation, and the arguments that name what it is granted for.
type Grant = (&'static str, &'static [&'static str]);

/// What docs/security.md grants, by user.
const GRANTS: &[(&str, &[Grant])] = &[
    (
        "gateway",
        &[
            (
                "Write",
                &[
                    "--topic",
                    "telemetry",
                    "--topic",
                    "vehicle-events",
                    "--topic",
                    "dead-letters",
                    "--topic",
                    "notifications",
                    "--topic",
                    "notified",
                    "--topic",
                    "vehicle-credentials",
                    "--topic",
                    "vehicle-sessions",
                    "--topic",
                    "audit",
                    "--topic",
                    "hires",
                    "--topic",
                    "alerts",
                ],
            ),
            (
                "Read",
                &[
                    "--topic",
                    "notifications",
                    "--topic",
                    "notified",
                    "--topic",
                    "vehicle-credentials",
                    "--topic",
                    "vehicle-sessions",
                    "--topic",
                    "audit",
                    "--topic",
                    "hires",
                    "--topic",
                    "dead-letters",
                    "--topic",
                    "telemetry",
                    "--topic",
                    "vehicle-events",
                    "--topic",
                    "alerts",
                    "--group",
                    "millrace-reader",
                ],
            ),
            (
                "Describe",
                &["--group", "detect", "--group", "dispatch-warnings"],
            ),
        ],
    ),
    (
        "detect",
        &[
            (
                "Read",
                &[
                    "--topic",
                    "telemetry",
                    "--topic",
                    "detect-state",
                    "--group",
                    "detect",
                    "--group",
                    "millrace-reader",
                ],
            ),
            (
                "Write",
                &[
                    "--topic",
                    "detect-state",
                    "--topic",
                    "alerts",
                    "--topic",
                    "dead-letters",
                ],
            ),
            (
                "Write",
                &[
                    "--transactional-id",
                    "detect-",
                    "--resource-pattern-type",
                    "prefixed",
                ],
            ),
        ],
    ),
    (
        "dispatch",
        &[
            (
                "Read",
                &[
                    "--topic",
                    "alerts",
                    "--group",
                    "dispatch-warnings",
                    "--group",
                    "millrace-reader",
                ],
            ),
            ("Write", &["--topic", "dead-letters"]),
        ],
    ),
];

fn grant(kafka: &SecureKafka, who: &str, password: &str) {
    kafka.user(who, password);
    for (name, grants) in GRANTS {
        for (operation, resource) in grants.iter().filter(|_| *name == who) {
            kafka.allow(who, operation, resource);
        }
    }
}

/// A job that has nothing but its binding.
struct Bound {
    _server: Server,
    metrics: u16,
    log: std::path::PathBuf,
}

impl Bound {
    fn start(job: &str, root: &Path, arguments: &[&str]) -> Self {
        let metrics = free_port().unwrap();
        let log = root.join(format!("{job}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
        command
            .arg(job)
            .arg("--service-binding-root")
            .arg(root)
            .args(["--metrics", &format!("127.0.0.1:{metrics}")])
            .args(arguments);
        Self {
            _server: Server::start(&mut command, &log).unwrap(),
            metrics,
            log,
        }
    }

    async fn ready(&self) -> (bool, String) {
        let url = format!("http://127.0.0.1:{}/readyz", self.metrics);
        match reqwest::get(url).await {
            Ok(answer) => (
                answer.status().is_success(),
                answer.text().await.unwrap_or_default(),
            ),
            Err(error) => (false, error.to_string()),
        }
    }

    async fn wait(&self, what: &str, mut until: impl FnMut(bool, &str) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let (ready, text) = self.ready().await;
            if until(ready, &text) {
                return;
            }
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < end, "{what}: {ready} {text}\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn wait_ready(&self) {
        self.wait("not ready", |ready, _| ready).await;
    }
}

async fn standard_topics(kafka: &SecureKafka) {
    let all: Vec<(&str, i32, bool)> = topics::ALL
        .iter()
        .map(|(name, compacted)| (*name, 2, *compacted))
        .collect();
    create_topics(&kafka.plain(), &all).await;
}

// With exactly the permissions of docs/security.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn each_job_does_its_work_with_its_own_permissions() {
    let authority = Authority::new();
    let Some(kafka) = SecureKafka::start(&authority) else {
        return;
    };
    standard_topics(&kafka).await;
    let place = tempfile::tempdir().unwrap();
    let root = |who: &str| {
        let root = place.path().join(who);
        grant(&kafka, who, "first");
        kafka.bind(&root, who, "first", &authority);
        root
    };

    let gateway = root("gateway");
    let folder = gateway.join("gateway");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, value) in [
        ("type", "millrace-gateway"),
        ("admin-token", "admin-token-of-the-tests-0123456789"),
        ("notify-token", "notify-token-of-the-tests-012345678"),
        ("vehicles-token", "vehicles-token-of-the-tests-0123456"),
        ("operations-token", "operations-token-of-the-tests-01234"),
        ("pseudonym-key", "pseudonym-key-of-the-tests-0123456789"),
        ("seal-key", "seal-key-of-the-tests-0123456789abcdef"),
    ] {
        std::fs::write(folder.join(name), value).unwrap();
    }
    let (http, mqtt) = (free_port().unwrap(), free_port().unwrap());
    let (http_flag, mqtt_flag) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{mqtt}"));
    let config = place.path().join("gateway.yaml");
    std::fs::write(&config, "dispatchGroups: [dispatch-warnings]\n").unwrap();
    let gateway = Bound::start(
        "gateway",
        &gateway,
        &[
            "--http",
            &http_flag,
            "--mqtt",
            &mqtt_flag,
            "--config",
            config.to_str().unwrap(),
        ],
    );
    gateway.wait_ready().await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://127.0.0.1:{http}{path}");
    let enrolled: serde_json::Value = client
        .put(url("/v1/vehicles/car"))
        .bearer_auth("admin-token-of-the-tests-0123456789")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = enrolled["token"].as_str().expect("a token").to_owned();

    let detect = root("detect");
    let detect = Bound::start("detect", &detect, &["--instance", "one"]);
    detect.wait_ready().await;
    // Detection's own user may not write telemetry: the administrator does.
    let producer = Producer::new(&kafka.plain(), "test").unwrap();
    for event in trip("overheats", 600, 200, 12.0) {
        send(&producer, &event).await;
    }
    let sent = client
        .post(url("/v1/vehicles/car/telemetry"))
        .bearer_auth(&token)
        .body(format!(
            r#"{{"vehicle":"car","sequence":1,"time":"{}"}}"#,
            jiff::Timestamp::now()
        ))
        .send()
        .await
        .unwrap();
    assert!(sent.status().is_success(), "{}", sent.text().await.unwrap());
    wait_until_read(&kafka.plain(), "detect", "telemetry", LIMIT).await;
    assert!(
        !read_alerts(&kafka.plain()).await.is_empty(),
        "no alert\n{}",
        std::fs::read_to_string(&detect.log).unwrap()
    );
    assert!(!read_all(&kafka.plain(), "detect-state").await.is_empty());

    // The alerts of a trip long ago are too old for their action, so they become dead letters.
    let dispatch = root("dispatch");
    let config = place.path().join("dispatch.yaml");
    std::fs::write(
        &config,
        "topic: alerts\ngroup: dispatch-warnings\naction: a\ndeadLetterTopic: dead-letters\n\
         maximumAgeSeconds: 1\n",
    )
    .unwrap();
    let key = place.path().join("key");
    std::fs::write(&key, "uuid:key\n").unwrap();
    let nowhere = format!("http://127.0.0.1:{}", free_port().unwrap());
    let dispatch = Bound::start(
        "dispatch",
        &dispatch,
        &[
            "--config",
            config.to_str().unwrap(),
            "--openwhisk-uri",
            &nowhere,
            "--openwhisk-auth-file",
            key.to_str().unwrap(),
        ],
    );
    dispatch
        .wait("no partitions", |_, text| !text.contains("partitions"))
        .await;

    let flow = client
        .get(url("/v1/flow"))
        .bearer_auth("operations-token-of-the-tests-01234")
        .send()
        .await
        .unwrap();
    assert!(flow.status().is_success(), "{}", flow.text().await.unwrap());
    let end = Instant::now() + LIMIT;
    let committed = async || {
        let lookup = millrace_stream::connect::Lookup::new(&kafka.plain(), "test").unwrap();
        let group = lookup.committed("dispatch-warnings", "alerts").await;
        group.is_ok_and(|all| all.iter().any(|(_, offset)| offset.is_some()))
    };
    let dead = async || !read_all(&kafka.plain(), "dead-letters").await.is_empty();
    while !(committed().await && dead().await) {
        let log = std::fs::read_to_string(&dispatch.log).unwrap();
        assert!(Instant::now() < end, "dispatch does nothing\n{log}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for job in [&gateway, &detect, &dispatch] {
        let log = std::fs::read_to_string(&job.log).unwrap();
        assert!(!log.contains("uthorization"), "{log}");
    }
}

fn line<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    text.lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_password_that_changes_under_load_loses_nothing() {
    let authority = Authority::new();
    let Some(mut kafka) = SecureKafka::start(&authority) else {
        return;
    };
    create_topics(&kafka.plain(), &[("check-sequence", 3, false)]).await;
    let root = tempfile::tempdir().unwrap();
    kafka.user("drill", "first");
    for operation in ["Read", "Write"] {
        kafka.allow("drill", operation, &["--topic", "check-sequence"]);
    }
    kafka.allow("drill", "Read", &["--group", "millrace-reader"]);
    kafka.bind(root.path(), "drill", "first", &authority);
    let start = |arguments: &[&str], log: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
        command
            .args(["check-sequence"])
            .args(arguments)
            .arg("--service-binding-root")
            .arg(root.path());
        Server::start(&mut command, &root.path().join(log)).unwrap()
    };
    let text = |log: &str| std::fs::read_to_string(root.path().join(log)).unwrap_or_default();
    let producing = start(&["produce", "--for", "40"], "produce.log");
    let consuming = start(&["consume", "--for", "50"], "consume.log");
    let end = Instant::now() + LIMIT;
    while !text("produce.log").contains("writing") {
        assert!(Instant::now() < end, "{}", text("produce.log"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;

    // The former password is of no use any more when the binding comes to know the new one, and the broker is started
    // anew in between, which ends every connection.
    kafka.user("drill", "second");
    kafka.start_again();
    let end = Instant::now() + LIMIT;
    while !text("produce.log").contains("does not let this process in") {
        assert!(Instant::now() < end, "{}", text("produce.log"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kafka.bind(root.path(), "drill", "second", &authority);

    let end = Instant::now() + 2 * LIMIT;
    let (produced, consumed) = loop {
        let produced: Option<Produced> = line(&text("produce.log"));
        let consumed: Option<Consumed> = line(&text("consume.log"));
        if let (Some(produced), Some(consumed)) = (produced, consumed) {
            break (produced, consumed);
        }
        assert!(
            Instant::now() < end,
            "{}\n{}",
            text("produce.log"),
            text("consume.log")
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    drop((producing, consuming));
    let log = text("produce.log");
    assert!(log.contains("clients are made anew"), "{log}");
    assert!(log.contains("lets this process in again"), "{log}");
    let mut judged = consumed;
    judged.judge(&produced);
    assert_eq!((judged.lost, judged.doubled), (Some(0), 0), "{judged:?}");
    // It went on afterwards: more than the first seconds' records came.
    assert!(produced.acknowledged > 2000, "{produced:?}\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_login_that_is_wrong_is_told_and_detection_goes_on_with_a_right_one() {
    let authority = Authority::new();
    let Some(mut kafka) = SecureKafka::start(&authority) else {
        return;
    };
    standard_topics(&kafka).await;
    let root = tempfile::tempdir().unwrap();
    grant(&kafka, "detect", "right");
    kafka.bind(root.path(), "detect", "right", &Authority::new());
    let detect = Bound::start("detect", root.path(), &["--instance", "one"]);
    detect
        .wait("the authority", |ready, text| {
            !ready && text.contains("certificate verify failed")
        })
        .await;
    kafka.bind(root.path(), "detect", "wrong", &authority);
    detect
        .wait("the password", |ready, text| {
            !ready && text.contains("Authentication failed")
        })
        .await;
    kafka.bind(root.path(), "detect", "right", &authority);
    detect.wait_ready().await;

    // Later the password changes, and detection goes on where it was.
    let producer = Producer::new(&kafka.plain(), "test").unwrap();
    let events = trip("overheats", 600, 200, 12.0);
    for event in &events[..100] {
        send(&producer, event).await;
    }
    wait_until_read(&kafka.plain(), "detect", "telemetry", LIMIT).await;
    kafka.user("detect", "third");
    kafka.start_again();
    detect
        .wait("the third password", |ready, text| {
            !ready && text.contains("kafka login")
        })
        .await;
    kafka.bind(root.path(), "detect", "third", &authority);
    detect.wait_ready().await;
    for event in &events[100..] {
        send(&producer, event).await;
    }
    wait_until_read(&kafka.plain(), "detect", "telemetry", LIMIT).await;
    let alerts = read_alerts(&kafka.plain()).await;
    assert!(!alerts.is_empty());
    assert!(alerts.values().all(|(times, _)| *times == 1), "{alerts:?}");
}
