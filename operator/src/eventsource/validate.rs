//! From what was asked for and what it refers to, to what can be built. Pure.

use millrace_contract::Invalid;
use serde_json::json;

use super::crd::EventSource;
use super::filter;
use crate::action::crd::Action;
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::status::{AVAILABLE, Condition, Conditioned, ConditionedStatus, is_true, message_of};
use crate::topic::crd::KafkaTopic;
use crate::trigger::crd::Trigger;
use crate::types::{FreeForm, PodResources};

/// What an event source refers to, as far as it is there.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The KafkaTopic of `spec.topic`.
    pub topic: Option<KafkaTopic>,
    /// The Action of `spec.action`.
    pub action: Option<Action>,
    /// The Trigger of `spec.trigger`.
    pub trigger: Option<Trigger>,
    /// The KafkaTopic of `spec.deadLetterTopic`.
    pub dead_letters: Option<KafkaTopic>,
}

/// An event source that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedSource {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// How many pods.
    pub replicas: i32,
    /// Secrets that are mounted: of Kafka and of OpenWhisk.
    pub bindings: Vec<String>,
    /// The configuration of `dispatch`.
    pub config: FreeForm,
    /// The consumer group.
    pub group: String,
    /// Memory and CPU of a pod.
    pub resources: Option<PodResources>,
}

/// Checks an event source against what it refers to.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    source: &EventSource,
    references: &References,
    images: &Images,
) -> Result<ValidatedSource, Error> {
    let spec = &source.spec;
    // Once it runs, dispatch bridges what is away for a while by itself.
    let runs = source
        .status
        .as_ref()
        .is_some_and(|status| status.group.is_some());
    let topic = topic_of("spec.topic", &spec.topic, references.topic.as_ref(), runs)?;
    let target = target(source, references, runs)?;
    let dead_letters = match &spec.dead_letter_topic {
        Some(name) => Some(topic_of(
            "spec.deadLetterTopic",
            name,
            references.dead_letters.as_ref(),
            runs,
        )?),
        None => None,
    };
    if let Some(other) = dead_letters.filter(|other| other.spec.kafka != topic.spec.kafka) {
        return Err(Invalid::new(
            "spec.deadLetterTopic",
            format!("{} in {}", other.topic_name(), other.spec.kafka),
            format!(
                "is in another KafkaCluster than spec.topic, which is in {}",
                topic.spec.kafka
            ),
            format!("name a KafkaTopic of {}", topic.spec.kafka),
        )
        .into());
    }
    if let Some(filter) = &spec.filter {
        filter::check(filter, topic.spec.schema)?;
    }
    if spec.batch.is_none() && (spec.partial_failure || spec.bisect) {
        let field = if spec.bisect {
            "spec.bisect"
        } else {
            "spec.partialFailure"
        };
        return Err(Invalid::new(
            field,
            "true",
            "works only together with spec.batch",
            format!("add spec.batch, or remove {field}"),
        )
        .into());
    }
    let kafka = crate::kafka::binding_name(&topic.spec.kafka);
    let openwhisk = crate::openwhisk::binding_name(target.openwhisk);
    let mut config = FreeForm::new();
    config.insert("topic".into(), topic.topic_name().into());
    config.insert("group".into(), source.group().into());
    config.insert(target.key.into(), target.name.into());
    config.insert("openwhiskBinding".into(), openwhisk.clone().into());
    config.insert("attempts".into(), spec.attempts.into());
    config.insert(
        "backoff".into(),
        json!({
            "initialMilliseconds": spec.backoff.initial_milliseconds,
            "maximumMilliseconds": spec.backoff.maximum_milliseconds,
        }),
    );
    config.insert("maxInFlight".into(), spec.max_in_flight.into());
    if let Some(filter) = &spec.filter {
        config.insert("filter".into(), filter.clone().into());
    }
    if let Some(batch) = &spec.batch {
        config.insert(
            "batch".into(),
            json!({
                "maximumRecords": batch.maximum_records,
                "windowMilliseconds": batch.window_milliseconds,
            }),
        );
    }
    for (key, switch) in [
        ("partialFailure", spec.partial_failure),
        ("bisect", spec.bisect),
    ] {
        if switch {
            config.insert(key.into(), true.into());
        }
    }
    if let Some(seconds) = spec.maximum_age_seconds {
        config.insert("maximumAgeSeconds".into(), seconds.into());
    }
    if let Some(topic) = dead_letters {
        config.insert("deadLetterTopic".into(), topic.topic_name().into());
    }
    Ok(ValidatedSource {
        owner: Owner::of(source)?,
        image: spec.image.clone().unwrap_or_else(|| images.stream.clone()),
        replicas: spec.replicas,
        bindings: vec![kafka, openwhisk],
        config,
        group: source.group(),
        resources: spec.resources.clone(),
    })
}

