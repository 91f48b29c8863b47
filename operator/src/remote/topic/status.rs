//! What is said of a topic.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_contract::Invalid;

use super::change::{ObservedTopic, TopicChange};
use super::factor::Mover;
use super::remote::RemoteTopic;
use super::schema::SCHEMA_FIELD;
use crate::controller::Reconciled;
use crate::remote::pipeline::Outcome;
use crate::remote::resident;
use crate::status::told;
use crate::topic::crd::{KafkaTopic, KafkaTopicStatus, RefusedSchema, TopicSchema};

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
    settle_schema(&mut status, topic.spec.schema, &outcome.refused);
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

/// Notes what the topic is bound to.
pub(super) fn bind(status: &mut KafkaTopicStatus, schema: TopicSchema) {
    status.schema = Some(schema);
    status.schema_version = schema.version();
    status.schema_fingerprint = schema.fingerprint();
}

/// Notes what became of the schema that is asked for. One that is refused leaves the topic as it was bound. The label
/// follows with the next look.
fn settle_schema(status: &mut KafkaTopicStatus, asked: TopicSchema, refused: &[Invalid]) {
    let refusal = refused.iter().find(|one| one.field == SCHEMA_FIELD);
    if refusal.is_none() {
        bind(status, asked);
    }
    status.refused_schema = refusal.map(|refusal| RefusedSchema {
        schema: asked,
        version: asked.version(),
        fingerprint: asked.fingerprint(),
        reason: told(&refusal.to_string()),
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_schema_is_told_beside_the_one_in_force() {
        let mut status = KafkaTopicStatus::default();
        settle_schema(&mut status, TopicSchema::Telemetry, &[]);
        let (version, fingerprint) = (status.schema_version, status.schema_fingerprint.clone());
        assert_eq!(
            version,
            Some(i64::from(millrace_contract::telemetry::VERSION))
        );
        assert!(fingerprint.is_some());
        let of = |field: &str| Invalid::new(field, "audit", "records", "put telemetry back");
        let refused = [of("spec.partitions"), of(SCHEMA_FIELD)];
        settle_schema(&mut status, TopicSchema::Audit, &refused);
        assert_eq!(status.schema, Some(TopicSchema::Telemetry));
        assert_eq!(status.schema_version, version);
        assert_eq!(status.schema_fingerprint, fingerprint);
        let told = status.refused_schema.clone().unwrap();
        assert_eq!(
            (told.schema, told.version, told.fingerprint),
            (TopicSchema::Audit, Some(1), None)
        );
        assert_eq!(
            told.reason,
            "spec.schema: audit: records; put telemetry back"
        );
        // Nothing else that is refused has to do with it.
        settle_schema(&mut status, TopicSchema::Notified, &refused[..1]);
        assert_eq!(status.schema, Some(TopicSchema::Notified));
        assert_eq!(status.schema_version, None);
        assert_eq!(
            (status.schema_fingerprint, status.refused_schema),
            (None, None)
        );
    }
}
