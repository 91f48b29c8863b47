//! From what was asked for and what it refers to, to what can be built. Pure.

use millrace_contract::Invalid;
use serde_json::json;

use super::crd::{EventSource, StartingPosition};
use super::filter;
use crate::action::crd::Action;
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::remote::user::binding_name;
use crate::status::{AVAILABLE, Condition, Conditioned, ConditionedStatus, is_true, message_of};
use crate::topic::crd::KafkaTopic;
use crate::trigger::crd::Trigger;
use crate::types::{FreeForm, Operation, PodResources};
use crate::user::crd::KafkaUser;

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
    /// The KafkaUser of `spec.kafkaUser`.
    pub user: Option<KafkaUser>,
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
    /// How it is run over time.
    pub operation: Operation,
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
    if let Some(other) = dead_letters.filter(|other| other.home() != topic.home()) {
        return Err(Invalid::new(
            "spec.deadLetterTopic",
            format!("{} in {}", other.topic_name(), other.home()),
            format!(
                "is in another KafkaCluster than spec.topic, which is in {}",
                topic.home()
            ),
            format!("name a KafkaTopic of {}", topic.home()),
        )
        .into());
    }
    if let Some(filter) = &spec.filter {
        filter::check(filter, topic.schema())?;
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
    let kafka = match &spec.kafka_user {
        Some(name) => user_binding(name, references.user.as_ref(), topic, runs)?,
        None => topic.binding_secret(),
    };
    let openwhisk = crate::openwhisk::binding_name(target.openwhisk);
    let mut config = FreeForm::new();
    config.insert("topic".into(), topic.topic_name().into());
    config.insert("group".into(), source.group().into());
    if let Some(made) = &source.metadata.creation_timestamp
        && spec.starting_position == StartingPosition::Created
    {
        config.insert("since".into(), made.0.to_string().into());
    }
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
        owner: Owner {
            windows: spec.operation.windows()?,
            ..Owner::of(source)?
        },
        image: spec.image.clone().unwrap_or_else(|| images.stream.clone()),
        replicas: spec.operation.replicas(spec.replicas),
        bindings: vec![kafka, openwhisk],
        config,
        group: source.group(),
        resources: spec.resources.clone(),
        operation: spec.operation.clone(),
    })
}

/// The Secret by which dispatch logs in as a user.
fn user_binding(
    name: &str,
    user: Option<&KafkaUser>,
    topic: &KafkaTopic,
    runs: bool,
) -> Result<String, Error> {
    let field = "spec.kafkaUser";
    let Some(user) = user else {
        return Err(missing(
            "KafkaUserMissing",
            Invalid::new(
                field,
                name,
                "there is no KafkaUser of that name in this namespace",
                "make the KafkaUser, or name one that exists",
            ),
        ));
    };
    if topic.spec.kafka.as_ref() != Some(&user.spec.kafka) {
        return Err(Invalid::new(
            field,
            name,
            format!(
                "is a user of {}, and the topic is in {}",
                user.spec.kafka,
                topic.home()
            ),
            "name a KafkaUser of the topic's KafkaCluster",
        )
        .into());
    }
    let conditions = user.status.as_ref().map(|status| &status.conditions[..]);
    let conditions = conditions.unwrap_or_default();
    if !runs && !is_true(conditions, AVAILABLE) {
        let says = message_of(conditions, AVAILABLE).unwrap_or("its status says nothing yet");
        return Err(missing(
            "KafkaUserNotReady",
            Invalid::new(
                field,
                name,
                format!("the KafkaUser is not available: {says}"),
                "see to that KafkaUser",
            ),
        ));
    }
    Ok(binding_name(name))
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
#[path = "validate_tests.rs"]
pub(super) mod tests;
