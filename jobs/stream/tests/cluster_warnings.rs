//! From a car to its driver on real nodes: recorded trips through the running platform.
//!
//! What is expected is computed from the same trips by the pure rules in this process, so that a lost, doubled or
//! invented warning shows as a difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use millrace_analytics::{Rules, VehicleState, observe};
use millrace_contract::Severity;
use millrace_testkit::{Platform, data_dir, left_out};
use millrace_trips::{Format, Injection, inject, read_trip};
use serde_json::Value;

/// A trip needs so many seconds after the fault begins, so that 8 °C a minute lead from warm to too hot.
const AFTER_FAULT: i64 = 420;
const FAULT_AT: i64 = 240;
const FAULT: &str = "coolant-ramp@240:8";

/// What tells one warning from another: vehicle, rule, severity, episode.
type Told = (String, String, String, String);

struct Drive {
    child: Child,
}

impl Drive {
    fn start(platform: &Platform, prefix: &str, extra: &[&str], files: &[PathBuf]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
            .args(["replay", "--json", "--format", "carobd"])
            .args([
                "--gateway-http",
                &platform.http,
                "--gateway-mqtt",
                &platform.mqtt,
            ])
            .arg("--admin-token-file")
            .arg(&platform.admin_token_file)
            .args(["--vehicle-prefix", prefix, "--timeout", "420"])
            .args(extra)
            .args(files)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn finish(self) -> Vec<Value> {
        let output = self.child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("{}", errors.lines().last().unwrap_or_default());
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect()
    }
}

fn platform_and_trips() -> Option<(Platform, Vec<PathBuf>)> {
    let platform = Platform::find().unwrap()?;
    let Some(data) = data_dir() else {
        left_out(
            "recorded trips",
            "neither $MILLRACE_DATA nor ../shared/data is there",
        )
        .unwrap();
        return None;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join("carobd"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with(".csv.gz"))
        .collect();
    files.sort();
    Some((platform, files))
}

fn stem(file: &std::path::Path) -> String {
    file.file_name()
        .unwrap()
        .to_string_lossy()
        .trim_end_matches(".csv.gz")
        .to_owned()
}

/// What the pure rules make of a trip with the fault.
fn expected(prefix: &str, file: &std::path::Path, start: Timestamp) -> BTreeSet<Told> {
    let vehicle = format!("{prefix}{}", stem(file));
    let mut trip = trip(&vehicle, file, start);
    inject(&mut trip, &Injection::parse(FAULT).unwrap()).unwrap();
    let (rules, mut state) = (Rules::default(), VehicleState::default());
    trip.samples
        .iter()
        .flat_map(|sample| observe(&rules, &mut state, sample, Timestamp::now()))
        .filter(|alert| alert.severity >= Severity::Warning)
        .map(|alert| {
            let severity = serde_json::to_value(alert.severity).unwrap();
            (
                alert.vehicle,
                alert.rule,
                severity.as_str().unwrap().to_owned(),
                alert.episode,
            )
        })
        .collect()
}

fn trip(vehicle: &str, file: &std::path::Path, start: Timestamp) -> millrace_trips::Trip {
    read_trip(
        std::fs::File::open(file).unwrap(),
        &Format::parse("carobd", None).unwrap(),
        vehicle,
        start,
    )
    .unwrap()
}

fn told(line: &Value) -> Told {
    let text = |key: &str| {
        line[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key} in {line}"))
            .to_owned()
    };
    (
        text("vehicle"),
        text("rule"),
        text("severity"),
        text("episode"),
    )
}

/// The long trips, of which the fault is given to some.
fn long_trips(files: &[PathBuf], count: usize) -> Vec<PathBuf> {
    let start = Timestamp::UNIX_EPOCH;
    files
        .iter()
        .filter(|file| {
            let trip = trip("any", file, start);
            trip.samples
                .last()
                .is_some_and(|s| s.time.as_second() >= FAULT_AT + AFTER_FAULT)
        })
        .take(count)
        .cloned()
        .collect()
}

/// A prefix of vehicle names that no earlier run has used: what a vehicle has sent stays in its state.
fn fresh(name: &str) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    format!("{name}-{now:x}-")
}

#[test]
#[ignore = "cluster tier"]
fn healthy_trips_raise_nothing() {
    let Some((platform, files)) = platform_and_trips() else {
        return;
    };
    let lines = Drive::start(&platform, &fresh("healthy"), &[], &files).finish();
    let raised: Vec<&Value> = lines.iter().filter(|l| l["severity"] != "info").collect();
    assert!(raised.is_empty(), "{} trips, {raised:?}", files.len());
}

#[test]
#[ignore = "cluster tier"]
fn a_coolant_ramp_is_one_episode_after_it_began() {
    let Some((platform, files)) = platform_and_trips() else {
        return;
    };
    let (files, prefix, start) = (
        long_trips(&files, 12),
        fresh("ramp"),
        "2026-02-01T08:00:00Z".parse::<Timestamp>().unwrap(),
    );
    assert!(
        files.len() >= 5,
        "only {} trips are long enough",
        files.len()
    );
    let lines = Drive::start(
        &platform,
        &prefix,
        &["--inject", FAULT, "--start", "2026-02-01T08:00:00Z"],
        &files,
    )
    .finish();
    for file in &files {
        let vehicle = format!("{prefix}{}", stem(file));
        let of_vehicle: Vec<&Value> = lines
            .iter()
            .filter(|l| l["vehicle"] == vehicle.as_str() && l["severity"] != "info")
            .collect();
        assert!(!of_vehicle.is_empty(), "{vehicle} was told nothing");
        let episodes: BTreeSet<&str> = of_vehicle
            .iter()
            .filter_map(|l| l["episode"].as_str())
            .collect();
        assert_eq!(episodes.len(), 1, "{of_vehicle:?}");
        for line in &of_vehicle {
            assert_eq!(line["rule"], "overheating");
            assert!(line["delivered_at"].is_string(), "{line}");
            let at: Timestamp = line["event_time"].as_str().unwrap().parse().unwrap();
            assert!(
                at.as_second() - start.as_second() >= FAULT_AT,
                "told before the fault: {line}"
            );
        }
        let got: Vec<Told> = of_vehicle.iter().map(|l| told(l)).collect();
        let set: BTreeSet<Told> = got.iter().cloned().collect();
        assert_eq!(set.len(), got.len(), "told twice: {got:?}");
        assert_eq!(set, expected(&prefix, file, start), "{vehicle}");
    }
}

#[test]
#[ignore = "cluster tier"]
fn killing_detect_midway_loses_none_and_doubles_none() {
    let Some((platform, files)) = platform_and_trips() else {
        return;
    };
    let (files, prefix) = (long_trips(&files, 6), fresh("killed"));
    let start = "2026-02-02T08:00:00Z".parse::<Timestamp>().unwrap();
    // 40 times real time: a trip of 20 minutes takes half a minute, and the pod dies in the middle of it.
    let extra = [
        "--inject",
        FAULT,
        "--start",
        "2026-02-02T08:00:00Z",
        "--speed",
        "40",
    ];
    let drive = Drive::start(&platform, &prefix, &extra, &files);
    let detect = format!("{}-detect", platform.name);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(7));
        let pods = platform.kubectl(&["get", "pods", "-o", "name"]).unwrap();
        let pod = pods
            .lines()
            .find(|p| p.contains(&detect))
            .unwrap_or_else(|| panic!("no pod of {detect}: {pods}"));
        platform
            .kubectl(&["delete", pod, "--grace-period=0", "--force"])
            .unwrap();
    }
    let lines = drive.finish();
    let got: Vec<Told> = lines
        .iter()
        .filter(|l| l["severity"] != "info")
        .map(told)
        .collect();
    let set: BTreeSet<Told> = got.iter().cloned().collect();
    assert_eq!(set.len(), got.len(), "told twice: {got:?}");
    let expected: BTreeSet<Told> = files
        .iter()
        .flat_map(|f| expected(&prefix, f, start))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(set, expected);
}

