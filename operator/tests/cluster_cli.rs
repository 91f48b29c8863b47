//! `millrace` against a platform on real nodes, by way of the Kubernetes API as its users have it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use millrace_testkit::{Platform, fresh};
use serde_json::Value;

/// What `millrace` writes, or what it complains of.
fn millrace(platform: &Platform, arguments: &[&str]) -> Result<String, String> {
    cluster_support::millrace(platform, &platform.namespace, arguments)
}

fn json(platform: &Platform, arguments: &[&str]) -> Value {
    let mut with_output = arguments.to_vec();
    with_output.extend(["--output", "json"]);
    serde_json::from_str(&millrace(platform, &with_output).unwrap()).unwrap()
}

async fn post(platform: &Platform, vehicle: &str, token: &str, body: String) -> u16 {
    reqwest::Client::new()
        .post(format!("{}/v1/vehicles/{vehicle}/telemetry", platform.http))
        .bearer_auth(token)
        .body(body)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

fn event(vehicle: &str, sequence: u64, signals: &str) -> String {
    let now = jiff::Timestamp::now();
    format!(r#"{{"vehicle":"{vehicle}","sequence":{sequence},"time":"{now}"{signals}}}"#)
}

/// Opens an MQTT 3.1.1 session and gives its connection once the gateway has accepted it.
fn session(platform: &Platform, vehicle: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&platform.mqtt).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let text = |out: &mut Vec<u8>, s: &str| {
        out.extend(u16::try_from(s.len()).unwrap().to_be_bytes());
        out.extend(s.as_bytes());
    };
    let mut rest = Vec::new();
    text(&mut rest, "MQTT");
    // Version 4; user name, password and clean session; 60 s.
    rest.extend([4, 0b1100_0010, 0, 60]);
    for part in [vehicle, vehicle, token] {
        text(&mut rest, part);
    }
    let mut length = rest.len();
    let mut packet = vec![0x10];
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        packet.push(if length > 0 { low | 128 } else { low });
        if length == 0 {
            break;
        }
    }
    packet.extend(rest);
    stream.write_all(&packet).unwrap();
    let mut answer = [0_u8; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK");
    stream
}

#[tokio::test]
#[ignore = "cluster tier"]
async fn a_vehicle_is_enrolled_rotated_and_revoked() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let vehicle = fresh("cli");
    let first = millrace(&platform, &["vehicle", "enrol", &vehicle]).unwrap();
    assert_eq!(
        post(&platform, &vehicle, &first, event(&vehicle, 0, "")).await,
        200
    );
    let refused = millrace(&platform, &["vehicle", "enrol", &vehicle]).unwrap_err();
    assert!(refused.contains("vehicle rotate"), "{refused}");

    let second = millrace(
        &platform,
        &["vehicle", "rotate", &vehicle, "--grace", "300"],
    )
    .unwrap();
    assert_ne!(first, second);
    for token in [&first, &second] {
        assert_eq!(
            post(&platform, &vehicle, token, event(&vehicle, 1, "")).await,
            200
        );
    }
    let listed = millrace(&platform, &["vehicle", "list"]).unwrap();
    assert!(listed.lines().any(|l| l.starts_with(&vehicle)), "{listed}");

    let mut open = session(&platform, &vehicle, &second);
    millrace(&platform, &["vehicle", "revoke", &vehicle]).unwrap();
    let mut rest = Vec::new();
    let ended = open.read_to_end(&mut rest);
    assert!(
        ended.is_ok()
            || ended
                .as_ref()
                .is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
        "the session lives on: {ended:?}"
    );
    for token in [&first, &second] {
        assert_eq!(
            post(&platform, &vehicle, token, event(&vehicle, 2, "")).await,
            401
        );
    }
    let shown = millrace(&platform, &["vehicle", "show", &vehicle]).unwrap_err();
    assert!(shown.contains(&vehicle), "{shown}");
    let wrong = millrace(&platform, &["vehicle", "enrol", "no such/id"]).unwrap_err();
    assert!(wrong.contains("no such/id"), "{wrong}");
}

/// The dead letters of a vehicle once there are `count`.
fn letters(platform: &Platform, vehicle: &str, count: usize) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = json(platform, &["dead-letters", "list", "--vehicle", vehicle]);
        let list = answer
            .as_array()
            .or_else(|| answer["deadLetters"].as_array())
            .unwrap_or_else(|| panic!("no list: {answer}"))
            .clone();
        if list.len() >= count {
            assert_eq!(list.len(), count, "{list:?}");
            return list;
        }
        assert!(Instant::now() < end, "{} of {count}: {list:?}", list.len());
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[tokio::test]
#[ignore = "cluster tier"]
async fn dead_letters_are_listed_shown_and_sent_again() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let vehicle = fresh("dead");
    let token = millrace(&platform, &["vehicle", "enrol", &vehicle]).unwrap();
    // The action wants an alert: telemetry fails it for good at the first attempt.
    let source = format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: EventSource\nmetadata: {{name: failing}}\nspec: {{topic: {p}-telemetry, action: {p}-assess-vehicle, attempts: 1, deadLetterTopic: {p}-dead-letters, filter: \"vehicle = '{vehicle}'\"}}\n",
        p = platform.name
    );
    platform.apply(&source).unwrap();
    platform
        .kubectl(&[
            "wait",
            "eventsource/failing",
            "--for=condition=Available",
            "--timeout=120s",
        ])
        .unwrap();
    assert_eq!(
        post(
            &platform,
            &vehicle,
            &token,
            event(&vehicle, 0, r#","speed":41.5"#)
        )
        .await,
        200
    );
    let first = letters(&platform, &vehicle, 1);
    let id = first[0]["id"].as_str().unwrap();
    let shown: Value =
        serde_json::from_str(&millrace(&platform, &["dead-letters", "show", id]).unwrap()).unwrap();
    assert!(shown.to_string().contains("41.5"), "{shown}");
    millrace(&platform, &["dead-letters", "redrive", id]).unwrap();
    // It fails again: that is what shows that it came.
    letters(&platform, &vehicle, 2);
    let twice = millrace(&platform, &["dead-letters", "redrive", id]).unwrap_err();
    assert!(twice.contains("again"), "{twice}");
    platform
        .kubectl(&["delete", "eventsource", "failing"])
        .unwrap();

    // What the gateway refused is sealed, and opened for the administrator only.
    let driver = "driver-4712-of-the-tests";
    let wrong = event(&vehicle, 1, &format!(r#","speed":900,"driver":"{driver}""#));
    assert_eq!(post(&platform, &vehicle, &token, wrong).await, 400);
    let sealed = letters(&platform, &vehicle, 3);
    let id = sealed[0]["id"].as_str().unwrap();
    let closed = millrace(&platform, &["dead-letters", "show", id]).unwrap();
    assert!(!closed.contains(driver), "{closed}");
    let open = millrace(&platform, &["dead-letters", "show", id, "--open"]).unwrap();
    assert!(open.contains(driver), "{open}");
}
