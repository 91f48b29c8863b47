use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::controller::Failure;

pub(in crate::eventsource) fn images() -> Images {
    Images::named(|name| format!("{name}:1"))
}

pub(in crate::eventsource) fn source(spec: serde_json::Value) -> EventSource {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "EventSource",
        "metadata": {"name": "e", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

fn topic(name: &str, kafka: &str, available: &str) -> KafkaTopic {
    serde_json::from_value(json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaTopic", "metadata": {"name": name},
        "spec": {"kafka": kafka, "topicName": "alerts", "partitions": 3, "schema": "alert"}, "status": status(available)}))
    .unwrap()
}

fn action(available: &str) -> Action {
    serde_json::from_value(json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Action", "metadata": {"name": "a"},
        "spec": {"openwhisk": "w", "actionName": "warn-driver", "sequence": ["x"]}, "status": status(available)}))
    .unwrap()
}

fn trigger(available: &str) -> Trigger {
    serde_json::from_value(
        json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "g"},
        "spec": {"openwhisk": "w", "triggerName": "alerted"}, "status": status(available)}),
    )
    .unwrap()
}

fn status(available: &str) -> serde_json::Value {
    json!({"conditions": [{"type": "Available", "status": available, "lastTransitionTime": "", "reason": "R", "message": "says so"}]})
}

pub(in crate::eventsource) fn all_there() -> References {
    References {
        topic: Some(topic("t", "k", "True")),
        action: Some(action("True")),
        trigger: Some(trigger("True")),
        dead_letters: Some(topic("d", "k", "True")),
        user: Some(user("k", "True")),
    }
}

fn user(kafka: &str, available: &str) -> KafkaUser {
    serde_json::from_value(
        json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaUser", "metadata": {"name": "u"},
        "spec": {"kafka": kafka}, "status": status(available)}),
    )
    .unwrap()
}

#[test]
fn records_are_read_as_a_user_of_the_same_cluster() {
    let source = source(json!({"topic": "t", "action": "a", "kafkaUser": "u"}));
    let of = |user: Option<KafkaUser>| {
        let references = References {
            user,
            ..all_there()
        };
        validate(&source, &references, &images())
    };
    let valid = of(Some(user("k", "True"))).unwrap();
    assert_eq!(valid.bindings, ["u-kafka", "w-binding"]);
    for (user, reason) in [
        (None, "KafkaUserMissing"),
        (Some(user("k", "False")), "KafkaUserNotReady"),
        (Some(user("other", "True")), "InvalidSpec"),
    ] {
        assert_eq!(of(user).unwrap_err().reason(), reason);
    }
}

#[test]
fn names_in_the_systems_come_from_what_is_referred_to() {
    let valid = validate(
        &source(json!({"topic": "t", "action": "a"})),
        &all_there(),
        &images(),
    )
    .unwrap();
    assert_eq!(valid.config["topic"], "alerts");
    assert_eq!(valid.config["action"], "warn-driver");
    assert_eq!(valid.config["group"], "dispatch-e");
    assert_eq!(valid.bindings, ["k-binding", "w-binding"]);
    assert!(!valid.config.contains_key("deadLetterTopic"));
}

