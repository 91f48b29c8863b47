//! Triggers and rules: what is accepted, what they wait for, and what is done in a real embedded OpenWhisk.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use millrace_operator::action::crd::Action;
use millrace_operator::controller;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::remote::action::{Actions, RemoteAction};
use millrace_operator::remote::openwhisk::WhiskClient;
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::rule::WhiskRules;
use millrace_operator::remote::trigger::Triggers;
use millrace_operator::rule::crd::WhiskRule;
use millrace_operator::trigger::crd::Trigger;
use serde_json::{Value, json};

use crate::support::{Scene, eventually};
use crate::whisk_support::{KEY, USER, answering, start, wanted, zip};

fn rule() -> Value {
    json!({"openwhisk": "w", "trigger": "alerts", "action": "assess"})
}

fn with(mut base: Value, field: &str, value: Value) -> Value {
    base[field] = value;
    base
}

pub async fn good_and_bad_triggers_and_rules(scene: &Scene) {
    let trigger = json!({"openwhisk": "w"});
    for (kind, name, spec) in [
        ("Trigger", "small", trigger.clone()),
        (
            "Trigger",
            "full",
            json!({"openwhisk": "w", "triggerName": "All alerts", "parameters": {"deep": {"er": 1}}, "deletionPolicy": "Retain",
            "parametersFrom": [{"name": "p", "secretRef": {"name": "s", "key": "k"}}], "annotations": {"a": "b", "c": true}, "paused": true}),
        ),
        ("Rule", "small", rule()),
        ("Rule", "packaged", with(rule(), "action", json!("pkg/a"))),
        ("Rule", "off", with(rule(), "active", json!(false))),
    ] {
        let made = scene.apply(kind, name, spec).await;
        let made = made.unwrap_or_else(|message| panic!("{kind} {name}: {message}"));
        if name == "small" && kind == "Rule" {
            assert_eq!(made.data["spec"]["active"], true);
            assert_eq!(made.data["spec"]["deletionPolicy"], "Delete");
        }
    }
    let twice = json!([{"name": "p", "secretRef": {"name": "s", "key": "k"}}, {"name": "p", "secretRef": {"name": "s", "key": "l"}}]);
    for (kind, spec, says) in [
        ("Trigger", json!({}), "spec.openwhisk"),
        (
            "Trigger",
            with(trigger.clone(), "triggerName", json!("a/b")),
            "spec.triggerName",
        ),
        (
            "Trigger",
            with(trigger.clone(), "parametersFrom", twice),
            "spec.parametersFrom",
        ),
        (
            "Rule",
            json!({"openwhisk": "w", "action": "a"}),
            "spec.trigger",
        ),
        (
            "Rule",
            json!({"openwhisk": "w", "trigger": "t"}),
            "spec.action",
        ),
        (
            "Rule",
            with(rule(), "action", json!("a/b/c")),
            "spec.action",
        ),
        (
            "Rule",
            with(rule(), "trigger", json!("/_/t")),
            "spec.trigger",
        ),
        ("Rule", with(rule(), "active", json!("yes")), "spec.active"),
    ] {
        let message = scene.apply(kind, "bad", spec.clone()).await.unwrap_err();
        assert!(message.contains(says), "{kind} {spec}: {message}");
    }
    for (kind, before, after, says) in [
        (
            "Trigger",
            trigger.clone(),
            with(trigger.clone(), "triggerName", json!("x")),
            "spec.triggerName: cannot be changed",
        ),
        (
            "Rule",
            with(rule(), "ruleName", json!("x")),
            with(rule(), "ruleName", json!("y")),
            "spec.ruleName: cannot be changed",
        ),
    ] {
        scene.apply(kind, "named", before).await.unwrap();
        let message = scene.apply(kind, "named", after).await.unwrap_err();
        assert!(message.contains(says), "{message}");
    }
}

