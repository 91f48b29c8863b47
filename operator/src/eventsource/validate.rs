//! From what was asked for and what it refers to, to what can be built. Pure.

use millrace_contract::Invalid;
use serde_json::json;

use super::crd::EventSource;
use crate::action::crd::Action;
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::status::{AVAILABLE, is_true, message_of};
use crate::topic::crd::KafkaTopic;
use crate::types::{FreeForm, PodResources};

/// What an event source refers to, as far as it is there.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The KafkaTopic of `spec.topic`.
    pub topic: Option<KafkaTopic>,
    /// The Action of `spec.action`.
    pub action: Option<Action>,
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
    let action = action_of(&spec.action, references.action.as_ref(), runs)?;
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
    let kafka = crate::kafka::binding_name(&topic.spec.kafka);
    let openwhisk = crate::openwhisk::binding_name(&action.spec.openwhisk);
    let mut config = FreeForm::new();
    config.insert("topic".into(), topic.topic_name().into());
    config.insert("group".into(), source.group().into());
    config.insert("action".into(), action.action_name().into());
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

fn action_of<'a>(name: &str, action: Option<&'a Action>, runs: bool) -> Result<&'a Action, Error> {
    let Some(action) = action else {
        return Err(missing(
            "ActionMissing",
            Invalid::new(
                "spec.action",
                name,
                "there is no Action of that name in this namespace",
                "make the Action, or name one that exists",
            ),
        ));
    };
    let conditions = action
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if runs || is_true(conditions, AVAILABLE) {
        return Ok(action);
    }
    let says = message_of(conditions, AVAILABLE).unwrap_or("its status says nothing yet");
    Err(missing(
        "ActionNotReady",
        Invalid::new(
            "spec.action",
            name,
            format!("the Action is not available: {says}"),
            "see to that Action",
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

    fn status(available: &str) -> serde_json::Value {
        json!({"conditions": [{"type": "Available", "status": available, "lastTransitionTime": "", "reason": "R", "message": "says so"}]})
    }

    pub(in crate::eventsource) fn all_there() -> References {
        References {
            topic: Some(topic("t", "k", "True")),
            action: Some(action("True")),
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
}
