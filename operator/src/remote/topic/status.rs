//! What is said of a topic.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::change::{ObservedTopic, SCHEMA_FIELD, TopicChange};
use super::factor::Mover;
use super::remote::RemoteTopic;
use crate::controller::Reconciled;
use crate::remote::pipeline::Outcome;
use crate::remote::resident;
use crate::topic::crd::{KafkaTopic, KafkaTopicStatus};

/// The watch of the cluster tells when replicas move; this only covers a lost event.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The status out of what is there now.
pub(super) fn seen(
    topic: &KafkaTopic,
    mut status: KafkaTopicStatus,
    remote: &RemoteTopic<'_>,
    outcome: &Outcome<RemoteTopic<'_>>,
) -> Reconciled<KafkaTopicStatus> {
    status.managed_config = remote.wanted.config.keys().cloned().collect();
    // What is refused leaves the topic as it was bound. The label follows with the next look.
    if outcome.refused.iter().all(|i| i.field != SCHEMA_FIELD) {
        status.schema = Some(topic.spec.schema);
    }
    let Some(ObservedTopic { view, .. }) = &outcome.observed else {
        // Created a moment ago and not yet known to the broker that was asked.
        let text = "the topic was created; its partitions are not there yet";
        return resident::wait(topic, status, "Creating", text, Duration::from_secs(2));
    };
    let count = i32::try_from(view.partitions.len()).unwrap_or(i32::MAX);
    let factor = view.replication_factor();
    status.topic_id = (!view.id.is_nil()).then(|| URL_SAFE_NO_PAD.encode(view.id.as_bytes()));
    status.partitions = Some(count);
    status.replication_factor = Some(factor);
    let said = format!("the topic has {count} partitions and replication factor {factor}");
    let asked = asked(remote, outcome);
    status.asked_replication_factor = asked;
    let there = resident::there(topic, status, "TopicThere", &said, &outcome.refused);
    match asked {
        None => there,
        Some(asked) => {
            let told = format!(
                "the KafkaCluster is asked for {asked} copies of each partition and makes them in the background"
            );
            resident::goes_on(topic, there, "MovingReplicas", &told, LOOK_AGAIN)
        }
    }
}

/// How many copies the KafkaCluster is to make of each partition, where that is another number.
fn asked(remote: &RemoteTopic<'_>, outcome: &Outcome<RemoteTopic<'_>>) -> Option<i32> {
    if remote.mover == Mover::Topic {
        return None;
    }
    outcome.made.iter().find_map(|change| match change {
        TopicChange::SetReplicationFactor { to, .. } => Some(*to),
        _ => None,
    })
}

/// Word for the events of a change.
pub(super) fn reason(change: &TopicChange) -> &'static str {
    match change {
        TopicChange::Create(_) => "TopicCreated",
        _ => "TopicChanged",
    }
}