#[test]
fn what_is_missing_is_named() {
    let with = json!({"topic": "t", "action": "a", "deadLetterTopic": "d"});
    let not_ready = |name| Some(topic(name, "k", "False"));
    let cases = [
        (
            "TopicMissing",
            "spec.topic",
            References {
                topic: None,
                ..all_there()
            },
        ),
        (
            "TopicNotReady",
            "spec.topic",
            References {
                topic: not_ready("t"),
                ..all_there()
            },
        ),
        (
            "ActionMissing",
            "spec.action",
            References {
                action: None,
                ..all_there()
            },
        ),
        (
            "ActionNotReady",
            "spec.action",
            References {
                action: Some(action("False")),
                ..all_there()
            },
        ),
        (
            "TopicMissing",
            "spec.deadLetterTopic",
            References {
                dead_letters: None,
                ..all_there()
            },
        ),
    ];
    for (reason, field, references) in cases {
        let error = validate(&source(with.clone()), &references, &images()).unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.unavailable());
        assert!(
            error.to_string().starts_with(&format!("{field}: ")),
            "{error}"
        );
    }
    let mut running = source(with.clone());
    running.status = Some(serde_json::from_value(json!({"group": "dispatch-e"})).unwrap());
    let away = References {
        topic: Some(topic("t", "k", "False")),
        ..all_there()
    };
    assert!(
        validate(&running, &away, &images()).is_ok(),
        "what runs is not disturbed"
    );
    let elsewhere = References {
        dead_letters: Some(topic("d", "other", "True")),
        ..all_there()
    };
    assert_eq!(
        validate(&source(with), &elsewhere, &images())
            .unwrap_err()
            .reason(),
        "InvalidSpec"
    );
}

#[test]
fn a_trigger_stands_in_for_an_action_and_exactly_one_is_given() {
    let to_trigger = json!({"topic": "t", "trigger": "g"});
    let valid = validate(&source(to_trigger.clone()), &all_there(), &images()).unwrap();
    assert_eq!(valid.config["trigger"], "alerted");
    assert!(!valid.config.contains_key("action"));
    for (trigger, reason) in [
        (None, "TriggerMissing"),
        (Some(trigger("False")), "TriggerNotReady"),
    ] {
        let references = References {
            trigger,
            ..all_there()
        };
        let error = validate(&source(to_trigger.clone()), &references, &images()).unwrap_err();
        assert_eq!(error.reason(), reason);
    }
    for spec in [
        json!({"topic": "t"}),
        json!({"topic": "t", "action": "a", "trigger": "g"}),
    ] {
        let error = validate(&source(spec), &all_there(), &images()).unwrap_err();
        assert!(error.to_string().starts_with("spec.action: "), "{error}");
    }
}

#[test]
fn what_is_asked_of_dispatch_is_written_under_its_names() {
    let valid = validate(
        &source(json!({"topic": "t", "action": "a", "filter": "zone IS NULL", "maximumAgeSeconds": 60,
            "batch": {"maximumRecords": 10, "windowMilliseconds": 500}, "partialFailure": true, "bisect": true})),
        &all_there(),
        &images(),
    )
    .unwrap();
    assert_eq!(valid.config["filter"], "zone IS NULL");
    assert_eq!(
        valid.config["batch"],
        json!({"maximumRecords": 10, "windowMilliseconds": 500})
    );
    assert_eq!(valid.config["partialFailure"], true);
    assert_eq!(valid.config["bisect"], true);
    assert_eq!(valid.config["maximumAgeSeconds"], 60);
    let mut recent = source(json!({"topic": "t", "action": "a", "startingPosition": "created"}));
    recent.metadata.creation_timestamp = Some(Time("2026-11-01T08:00:00Z".parse().unwrap()));
    let recent = validate(&recent, &all_there(), &images()).unwrap();
    assert_eq!(recent.config["since"], "2026-11-01T08:00:00Z");
    let plain = validate(
        &source(json!({"topic": "t", "action": "a"})),
        &all_there(),
        &images(),
    )
    .unwrap();
    for key in [
        "filter",
        "batch",
        "partialFailure",
        "bisect",
        "maximumAgeSeconds",
        "since",
    ] {
        assert!(!plain.config.contains_key(key), "{key}");
    }
}

#[test]
fn a_filter_that_cannot_hold_is_refused_before_anything_runs() {
    let spec = json!({"topic": "t", "action": "a", "filter": "severty = 'critical'"});
    let error = validate(&source(spec), &all_there(), &images()).unwrap_err();
    assert_eq!(error.reason(), "InvalidSpec");
    let text = error.to_string();
    assert!(
        text.starts_with("spec.filter: severty = 'critical': ") && text.contains("severity"),
        "{text}"
    );
}