fn topic_of<'a>(
    field: &str,
    name: &str,
    topic: Option<&'a KafkaTopic>,
    runs: bool,
) -> Result<&'a KafkaTopic, Error> {
    let Some(topic) = topic else {
        return Err(missing(
            "TopicMissing",
            Invalid::new(
                field,
                name,
                "there is no KafkaTopic of that name in this namespace",
                "make the KafkaTopic, or name one that exists",
            ),
        ));
    };
    let conditions = topic
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if runs || is_true(conditions, AVAILABLE) {
        return Ok(topic);
    }
    let says = message_of(conditions, AVAILABLE).unwrap_or("its status says nothing yet");
    Err(missing(
        "TopicNotReady",
        Invalid::new(
            field,
            name,
            format!("the KafkaTopic is not available: {says}"),
            "see to that KafkaTopic",
        ),
    ))
}

/// Where the records go: the key of dispatch's configuration, the name in OpenWhisk, and which OpenWhisk.
struct Target<'a> {
    key: &'static str,
    name: &'a str,
    openwhisk: &'a str,
}

fn target<'a>(
    source: &EventSource,
    references: &'a References,
    runs: bool,
) -> Result<Target<'a>, Error> {
    match (&source.spec.action, &source.spec.trigger) {
        (Some(name), None) => {
            let action = references.action.as_ref();
            let conditions = action.map(|action| conditions(action.status_ref()));
            there("spec.action", "Action", name, conditions, runs)?;
            action.map(|action| Target {
                key: "action",
                name: action.action_name(),
                openwhisk: &action.spec.openwhisk,
            })
        }
        (None, Some(name)) => {
            let trigger = references.trigger.as_ref();
            let conditions = trigger.map(|trigger| conditions(trigger.status_ref()));
            there("spec.trigger", "Trigger", name, conditions, runs)?;
            trigger.map(|trigger| Target {
                key: "trigger",
                name: trigger.trigger_name(),
                openwhisk: &trigger.spec.openwhisk,
            })
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
    .ok_or_else(|| {
        Invalid::new(
            "spec.action",
            source.spec.action.as_deref().unwrap_or("absent"),
            "records go to an action or to a trigger, and to one of the two only",
            "set either spec.action or spec.trigger",
        )
        .into()
    })
}

fn conditions<S: ConditionedStatus>(status: Option<&S>) -> &[Condition] {
    status
        .map(|status| status.conditions().as_slice())
        .unwrap_or_default()
}

/// That a resource is there (`conditions` are its own) and available, or that what runs may bridge its absence.
fn there(
    field: &str,
    kind: &str,
    name: &str,
    conditions: Option<&[Condition]>,
    runs: bool,
) -> Result<(), Error> {
    let trigger = kind == "Trigger";
    let Some(conditions) = conditions else {
        return Err(missing(
            if trigger {
                "TriggerMissing"
            } else {
                "ActionMissing"
            },
            Invalid::new(
                field,
                name,
                format!("there is no {kind} of that name in this namespace"),
                format!("make the {kind}, or name one that exists"),
            ),
        ));
    };
    if runs || is_true(conditions, AVAILABLE) {
        return Ok(());
    }
    let says = message_of(conditions, AVAILABLE).unwrap_or("its status says nothing yet");
    Err(missing(
        if trigger {
            "TriggerNotReady"
        } else {
            "ActionNotReady"
        },
        Invalid::new(
            field,
            name,
            format!("the {kind} is not available: {says}"),
            format!("see to that {kind}"),
        ),
    ))
}

fn missing(reason: &'static str, invalid: Invalid) -> Error {
    Error::Missing { reason, invalid }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::controller::Failure;

    pub(in crate::eventsource) fn images() -> Images {
        Images {
            kafka: "kafka:4".into(),
            stream: "stream:1".into(),
            whisk: "whisk:1".into(),
        }
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
        serde_json::from_value(json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "g"},
            "spec": {"openwhisk": "w", "triggerName": "alerted"}, "status": status(available)}))
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
}
