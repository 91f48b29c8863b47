//! The reconciler of KafkaTopic.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use millrace_contract::Invalid;

use super::change::{ObservedTopic, SCHEMA_FIELD, TopicChange, WantedTopic};
use super::error::TopicError;
use super::home::Home;
use super::remote::{RemoteTopic, explain};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected, status_of};
use crate::kafka::crd::KafkaCluster;
use crate::kafka::reach;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::claim;
use crate::remote::kafka::KafkaAdmin;
use crate::remote::pipeline::{Outcome, converge, plan};
use crate::remote::release::{self, Release};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::topic::crd::{DeletionPolicy, KafkaTopic, KafkaTopicStatus};
use crate::types::GROUP;

/// Stands while the topic is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/kafka-topic";
/// The label with the schema of a topic's records.
pub const SCHEMA_LABEL: &str = "millrace.dev/schema";

/// Drift inside Kafka sends no event: so often it is looked for.
const RESYNC: Duration = Duration::from_secs(60);
/// A plan is looked at by somebody who waits for it.
const LOOK: Duration = Duration::from_secs(5);
/// The watch of the cluster tells when it becomes available; this only covers a lost event.
const WAIT: Duration = Duration::from_secs(15);

/// The component behind KafkaTopic.
#[derive(Debug)]
pub struct Topics;

impl Component for Topics {
    type Kind = KafkaTopic;
    type Error = TopicError;
    const NAME: &'static str = "kafkatopic";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("kafkatopics");
        rules.push(Rule::new(
            GROUP,
            &["kafkatopics"],
            &["patch"],
            "Label a topic with its schema, and hold its deletion until the topic is gone from Kafka.",
        ));
        rules.push(Rule::new(
            GROUP,
            &["kafkaclusters"],
            &["get", "list", "watch"],
            "Find the cluster of a topic and wait until it is available.",
        ));
        rules.push(reach::rule());
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get"],
            "Read the connection details of a Kafka that somebody else runs.",
        ));
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let store = controller.store();
        let clusters = context.scoped::<DeserializeGuard<KafkaCluster>>(scope);
        controller.watches(clusters, watcher::Config::default(), move |cluster| {
            let name = cluster.name_any();
            affected(
                &store,
                cluster.namespace().as_deref(),
                |topic: &KafkaTopic| topic.spec.kafka.as_ref() == Some(&name),
            )
        })
    }

    async fn prepare(context: &Context, topic: &KafkaTopic) -> Result<Preparation, TopicError> {
        let namespace = topic.namespace().unwrap_or_default();
        let mine = claim::claim(&topic.home(), topic.topic_name());
        let all = claim::claimants::<KafkaTopic>(context, &namespace, &mine)
            .await
            .map_err(TopicError::kubernetes("list KafkaTopics"))?;
        if let Some(owner) = claim::older_rival(topic, &all) {
            return Ok(Preparation::refuses(rival(topic, owner)));
        }
        let kafka = Home::of(context, topic).await?;
        let admin = match kafka.reach(context, &namespace).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(Preparation::waits(waiting.to_string())),
        };
        let wanted = wanted(topic, &status_of(topic));
        let remote = RemoteTopic {
            admin: &admin,
            wanted: &wanted,
        };
        let unseen = |why: &dyn std::fmt::Display| {
            Preparation::unseen(format!("Kafka cannot be asked from here: {why}"))
        };
        Ok(match tokio::time::timeout(LOOK, plan(&remote)).await {
            Ok(Ok(plan)) => plan.into(),
            Ok(Err(error)) => unseen(&error),
            Err(_) => unseen(&format_args!("no answer within {} s", LOOK.as_secs())),
        })
    }

    async fn reconcile(
        context: &Context,
        topic: &KafkaTopic,
    ) -> Result<Reconciled<KafkaTopicStatus>, TopicError> {
        let namespace = topic.namespace().unwrap_or_default();
        let kafka = Home::of(context, topic).await?;
        if topic.meta().deletion_timestamp.is_some() {
            return delete(context, topic, &kafka).await;
        }
        let mine = claim::claim(&topic.home(), topic.topic_name());
        let labels = [
            (claim::CLAIM_LABEL, mine.as_str()),
            (SCHEMA_LABEL, topic.schema().name()),
        ];
        let removed_with_it = topic.spec.deletion_policy == DeletionPolicy::Delete;
        claim::set_metadata(context, topic, &labels, FINALIZER, removed_with_it)
            .await
            .map_err(TopicError::kubernetes("label the KafkaTopic"))?;

        let mut status = status_of(topic);
        status.topic_name = Some(topic.topic_name().to_owned());
        status.schema = Some(topic.schema());
        let all = claim::claimants::<KafkaTopic>(context, &namespace, &mine)
            .await
            .map_err(TopicError::kubernetes("list KafkaTopics"))?;
        if let Some(owner) = claim::older_rival(topic, &all) {
            return Ok(claimed_by(topic, status, owner));
        }
        let admin = match kafka.reach(context, &namespace).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(wait_for_kafka(topic, status, waiting)),
        };
        bring_about(context, topic, status, &admin).await
    }
}

