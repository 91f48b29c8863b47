//! The webhook's channel.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::http::{Request, answer, serve};
use crate::stream::certificate;
use crate::{AMPLE, WEBHOOK_SECRET, input, run};

fn to_webhook(url: &str) -> Value {
    input(json!({"channels": ["webhook"], "webhook_url": url, "webhook_secret": WEBHOOK_SECRET}))
}

/// What a receiver does, after the specification.
pub fn verify(request: &Request) {
    let id = request.header("webhook-id").unwrap();
    let timestamp = request.header("webhook-timestamp").unwrap();
    let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
    let key = STANDARD
        .decode(WEBHOOK_SECRET.strip_prefix("whsec_").unwrap())
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&request.body);
    let signature = request
        .header("webhook-signature")
        .and_then(|value| value.strip_prefix("v1,"))
        .unwrap();
    mac.verify_slice(&STANDARD.decode(signature).unwrap())
        .unwrap();
}

#[test]
fn a_signed_event_is_sent_again_with_the_same_id_and_body() {
    let hook = serve(
        vec![
            answer(500, "", ""),
            answer(429, "", ""),
            answer(204, "", ""),
        ],
        None,
    );
    let url = format!("http://localhost:{}/hooks/T0KEN?key=1", hook.port);
    let delivery = run(to_webhook(&url), AMPLE).unwrap();
    assert_eq!(delivery.delivered, ["webhook"]);
    let requests = hook.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    for request in requests.iter() {
        verify(request);
        assert!(request.head.starts_with("POST /hooks/T0KEN?key=1 "));
        assert_eq!(
            request.header("webhook-id"),
            Some("car-1/overheating/e1/critical")
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.body, requests[0].body);
    }
    let event: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(event["type"], "vehicle.warning");
    assert_eq!(event["timestamp"], event["data"]["alert"]["detected_at"]);
    assert_eq!(event["data"]["urgency"], "now");
    assert!(
        event["data"]["text"]
            .as_str()
            .unwrap()
            .starts_with("Danger !")
    );
}

#[test]
fn the_wish_to_wait_is_kept() {
    let hook = serve(
        vec![answer(503, "Retry-After: 1\r\n", ""), answer(200, "", "ok")],
        None,
    );
    let started = Instant::now();
    run(
        to_webhook(&format!("http://127.0.0.1:{}", hook.port)),
        AMPLE,
    )
    .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    // A wish beyond the deadline leaves nothing to do but wait for it.
    let hook = serve(vec![answer(503, "Retry-After: 3600\r\n", "")], None);
    let started = Instant::now();
    let url = format!("http://127.0.0.1:{}", hook.port);
    let error = run(to_webhook(&url), 2000).unwrap_err();
    assert!(error.to_string().contains("answered 503"), "{error}");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(hook.requests.lock().unwrap().len(), 1);
}

#[test]
fn refusals_and_redirections_are_final() {
    for (status, headers) in [
        (404, ""),
        (302, "Location: http://127.0.0.1:1/\r\n"),
        (410, ""),
    ] {
        let hook = serve(vec![answer(status, headers, "")], None);
        let url = format!("http://127.0.0.1:{}/T0KEN", hook.port);
        let error = run(to_webhook(&url), AMPLE).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "webhook http://127.0.0.1:{}: answered {status}; correct webhook_url or webhook_secret, or the receiver",
                hook.port
            )
        );
        assert_eq!(hook.requests.lock().unwrap().len(), 1, "{status}");
    }
}

#[test]
fn https_trusts_the_named_authorities_only() {
    let (pem, config) = certificate();
    let hook = serve(vec![answer(200, "", "")], Some(config));
    let url = format!("https://localhost:{}/x", hook.port);
    let mut value = to_webhook(&url);
    value["webhook_ca"] = json!(pem);
    assert_eq!(run(value.clone(), AMPLE).unwrap().delivered, ["webhook"]);
    verify(&hook.requests.lock().unwrap()[0]);
    // Another name than the certificate's, and Mozilla's authorities, are refused before anything is said.
    value["webhook_url"] = json!(format!("https://127.0.0.1:{}/x", hook.port));
    for value in [value, to_webhook(&url)] {
        let error = run(value, 2000).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("certificate"), "{error}");
    }
    assert_eq!(hook.requests.lock().unwrap().len(), 1);
}

#[test]
fn what_succeeded_is_not_told_again_and_what_failed_is_named() {
    let gateway = serve(vec![answer(202, "", r#"{"duplicate":false}"#)], None);
    let hook = serve(vec![answer(503, "", "")], None);
    let mut value = to_webhook(&format!("http://127.0.0.1:{}", hook.port));
    value["channels"] = json!(["webhook", "vehicle", "vehicle"]);
    value["gateway_url"] = json!(format!("http://127.0.0.1:{}", gateway.port));
    value["notify_token"] = json!("t0ken");
    let error = run(value, 2000).unwrap_err().to_string();
    assert!(error.ends_with("(delivered over vehicle)"), "{error}");
    assert!(error.starts_with("webhook http://127.0.0.1"), "{error}");
    assert_eq!(gateway.requests.lock().unwrap().len(), 1);
    assert!(hook.requests.lock().unwrap().len() >= 2);
}