#[test]
#[ignore = "cluster tier"]
fn an_event_source_on_a_missing_topic_says_so_and_what_ran_goes_on() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let manifest = format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: EventSource\nmetadata: {{name: on-nothing}}\nspec: {{topic: no-such-topic, action: {}-warn-driver}}\n",
        platform.name
    );
    platform.apply(&manifest).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let message = loop {
        let text = platform
            .kubectl(&[
                "get",
                "eventsource",
                "on-nothing",
                "-o",
                "jsonpath={.status.conditions[?(@.status!=\"True\")].message}",
            ])
            .unwrap();
        if text.contains("no-such-topic") {
            break text;
        }
        assert!(
            Instant::now() < end,
            "no condition names the topic: {text:?}"
        );
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(message.contains("spec.topic"), "{message}");
    platform
        .kubectl(&["delete", "eventsource", "on-nothing"])
        .unwrap();
    let path = "jsonpath={.status.conditions[?(@.type==\"Available\")].status}";
    assert_eq!(
        platform
            .kubectl(&["get", "platform", &platform.name, "-o", path])
            .unwrap(),
        "True"
    );
}

/// A car of its own making: one event a second, the coolant rising 10 °C a minute from 90 °C.
fn overheating_car(vehicle: &str, driver: &str, start: Timestamp) -> Vec<Value> {
    (0..360_i32)
        .map(|second| {
            let rise = f64::from((second - 60).max(0)) / 6.0;
            serde_json::json!({
                "vehicle": vehicle, "driver": driver, "hire": "hire-1", "sequence": second,
                "time": start + jiff::SignedDuration::from_secs(i64::from(second)),
                "engine_speed": 2100.0, "speed": 88.0, "engine_run_time": 1200 + second,
                "coolant_temperature": 90.0 + rise.min(38.0),
            })
        })
        .collect()
}

