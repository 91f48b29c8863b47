//! The vehicle's channel, and what is common to all.

use std::time::{Duration, Instant};

use millrace_contract::Notification;
use serde_json::{Value, json};

use crate::http::{answer, serve};
use crate::{AMPLE, input, run};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn to_gateway(port: u16) -> Value {
    input(
        json!({"gateway_url": format!("http://localhost:{port}"), "notify_token": "t0ken",
        "traceparent": TRACE}),
    )
}

#[test]
fn tries_again_until_the_gateway_takes_it() {
    let gateway = serve(
        vec![
            answer(503, "", "busy"),
            answer(202, "", r#"{"id":"x","duplicate":true}"#),
        ],
        None,
    );
    let delivery = run(to_gateway(gateway.port), AMPLE).unwrap();
    assert_eq!(
        (delivery.delivered, delivery.failed, delivery.duplicate),
        (vec!["vehicle".to_owned()], vec![], true)
    );
    assert_eq!(delivery.language, "fr");
    let requests = gateway.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert!(
        requests[1]
            .head
            .starts_with("POST /v1/notifications HTTP/1.1\n"),
        "{}",
        requests[1].head
    );
    assert_eq!(requests[1].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(requests[1].header("traceparent"), Some(TRACE));
    let notification: Notification = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!(notification.id, "car-1/overheating/e1/critical");
    assert!(notification.text.starts_with("Danger !"));
    assert!(notification.expires_at > jiff::Timestamp::now());
}

#[test]
fn a_refusal_is_final_and_names_the_cure() {
    let gateway = serve(vec![answer(401, "", "no")], None);
    let error = run(to_gateway(gateway.port), AMPLE).unwrap_err();
    assert!(
        error.to_string().ends_with(
            "answered 401: no; bind the notify-token of the gateway's secret as notify_token"
        ),
        "{error}"
    );
    assert_eq!(gateway.requests.lock().unwrap().len(), 1);
}

#[test]
fn gives_up_at_the_deadline() {
    let started = Instant::now();
    // Nothing listens on port 1 of the loopback address.
    let error = run(to_gateway(1), 1500).unwrap_err().to_string();
    assert!(
        error.starts_with("gateway http://localhost:1/v1/notifications: "),
        "{error}"
    );
    assert!(
        error.ends_with(" attempts; it may be sent again with the same id"),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_millis(1500));
}

#[test]
fn wrong_parameters_name_field_value_and_cure() {
    let mail = json!({"channels": ["smtp"], "smtp_url": "smtp://h", "smtp_from": "a@b.c", "smtp_to": "a@b.c"});
    let hook = json!({"channels": ["webhook"], "webhook_url": "https://h/T0KEN", "webhook_secret": crate::WEBHOOK_SECRET});
    for (base, field, value, expected) in [
        (
            json!({}),
            "channels",
            json!(["fax"]),
            "channels: fax: is no channel; use some of vehicle, webhook and smtp",
        ),
        (
            json!({}),
            "channels",
            json!([]),
            "channels: []: names no channel",
        ),
        (
            json!({}),
            "gateway_url",
            json!("ftp://x"),
            "gateway_url: ftp://x: is no http:// address",
        ),
        (
            json!({}),
            "notify_token",
            json!(""),
            "notify_token: \"\": is empty",
        ),
        (
            json!({}),
            "ttl_seconds",
            json!(0),
            "ttl_seconds: 0: is out of range; give 1 to 86400 seconds",
        ),
        (
            json!({}),
            "time_zone",
            json!("Here"),
            "time_zone: Here: is no time zone",
        ),
        (
            hook.clone(),
            "webhook_url",
            json!("h/T0KEN"),
            "webhook_url: ***: is no http:// or https:// address",
        ),
        (
            hook.clone(),
            "webhook_secret",
            json!("T0KEN"),
            "webhook_secret: ***: is no Base64",
        ),
        (
            hook,
            "webhook_ca",
            json!("T0KEN"),
            "webhook_ca: ***: holds no certificate",
        ),
        (
            mail.clone(),
            "smtp_url",
            json!("T0KEN"),
            "smtp_url: ***: begins with neither",
        ),
        (
            mail.clone(),
            "smtp_from",
            json!("me"),
            "smtp_from: me: is no mail address",
        ),
        (
            mail,
            "smtp_to",
            json!([]),
            "smtp_to: 0 addresses: names nobody",
        ),
    ] {
        let mut value_of = input(base);
        for (key, default) in [("gateway_url", "http://127.0.0.1:1"), ("notify_token", "t")] {
            if value_of.get(key).is_none() {
                value_of[key] = json!(default);
            }
        }
        value_of[field] = value;
        let error = run(value_of, AMPLE).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("T0KEN"), "{error}");
    }
}
