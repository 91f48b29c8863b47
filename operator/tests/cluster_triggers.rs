//! A Trigger and a Rule between a topic and an action, on real nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use millrace_testkit::{Platform, fresh};
use serde_json::{Value, json};

/// Drives a car for six minutes of its time, in which its coolant boils.
async fn boil(platform: &Platform, vehicle: &str) {
    let admin = std::fs::read_to_string(&platform.admin_token_file).unwrap();
    let client = reqwest::Client::new();
    let url = format!("{}/v1/vehicles/{vehicle}", platform.http);
    let put = client
        .put(&url)
        .bearer_auth(admin.trim())
        .send()
        .await
        .unwrap();
    let enrolled: Value = put.json().await.unwrap();
    let start = Timestamp::now() - SignedDuration::from_secs(360);
    let events: Vec<Value> = (0..360_i32)
        .map(|second| {
            json!({
                "vehicle": vehicle, "sequence": second,
                "time": start + SignedDuration::from_secs(i64::from(second)),
                "engine_speed": 2100.0, "engine_run_time": 1200 + second,
                "coolant_temperature": 90.0 + (f64::from((second - 60).max(0)) / 6.0).min(38.0),
            })
        })
        .collect();
    let sent = client
        .post(format!("{url}/telemetry"))
        .bearer_auth(enrolled["token"].as_str().unwrap())
        .json(&events)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200);
}

/// A counter of the dispatch job of the event source.
fn counter(platform: &Platform, name: &str) -> f64 {
    let pods = platform
        .kubectl(&[
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/instance=by-trigger",
            "--field-selector=status.phase=Running",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])
        .unwrap_or_default();
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}:9090/proxy/metrics",
        platform.namespace,
        pods.trim()
    );
    let metrics = platform
        .kubectl(&["get", "--raw", &path])
        .unwrap_or_default();
    metrics
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter(|l| {
            l.split(['{', ' '])
                .next()
                .is_some_and(|metric| metric.ends_with(name))
        })
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn until(platform: &Platform, name: &str, least: f64) {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let value = counter(platform, name);
        if value >= least {
            return;
        }
        assert!(Instant::now() < end, "{name} is {value}, not {least}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[tokio::test]
#[ignore = "cluster tier"]
async fn a_trigger_counts_as_served_only_when_its_actions_succeeded() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let prefix = fresh("trigger");
    let p = &platform.name;
    let rule = |active: bool| {
        format!(
            "apiVersion: millrace.dev/v1alpha1\nkind: Rule\nmetadata: {{name: on-alarm}}\nspec: {{openwhisk: {p}-whisk, trigger: alarm, action: assess-vehicle, active: {active}}}\n"
        )
    };
    let manifest = format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: alarm}}\nspec: {{openwhisk: {p}-whisk}}\n---\n{}---\napiVersion: millrace.dev/v1alpha1\nkind: EventSource\nmetadata: {{name: by-trigger}}\nspec: {{topic: {p}-alerts, trigger: alarm, filter: \"vehicle LIKE '{prefix}%'\", attempts: 200, backoff: {{initialMilliseconds: 100, maximumMilliseconds: 500}}, deadLetterTopic: {p}-dead-letters}}\n",
        rule(true)
    );
    platform.apply(&manifest).unwrap();
    // This test reads the metrics through the API server, which no policy of the operator lets in.
    let scrape = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "scrape-by-trigger"},
        "spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "by-trigger"}}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 9090}]}]}});
    platform.apply(&scrape.to_string()).unwrap();
    for name in [
        "trigger/alarm",
        "rule.millrace.dev/on-alarm",
        "eventsource/by-trigger",
    ] {
        platform
            .kubectl(&["wait", name, "--for=condition=Available", "--timeout=120s"])
            .unwrap();
    }
    boil(&platform, &format!("{prefix}-one")).await;
    until(&platform, "delivered_total", 2.0);

    // Without a rule that is active OpenWhisk answers 204: nothing ran, so the record is not done.
    platform.apply(&rule(false)).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while platform
        .kubectl(&[
            "get",
            "rule.millrace.dev/on-alarm",
            "-o",
            "jsonpath={.status.active}",
        ])
        .unwrap()
        != "false"
    {
        assert!(Instant::now() < end, "the rule stays active");
        std::thread::sleep(Duration::from_millis(300));
    }
    let before = counter(&platform, "delivered_total");
    boil(&platform, &format!("{prefix}-two")).await;
    until(&platform, "retries_total", 1.0);
    assert_eq!(counter(&platform, "delivered_total"), before);
    platform.apply(&rule(true)).unwrap();
    until(&platform, "delivered_total", before + 2.0);
    assert_eq!(counter(&platform, "dead_letters_total"), 0.0);
    for name in [
        "eventsource/by-trigger",
        "rule.millrace.dev/on-alarm",
        "trigger/alarm",
        "networkpolicy/scrape-by-trigger",
    ] {
        platform.kubectl(&["delete", name]).unwrap();
    }
}
