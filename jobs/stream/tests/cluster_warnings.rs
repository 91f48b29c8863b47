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

mod cluster_support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster_support::{Drives, platform_and_trips, text, told_once, warnings};
use jiff::Timestamp;
use millrace_analytics::{Detector, Rules, Zones};
use millrace_testkit::{Platform, fresh};
use serde_json::Value;

const START: &str = "2026-02-01T08:00:00Z";
const FAULT_AT: i64 = 240;
/// A trip needs so many seconds after a fault begins, so that it leads from healthy to a warning.
const AFTER_FAULT: i64 = 420;
const RAMP: &str = "coolant-ramp@240:8";

fn detector() -> Detector {
    Detector::new(Rules::default(), Zones::default()).unwrap()
}

/// The long trips, of which the fault is given to some.
fn long_trips(format: &'static str, files: &[PathBuf], least: i64, count: usize) -> Vec<PathBuf> {
    let any = Drives::new("any", format, START, Vec::new());
    let long: Vec<PathBuf> = files
        .iter()
        .filter(|file| any.trip(file).duration().as_secs() >= least)
        .take(count)
        .cloned()
        .collect();
    assert!(
        long.len() >= count.min(4),
        "only {} trips of {format} are long enough",
        long.len()
    );
    long
}

fn healthy(set: &'static str) {
    let Some((platform, files)) = platform_and_trips(set, ".csv.gz") else {
        return;
    };
    let drives = Drives::new("healthy", set, START, files);
    let lines = drives.drive(&platform);
    let raised = warnings(&lines);
    assert!(
        raised.is_empty(),
        "{} trips, {raised:?}",
        drives.files.len()
    );
    assert_eq!(told_once(&lines), drives.expected(&detector()));
}

#[test]
#[ignore = "cluster tier"]
fn healthy_trips_of_carobd_raise_nothing() {
    healthy("carobd");
}

#[test]
#[ignore = "cluster tier"]
fn healthy_trips_of_kit_obd2_raise_nothing() {
    healthy("kit_obd2");
}

/// Nothing before the fault, one episode of its rule after it, and as the pure rules say.
fn injected(set: &'static str, injection: &str, rule: &str, least: i64, count: usize) {
    let Some((platform, files)) = platform_and_trips(set, ".csv.gz") else {
        return;
    };
    let files = long_trips(set, &files, least, count);
    let drives = Drives::new("fault", set, START, files).with(injection);
    let begins = START.parse::<Timestamp>().unwrap().as_second() + FAULT_AT;
    let lines = drives.drive(&platform);
    assert_eq!(
        told_once(&lines),
        drives.expected(&detector()),
        "{injection}"
    );
    for file in &drives.files {
        let vehicle = drives.vehicle(file);
        let of_vehicle: Vec<&Value> = lines
            .iter()
            .filter(|l| l["vehicle"] == vehicle.as_str())
            .filter(|l| l["severity"] != "info" || rule == "fuel-low")
            .collect();
        let episodes: BTreeSet<&str> = of_vehicle.iter().map(|l| text(l, "episode")).collect();
        assert_eq!(episodes.len(), 1, "{injection}, {vehicle}: {of_vehicle:?}");
        for line in of_vehicle {
            assert_eq!(text(line, "rule"), rule, "{line}");
            assert!(line["delivered_at"].is_string(), "{line}");
            let at: Timestamp = text(line, "event_time").parse().unwrap();
            assert!(at.as_second() >= begins, "told before the fault: {line}");
        }
    }
}

#[test]
#[ignore = "cluster tier"]
fn a_coolant_ramp_is_one_episode_after_it_began() {
    injected("carobd", RAMP, "overheating", FAULT_AT + AFTER_FAULT, 12);
    injected("kit_obd2", RAMP, "overheating", 900, 6);
}

#[test]
#[ignore = "cluster tier"]
fn an_alternator_that_fails_is_one_episode_after_it_began() {
    injected(
        "carobd",
        "charging-failure@240:0.5",
        "charging-failure",
        900,
        8,
    );
    injected(
        "kit_obd2",
        "charging-failure@240:0.5",
        "charging-failure",
        900,
        6,
    );
}

#[test]
#[ignore = "cluster tier"]
fn a_slow_puncture_is_one_episode_after_it_began() {
    injected(
        "carobd",
        "slow-puncture@240:8:rear_left",
        "slow-puncture",
        1200,
        6,
    );
    injected(
        "kit_obd2",
        "slow-puncture@240:5:front_right",
        "slow-puncture",
        1200,
        6,
    );
}

#[test]
#[ignore = "cluster tier"]
fn a_code_is_one_episode_after_it_came() {
    injected("carobd", "dtc@240:P0301", "check-engine", 600, 6);
    injected("kit_obd2", "dtc@240:P0524", "check-engine", 600, 6);
}

#[test]
#[ignore = "cluster tier"]
fn fuel_that_runs_out_is_told_once() {
    injected("kit_obd2", "fuel-leak@240:8", "fuel-low", 1200, 6);
}

#[test]
#[ignore = "cluster tier"]
fn killing_detect_midway_loses_none_and_doubles_none() {
    let Some((platform, files)) = platform_and_trips("carobd", ".csv.gz") else {
        return;
    };
    let files = long_trips("carobd", &files, FAULT_AT + AFTER_FAULT, 6);
    let drives = Drives::new("killed", "carobd", START, files).with(RAMP);
    // 40 times real time: a trip of 20 minutes takes half a minute, and the pod dies in the middle of it.
    let drive = drives.start(&platform, &["--speed", "40"]);
    let instance = format!("app.kubernetes.io/instance={}-detect", platform.name);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(7));
        platform
            .kubectl(&[
                "delete",
                "pod",
                "-l",
                &instance,
                "--grace-period=0",
                "--force",
            ])
            .unwrap();
    }
    let expected = drives.expected(&detector());
    assert!(!expected.is_empty());
    assert_eq!(told_once(&drive.finish()), expected);
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
        format!("{}-car", fresh("speech")),
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
    let vehicle = format!("{}-car", fresh("wrong"));
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