async fn bring_about(
    context: &Context,
    topic: &KafkaTopic,
    mut status: KafkaTopicStatus,
    admin: &KafkaAdmin,
) -> Result<Reconciled<KafkaTopicStatus>, TopicError> {
    let wanted = wanted(topic, &status);
    let remote = RemoteTopic {
        admin,
        wanted: &wanted,
    };
    let outcome = match converge(&remote).await {
        Ok(outcome) => outcome,
        Err(error) => {
            return Err(match explain(&error, &wanted) {
                Some(invalid) => TopicError::Refused {
                    invalid,
                    absent: status.topic_id.is_none(),
                },
                None => TopicError::Kafka(error),
            });
        }
    };
    tell_changes(context, topic, &outcome.made).await;
    Ok(seen(topic, &wanted, &mut status, &outcome))
}

async fn tell_changes(context: &Context, topic: &KafkaTopic, made: &[TopicChange]) {
    for change in made {
        tracing::info!(topic = %topic.name_any(), namespace = topic.namespace(), %change, "changed in Kafka");
        let reason = match change {
            TopicChange::Create(_) => "TopicCreated",
            _ => "TopicChanged",
        };
        context
            .event(&topic.object_ref(&()), false, reason, &change.to_string())
            .await;
    }
}

fn wanted(topic: &KafkaTopic, status: &KafkaTopicStatus) -> WantedTopic {
    WantedTopic {
        name: topic.topic_name().to_owned(),
        partitions: topic.spec.partitions,
        replication_factor: topic.spec.replication_factor,
        config: topic.spec.config.clone(),
        managed: status
            .managed_config
            .iter()
            .cloned()
            .collect::<BTreeSet<_>>(),
        rebind: (topic.schema() != topic.spec.schema).then(|| (topic.schema(), topic.spec.schema)),
    }
}

/// The status out of what is there now.
fn seen(
    topic: &KafkaTopic,
    wanted: &WantedTopic,
    status: &mut KafkaTopicStatus,
    outcome: &Outcome<RemoteTopic<'_>>,
) -> Reconciled<KafkaTopicStatus> {
    let mut status = std::mem::take(status);
    let generation = topic.meta().generation;
    status.managed_config = wanted.config.keys().cloned().collect();
    // What is refused leaves the topic as it was bound. The label follows with the next look.
    if outcome.refused.iter().all(|i| i.field != SCHEMA_FIELD) {
        status.schema = Some(topic.spec.schema);
    }
    let Some(ObservedTopic { view, .. }) = &outcome.observed else {
        // Created a moment ago and not yet known to the broker that was asked.
        set_condition(
            &mut status.conditions,
            AVAILABLE,
            false,
            "Creating",
            "the topic was created; its partitions are not there yet",
            generation,
        );
        set_condition(
            &mut status.conditions,
            PROGRESSING,
            true,
            "Creating",
            "",
            generation,
        );
        return Reconciled::Status(status, Duration::from_secs(2));
    };
    let count = i32::try_from(view.partitions.len()).unwrap_or(i32::MAX);
    status.topic_id = (!view.id.is_nil()).then(|| URL_SAFE_NO_PAD.encode(view.id.as_bytes()));
    status.partitions = Some(count);
    status.replication_factor = Some(view.replication_factor());
    let said = format!(
        "the topic has {count} partitions and replication factor {}",
        view.replication_factor()
    );
    set_condition(
        &mut status.conditions,
        AVAILABLE,
        true,
        "TopicThere",
        &said,
        generation,
    );
    set_condition(
        &mut status.conditions,
        PROGRESSING,
        false,
        "Settled",
        "",
        generation,
    );
    let refused: Vec<String> = outcome.refused.iter().map(ToString::to_string).collect();
    if !refused.is_empty() {
        set_condition(
            &mut status.conditions,
            DEGRADED,
            true,
            "Refused",
            &refused.join("; "),
            generation,
        );
    }
    Reconciled::Status(status, RESYNC)
}