pub async fn links_wait_for_their_openwhisk_and_let_go_with_it(scene: &Scene) {
    scene
        .make::<Triggers>("alerts", json!({"openwhisk": "w"}))
        .await;
    scene.make::<WhiskRules>("warn", rule()).await;
    for (status, reason, message) in [
        scene.condition::<Trigger>("alerts", "Available").await,
        scene.condition::<WhiskRule>("warn", "Available").await,
    ] {
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("False", "WaitingForOpenWhisk")
        );
        assert!(message.starts_with("spec.openwhisk: w: "), "{message}");
    }
    // A younger resource of the same trigger leaves it alone.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    scene
        .make::<Triggers>("rival", json!({"openwhisk": "w", "triggerName": "alerts"}))
        .await;
    let (_, reason, message) = scene.condition::<Trigger>("rival", "Degraded").await;
    assert_eq!(reason, "Claimed");
    assert!(
        message.starts_with("spec.triggerName: alerts: ") && message.contains("Trigger alerts"),
        "{message}"
    );
    // There is no OpenWhisk that could hold anything: nothing holds the resources back.
    let delete = DeleteParams::default();
    let (triggers, rules) = (scene.api::<Trigger>(), scene.api::<WhiskRule>());
    triggers.delete("alerts", &delete).await.unwrap();
    rules.delete("warn", &delete).await.unwrap();
    assert_eq!(triggers.get("alerts").await.unwrap().finalizers().len(), 1);
    assert!(scene.look::<Triggers>("alerts").await);
    assert!(scene.look::<WhiskRules>("warn").await);
    assert!(triggers.get_opt("alerts").await.unwrap().is_none());
    assert!(rules.get_opt("warn").await.unwrap().is_none());
}