#[tokio::test]
#[ignore = "cluster tier"]
async fn speech_reaches_any_mqtt_client_and_the_driver_stays_unknown() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let (vehicle, driver) = (
        format!("{}car", fresh("speech")),
        "driver-4711-of-the-tests",
    );
    let admin = std::fs::read_to_string(&platform.admin_token_file).unwrap();
    let client = reqwest::Client::new();
    let url = format!("{}/v1/vehicles/{vehicle}", platform.http);
    let enrolled: Value = client
        .put(&url)
        .bearer_auth(admin.trim())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = enrolled["token"].as_str().unwrap().to_owned();

    let (host, port) = platform.mqtt.rsplit_once(':').unwrap();
    let mut options = rumqttc::MqttOptions::new(&vehicle, host, port.parse::<u16>().unwrap());
    options.set_credentials(&vehicle, &token);
    let (mqtt, mut events) = rumqttc::AsyncClient::new(options, 16);
    mqtt.subscribe(
        format!("vehicles/{vehicle}/notifications"),
        rumqttc::QoS::AtLeastOnce,
    )
    .await
    .unwrap();
    let received = tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish))) => {
                    return serde_json::from_slice::<Value>(&publish.payload).unwrap();
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    });
    let start = Timestamp::now() - jiff::SignedDuration::from_secs(360);
    for batch in overheating_car(&vehicle, driver, start).chunks(60) {
        let answer = client
            .post(format!("{url}/telemetry"))
            .bearer_auth(&token)
            .json(&batch)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    let notification = tokio::time::timeout(Duration::from_secs(60), received)
        .await
        .expect("no notification")
        .unwrap();
    assert_eq!(notification["vehicle"], vehicle.as_str());
    assert_eq!(notification["rule"], "overheating");
    let speech = notification["ssml"].as_str().unwrap();
    assert!(
        speech.starts_with("<speak") && speech.trim_end().ends_with("</speak>"),
        "{speech}"
    );
    assert!(!notification["text"].as_str().unwrap().is_empty());
    assert!(!notification.to_string().contains(driver));
    let logs = platform
        .kubectl(&[
            "logs",
            "-l",
            "app.kubernetes.io/managed-by=millrace-operator",
            "--tail=-1",
            "--all-containers",
        ])
        .unwrap();
    assert!(!logs.contains(driver), "a log names the driver");
}

#[tokio::test]
#[ignore = "cluster tier"]
async fn wrong_events_get_a_clear_answer() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let vehicle = format!("{}car", fresh("wrong"));
    let admin = std::fs::read_to_string(&platform.admin_token_file).unwrap();
    let client = reqwest::Client::new();
    let url = format!("{}/v1/vehicles/{vehicle}", platform.http);
    let unknown = client
        .post(format!("{url}/telemetry"))
        .bearer_auth("nobody")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert!(
        [401, 403].contains(&unknown.status().as_u16()),
        "{}",
        unknown.status()
    );
    assert!(unknown.text().await.unwrap().contains(&vehicle));
    let enrolled: Value = client
        .put(&url)
        .bearer_auth(admin.trim())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = enrolled["token"].as_str().unwrap().to_owned();
    let event = |time: &str, signals: &str| {
        format!(r#"{{"vehicle":"{vehicle}","sequence":1,"time":"{time}"{signals}}}"#)
    };
    let now = Timestamp::now().to_string();
    for (body, status, names) in [
        (event(&now, "")[..40].to_owned(), 400, "JSON"),
        ("x".repeat(2 << 20), 413, "1048576"),
        (event(&now, r#","coolant_temperature":NaN"#), 400, "NaN"),
        (event("1970-01-01T00:00:00Z", ""), 400, "1970"),
        (event("2100-01-01T00:00:00Z", ""), 400, "2100"),
        (
            event(&now, r#","coolant_temperature":900"#),
            400,
            "coolant_temperature",
        ),
        (
            event(&now, r#","colant_temperature":90"#),
            400,
            "colant_temperature",
        ),
    ] {
        let head: String = body.chars().take(60).collect();
        let answer = client
            .post(format!("{url}/telemetry"))
            .bearer_auth(&token)
            .body(body)
            .send()
            .await
            .unwrap();
        let (got, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(got, status, "{head}: {text}");
        assert!(text.contains(names), "{head}: {text}");
    }
    // A sentinel means "not available": the event is good and the signal is left out.
    let sentinel = event(&now, r#","coolant_temperature":215"#);
    let answer = client
        .post(format!("{url}/telemetry"))
        .bearer_auth(&token)
        .body(sentinel)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    // In a batch the good ones are taken and each bad one is named, and kept as a dead letter.
    let batch = format!(
        "[{},{}]",
        event(&now, "").replace(":1,", ":2,"),
        event("1970-01-01T00:00:00Z", "")
    );
    let answer: Value = client
        .post(format!("{url}/telemetry"))
        .bearer_auth(&token)
        .body(batch)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["accepted"], 1, "{answer}");
    assert_eq!(answer["rejected"][0]["index"], 1, "{answer}");
}