fn wait_for_kafka(
    topic: &KafkaTopic,
    mut status: KafkaTopicStatus,
    waiting: Invalid,
) -> Reconciled<KafkaTopicStatus> {
    let generation = topic.meta().generation;
    let text = waiting.to_string();
    set_condition(
        &mut status.conditions,
        AVAILABLE,
        false,
        "WaitingForKafka",
        &text,
        generation,
    );
    set_condition(
        &mut status.conditions,
        PROGRESSING,
        true,
        "WaitingForKafka",
        &text,
        generation,
    );
    Reconciled::Status(status, WAIT)
}

fn rival(topic: &KafkaTopic, owner: &KafkaTopic) -> String {
    Invalid::new(
        "spec.topicName",
        topic.topic_name(),
        format!(
            "the topic belongs to the older KafkaTopic {}",
            owner.name_any()
        ),
        "delete one of the two, or give another name",
    )
    .to_string()
}

/// Another resource named the topic first: this one leaves it alone.
fn claimed_by(
    topic: &KafkaTopic,
    mut status: KafkaTopicStatus,
    owner: &KafkaTopic,
) -> Reconciled<KafkaTopicStatus> {
    let generation = topic.meta().generation;
    let text = rival(topic, owner);
    // What this resource once set belongs to the owner now: deleting it must not delete the topic.
    status.topic_id = None;
    status.managed_config = Vec::new();
    set_condition(
        &mut status.conditions,
        AVAILABLE,
        false,
        "Claimed",
        &text,
        generation,
    );
    set_condition(
        &mut status.conditions,
        PROGRESSING,
        false,
        "Claimed",
        "",
        generation,
    );
    set_condition(
        &mut status.conditions,
        DEGRADED,
        true,
        "Claimed",
        &text,
        generation,
    );
    Reconciled::Status(status, RESYNC)
}

async fn delete(
    context: &Context,
    topic: &KafkaTopic,
    kafka: &Home,
) -> Result<Reconciled<KafkaTopicStatus>, TopicError> {
    if !topic.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(Reconciled::Gone);
    }
    let name = topic.topic_name();
    let lives = kafka.lives();
    // Only what this resource was seen to own is removed.
    let remove = topic.spec.deletion_policy == DeletionPolicy::Delete
        && topic
            .status
            .as_ref()
            .is_some_and(|status| status.topic_id.is_some());
    let asked = topic
        .meta()
        .deletion_timestamp
        .as_ref()
        .map_or_else(Timestamp::now, |t| t.0);
    let what = format!("topic {name}");
    let decision = release::decide(
        remove,
        lives,
        &what,
        asked,
        Timestamp::now(),
        release::TIME_LIMIT,
    );
    let note = match decision {
        Release::Now(why) => why,
        Release::AfterRemoval => {
            let namespace = topic.namespace().unwrap_or_default();
            match kafka.reach(context, &namespace).await? {
                Ok(admin) => match admin.delete_topic(name).await {
                    Ok(()) => format!("{what} was deleted with its records"),
                    Err(error) if error.is_unknown_topic() => format!("{what} was gone already"),
                    Err(source) => return Err(TopicError::Removal { source }),
                },
                Err(waiting) => {
                    let mut status = status_of(topic);
                    set_condition(
                        &mut status.conditions,
                        PROGRESSING,
                        true,
                        "WaitingForKafka",
                        &format!(
                            "{what} is to be deleted: {waiting}; the resource is let go after {} s",
                            release::TIME_LIMIT.as_secs()
                        ),
                        topic.meta().generation,
                    );
                    return Ok(Reconciled::Status(status, Duration::from_secs(5)));
                }
            }
        }
    };
    context
        .event(&topic.object_ref(&()), false, "TopicReleased", &note)
        .await;
    claim::set_metadata(context, topic, &[], FINALIZER, false)
        .await
        .map_err(TopicError::kubernetes("let the KafkaTopic go"))?;
    Ok(Reconciled::Gone)
}