/// An OpenWhisk that is available, at this address.
pub async fn openwhisk(scene: &Scene, uri: &str) {
    scene.apply("OpenWhisk", "w", json!({})).await.unwrap();
    let text = |text: &str| ByteString(text.as_bytes().to_vec());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some("w-key".to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(
            [
                ("uri".to_owned(), text(uri)),
                ("username".to_owned(), text(USER)),
                ("password".to_owned(), text(KEY)),
            ]
            .into(),
        ),
        ..Secret::default()
    };
    let secrets = scene.api::<Secret>();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let available = json!([{"type": "Available", "status": "True", "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    scene
        .set_status::<OpenWhisk>(
            "w",
            json!({"conditions": available, "binding": {"name": "w-key"}}),
        )
        .await;
}

async fn assess(client: &WhiskClient) {
    let assess = wanted("assess", &answering("{}"));
    let action = RemoteAction {
        client,
        wanted: &assess,
        known_version: None,
    };
    converge(&action).await.unwrap();
}

pub async fn links_are_made_corrected_and_removed(scene: &Scene) {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let reason = async || scene.condition::<WhiskRule>("warn", "Available").await.1;
    let (triggers, rules) = (scene.api::<Trigger>(), scene.api::<WhiskRule>());
    let delete = DeleteParams::default();

    assert!(scene.make::<WhiskRules>("warn", rule()).await);
    assert_eq!(reason().await, "WaitingForTrigger");
    assert!(
        scene
            .make::<Triggers>("alerts", json!({"openwhisk": "w", "parameters": {"a": 1}}))
            .await
    );
    let version = triggers.get("alerts").await.unwrap().status.unwrap();
    assert_eq!(version.version.as_deref(), Some("0.0.1"));
    assert!(scene.look::<WhiskRules>("warn").await);
    assert_eq!(reason().await, "WaitingForAction");
    assess(&client).await;
    assert!(scene.look::<WhiskRules>("warn").await);
    assert_eq!(reason().await, "Installed");
    let writes = scene.writes();
    assert!(scene.look::<WhiskRules>("warn").await && scene.look::<Triggers>("alerts").await);
    assert_eq!(scene.writes(), writes, "a second look writes nothing");

    // What others did is put right.
    client.set_rule_active("warn", false).await.unwrap();
    client.delete_action("assess").await.unwrap();
    assert!(scene.look::<WhiskRules>("warn").await);
    assert_eq!(reason().await, "WaitingForAction");
    assess(&client).await;
    client.delete_trigger("alerts").await.unwrap();
    assert!(scene.look::<Triggers>("alerts").await);
    assert!(scene.look::<WhiskRules>("warn").await);
    let status = rules.get("warn").await.unwrap().status.unwrap();
    assert_eq!(status.active, Some(true));
    assert!(client.fire("alerts", &json!({})).await.unwrap().is_some());
    scene
        .make::<WhiskRules>("warn", with(rule(), "active", json!(false)))
        .await;
    assert_eq!(client.fire("alerts", &json!({})).await.unwrap(), None);

    // What is retained stays in OpenWhisk; the rest goes with its resource.
    scene
        .make::<Triggers>(
            "alerts",
            json!({"openwhisk": "w", "deletionPolicy": "Retain"}),
        )
        .await;
    triggers.delete("alerts", &delete).await.unwrap();
    rules.delete("warn", &delete).await.unwrap();
    assert!(scene.look::<WhiskRules>("warn").await);
    assert!(triggers.get_opt("alerts").await.unwrap().is_none());
    assert!(rules.get_opt("warn").await.unwrap().is_none());
    assert!(client.trigger("alerts").await.unwrap().is_some());
    assert_eq!(client.rule("warn").await.unwrap(), None);
}

/// What `kubectl delete -f` does: all at once, and what is used first.
pub async fn who_uses_an_entity_goes_before_it(scene: &Scene) {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("code".to_owned()),
            ..ObjectMeta::default()
        },
        binary_data: Some(
            [(
                "a.zip".to_owned(),
                ByteString(zip("exec", answering("{}").as_bytes())),
            )]
            .into(),
        ),
        ..ConfigMap::default()
    };
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &map).await.unwrap();
    for (kind, name, spec) in [
        (
            "Action",
            "assess",
            json!({"openwhisk": "w", "code": {"configMap": {"name": "code", "key": "a.zip"}}}),
        ),
        (
            "Action",
            "chain",
            json!({"openwhisk": "w", "sequence": ["/_/assess"]}),
        ),
        ("Trigger", "alerts", json!({"openwhisk": "w"})),
        ("Rule", "warn", rule()),
    ] {
        scene.apply(kind, name, spec).await.unwrap();
    }
    // The controllers make them, and note who names whom.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = [
        tokio::spawn(controller::run::<Actions>(
            scene.context.clone(),
            stopped.clone(),
        )),
        tokio::spawn(controller::run::<Triggers>(
            scene.context.clone(),
            stopped.clone(),
        )),
        tokio::spawn(controller::run::<WhiskRules>(
            scene.context.clone(),
            stopped,
        )),
    ];
    let (actions, triggers, rules) = (
        scene.api::<Action>(),
        scene.api::<Trigger>(),
        scene.api::<WhiskRule>(),
    );
    eventually("all are installed", || async {
        let rule = rules.get("warn").await.unwrap().status?;
        let chain = actions.get("chain").await.unwrap().status?;
        let trigger = triggers.get("alerts").await.unwrap().status?;
        let action = actions.get("assess").await.unwrap().status?;
        (rule.active?
            && chain.version.is_some()
            && trigger.version.is_some()
            && action.version.is_some())
        .then_some(())
    })
    .await;
    // From here on everything is looked at by hand.
    stop.send(true).unwrap();
    for one in running {
        one.await.unwrap();
    }
    let delete = DeleteParams::default();
    actions.delete("assess", &delete).await.unwrap();
    actions.delete("chain", &delete).await.unwrap();
    triggers.delete("alerts", &delete).await.unwrap();
    rules.delete("warn", &delete).await.unwrap();
    let held = async || {
        assert!(scene.look::<Actions>("assess").await);
        assert!(client.action("assess", false).await.unwrap().is_some());
        let (_, reason, message) = scene.condition::<Action>("assess", "Progressing").await;
        assert_eq!(reason, "InUse", "{message}");
        message
    };
    let by_rule = "action assess is removed after Rule warn, which uses it";
    assert_eq!(held().await, by_rule);
    assert!(scene.look::<Triggers>("alerts").await);
    assert!(client.trigger("alerts").await.unwrap().is_some());
    assert!(scene.look::<WhiskRules>("warn").await);
    assert!(rules.get_opt("warn").await.unwrap().is_none());
    assert_eq!(client.rule("warn").await.unwrap(), None);
    // Its sequence is left.
    let by_sequence = "action assess is removed after Action chain, which uses it";
    assert_eq!(held().await, by_sequence);
    assert!(scene.look::<Actions>("chain").await);
    assert!(scene.look::<Actions>("assess").await);
    assert!(scene.look::<Triggers>("alerts").await);
    assert!(client.actions().await.unwrap().is_empty());
    assert_eq!(client.trigger("alerts").await.unwrap(), None);
    for name in ["assess", "chain"] {
        assert!(actions.get_opt(name).await.unwrap().is_none());
    }
}
