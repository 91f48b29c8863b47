//! Triggers and rules through the client and the pipeline against the embedded server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod whisk_support;

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_operator::remote::action::RemoteAction;
use millrace_operator::remote::openwhisk::{Class, WhiskClient};
use millrace_operator::remote::pipeline::{Remote, converge};
use millrace_operator::remote::rule::{RemoteRule, WantedRule};
use millrace_operator::remote::trigger::{RemoteTrigger, WantedTrigger};
use serde_json::{Value, json};
use whisk_support::{KEY, USER, answering, start, wanted};

async fn made<R: Remote>(remote: &R) -> Vec<String> {
    let outcome = converge(remote).await.unwrap();
    outcome.made.iter().map(ToString::to_string).collect()
}

fn alerts() -> WantedTrigger {
    WantedTrigger {
        name: "alerts".to_owned(),
        parameters: BTreeMap::from([("language".to_owned(), json!("en"))]),
        annotations: BTreeMap::from([("owner".to_owned(), "fleet".into())]),
    }
}

fn warn() -> WantedRule {
    WantedRule {
        name: "warn".to_owned(),
        trigger: "alerts".to_owned(),
        action: "assess".to_owned(),
        active: true,
    }
}

#[tokio::test]
#[ignore = "systems tier"]
async fn triggers_and_rules_are_written_once_corrected_and_removed() {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    let assess = wanted("assess", &answering(r#"{"urgency":"now"}"#));
    let action = RemoteAction {
        client: &client,
        wanted: &assess,
        known_version: None,
    };
    let (mut alerts, mut warn) = (alerts(), warn());
    fn rule<'a>(client: &'a WhiskClient, wanted: &'a WantedRule) -> RemoteRule<'a> {
        RemoteRule { client, wanted }
    }
    fn trigger<'a>(client: &'a WhiskClient, wanted: &'a WantedTrigger) -> RemoteTrigger<'a> {
        RemoteTrigger { client, wanted }
    }
    assert_eq!(client.trigger("alerts").await.unwrap(), None);
    // A rule without its trigger and its action is refused as a whole.
    let error = converge(&rule(&client, &warn)).await.unwrap_err();
    assert_eq!(error.class(), Some(Class::Invalid), "{error}");

    assert_eq!(
        made(&trigger(&client, &alerts)).await,
        ["create trigger alerts"]
    );
    made(&action).await;
    assert_eq!(client.fire("alerts", &json!({})).await.unwrap(), None);
    assert_eq!(
        made(&rule(&client, &warn)).await,
        ["create rule warn: alerts runs assess"]
    );
    assert!(
        made(&trigger(&client, &alerts)).await.is_empty()
            && made(&rule(&client, &warn)).await.is_empty()
    );
    fires(&client).await;

    alerts.parameters.insert("more".to_owned(), json!(1));
    alerts.annotations.clear();
    assert_eq!(
        made(&trigger(&client, &alerts)).await,
        [
            "trigger alerts: parameter more is bound",
            "trigger alerts: annotation owner: fleet → (none)"
        ]
    );
    assert!(
        made(&rule(&client, &warn)).await.is_empty(),
        "its rules stay"
    );
    warn.active = false;
    assert_eq!(
        made(&rule(&client, &warn)).await,
        ["rule warn: make inactive"]
    );
    assert_eq!(client.fire("alerts", &json!({})).await.unwrap(), None);
    warn.active = true;
    made(&rule(&client, &warn)).await;

    // Somebody takes the action away and brings it back: the rule needs nothing.
    assert!(client.delete_action("assess").await.unwrap());
    assert!(made(&rule(&client, &warn)).await.is_empty());
    made(&action).await;
    fires(&client).await;
    // The same with the trigger: the rule has to be activated again.
    assert!(client.delete_trigger("alerts").await.unwrap());
    assert_eq!(
        client.rule("warn").await.unwrap().unwrap().status,
        "inactive"
    );
    made(&trigger(&client, &alerts)).await;
    assert_eq!(made(&rule(&client, &warn)).await, ["rule warn: activate"]);
    fires(&client).await;

    assert!(client.delete_rule("warn").await.unwrap());
    assert!(!client.delete_rule("warn").await.unwrap());
    assert!(client.delete_trigger("alerts").await.unwrap());
    assert!(!client.delete_trigger("alerts").await.unwrap());
}

/// A fire runs the action, and its record tells which activation that is.
async fn fires(client: &WhiskClient) {
    let id = client.fire("alerts", &json!({"x": 1})).await.unwrap();
    let record = client.activation(&id.unwrap()).await.unwrap().unwrap();
    let line: Value = serde_json::from_str(&record.logs[0]).unwrap();
    let started = line["activationId"].as_str().unwrap();
    for _ in 0..100 {
        if let Some(record) = client.activation(started).await.unwrap() {
            assert_eq!(record.response.result, json!({"urgency": "now"}));
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("activation {started} never appeared");
}
