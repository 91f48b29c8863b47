//! The custom resource KafkaTopic.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns say the same of different things"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::status::Condition;
pub use crate::types::DeletionPolicy;

/// A topic of a KafkaCluster, bound to a schema of the data contract.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "KafkaTopic",
    plural = "kafkatopics",
    shortname = "kt",
    category = "millrace",
    namespaced,
    status = "KafkaTopicStatus",
    derive = "PartialEq",
    doc = "A topic of a KafkaCluster, bound to a schema of the data contract.",
    printcolumn(
        name = "Kafka",
        type_ = "string",
        json_path = ".spec.kafka",
        description = "The KafkaCluster"
    ),
    printcolumn(
        name = "Topic",
        type_ = "string",
        json_path = ".status.topicName",
        description = "Name of the topic in Kafka"
    ),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".spec.partitions",
        description = "Partitions asked for"
    ),
    printcolumn(
        name = "Schema",
        type_ = "string",
        json_path = ".spec.schema",
        description = "What its records are"
    ),
    printcolumn(
        name = "Version",
        type_ = "integer",
        json_path = ".status.schemaVersion",
        description = "Version of the schema that it is bound to",
        priority = 1
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status",
        description = "Whether the topic is as asked for"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].message",
        description = "Why it is, or is not",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.kafka) != has(self.binding)")
        .message("spec.kafka, spec.binding: a topic is in one Kafka; set exactly one of the two"),
    validation = Rule::new("has(self.kafka) == has(oldSelf.kafka)")
        .message("spec.kafka, spec.binding: a topic cannot move to another Kafka; put the former field back, or make a new KafkaTopic"),
    validation = Rule::new("has(self.topicName) == has(oldSelf.topicName) && (!has(self.topicName) || self.topicName == oldSelf.topicName)")
        .message("spec.topicName: cannot be changed, a topic has no rename; put the former value back, or make a new KafkaTopic"),
)]
pub struct KafkaTopicSpec {
    /// The KafkaCluster in the same namespace. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(Message::Expression("'spec.kafka: ' + self + ': a topic cannot move to another cluster; put ' + oldSelf + ' back, or make a new KafkaTopic'".into())))]
    pub kafka: Option<String>,
    /// A Secret with the connection details of a Kafka that somebody else runs, in the same namespace and in the form of
    /// the Service Binding specification; instead of `kafka`. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object(), validation = Rule::new("self == oldSelf").message(Message::Expression("'spec.binding: ' + self + ': a topic cannot move to another Kafka; put ' + oldSelf + ' back, or make a new KafkaTopic'".into())))]
    pub binding: Option<String>,
    /// Name of the topic in Kafka; the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub topic_name: Option<String>,
    /// Number of partitions. It may only grow, and growing moves the keys of new records to other partitions.
    #[schemars(range(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("partitions may grow but not shrink; give the former number or more"))]
    pub partitions: i32,
    /// Copies of each partition; at most as many as the cluster has brokers. A change is made in the background, at the
    /// `spec.replicaMoveRate` of the KafkaCluster; at full speed in a Kafka that somebody else runs.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 7))]
    pub replication_factor: i32,
    /// Settings of the topic, for example `retention.ms` or `cleanup.policy`. Others keep the cluster's default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    pub config: BTreeMap<String, String>,
    /// What the records are: a schema of the data contract. No reader of one schema understands records of another, so it
    /// can be changed only while the topic holds no record. Nor does such a topic go back to a former version of its schema.
    pub schema: TopicSchema,
    /// What happens to the topic and its records when this resource is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Stop reconciling this topic.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn one() -> i32 {
    1
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

/// The schemas of the data contract.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum TopicSchema {
    /// One sample of a vehicle.
    Telemetry,
    /// What happened to a vehicle: check, repair, maintenance, breakdown, hire.
    VehicleEvent,
    /// A finding of `detect`.
    Alert,
    /// What a driver is told.
    Notification,
    /// What could not be processed, with the reason.
    DeadLetter,
    /// The state of `detect` per vehicle.
    DetectState,
    /// Notifications accepted and delivered.
    Notified,
    /// Hash of a vehicle's token.
    VehicleCredential,
    /// Which gateway holds a vehicle's session.
    VehicleSession,
    /// Which driver, as a key, a pseudonym stands for.
    Hire,
    /// What a driver has agreed to and how to reach them.
    Driver,
    /// How a hire was driven.
    HireScore,
    /// An offer to a driver.
    Offer,
    /// Who changed what.
    Audit,
}

impl TopicSchema {
    /// Its name, as it stands in the specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::VehicleEvent => "vehicle-event",
            Self::Alert => "alert",
            Self::Notification => "notification",
            Self::DeadLetter => "dead-letter",
            Self::DetectState => "detect-state",
            Self::Notified => "notified",
            Self::VehicleCredential => "vehicle-credential",
            Self::VehicleSession => "vehicle-session",
            Self::Hire => "hire",
            Self::Driver => "driver",
            Self::HireScore => "hire-score",
            Self::Offer => "offer",
            Self::Audit => "audit",
        }
    }

    /// Its version in the data contract, if it has one.
    #[must_use]
    pub fn version(self) -> Option<i64> {
        millrace_contract::schema::version(self.name()).map(i64::from)
    }

    /// SHA-256 of its JSON Schema, if it has one.
    #[must_use]
    pub fn fingerprint(self) -> Option<String> {
        millrace_contract::schema::fingerprint(self.name()).map(str::to_owned)
    }
}

/// A schema that is asked for, and that the topic cannot be bound to.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedSchema {
    /// The schema.
    pub schema: TopicSchema,
    /// Its version in the data contract of the operator; absent of a schema without versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// SHA-256 of its JSON Schema, in hexadecimal; absent of a schema without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub fingerprint: Option<String>,
    /// Why: field, value and cure.
    #[schemars(length(max = 4096))]
    pub reason: String,
}

/// What was seen of a topic.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the topic in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 249))]
    pub topic_name: Option<String>,
    /// The id that Kafka gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub topic_id: Option<String>,
    /// Partitions that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Copies that each partition has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// Copies that the KafkaCluster is to give each partition; absent once all are, or are being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_replication_factor: Option<i32>,
    /// The settings that were set by this resource: one that leaves `spec.config` is unset, others are never touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 256)))]
    pub managed_config: Vec<String>,
    /// The schema that the topic is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<TopicSchema>,
    /// Version of that schema that the topic is bound to; absent of a schema without versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    /// SHA-256 of its JSON Schema in that version, in hexadecimal, as `sha256sum` prints it; absent of a schema without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub schema_fingerprint: Option<String>,
    /// The schema that is asked for and refused: the topic stays bound to the one above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_schema: Option<RefusedSchema>,
}

impl KafkaTopic {
    /// What tells the Kafka of the topic from others of the namespace.
    #[must_use]
    pub fn home(&self) -> Cow<'_, str> {
        match (&self.spec.kafka, &self.spec.binding) {
            (Some(cluster), _) => cluster.into(),
            // No KafkaCluster has a slash in its name.
            (None, binding) => format!("binding/{}", binding.as_deref().unwrap_or_default()).into(),
        }
    }

    /// The Secret with the connection details of the topic's Kafka, for those who read and write records.
    #[must_use]
    pub fn binding_secret(&self) -> String {
        match (&self.spec.kafka, &self.spec.binding) {
            (Some(cluster), _) => crate::kafka::binding_name(cluster),
            (None, binding) => binding.clone().unwrap_or_default(),
        }
    }

    /// What its records are: the schema that it is bound to, else the one that is asked for.
    #[must_use]
    pub fn schema(&self) -> TopicSchema {
        let bound = self.status.as_ref().and_then(|status| status.schema);
        bound.unwrap_or(self.spec.schema)
    }

    /// How many copies the KafkaCluster is to give each partition, where that is another number.
    #[must_use]
    pub fn asked_factor(&self) -> Option<usize> {
        if self.spec.paused || self.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let asked = self.status.as_ref()?.asked_replication_factor?;
        usize::try_from(asked).ok().filter(|asked| *asked > 0)
    }

    /// The name of the topic in Kafka.
    #[must_use]
    pub fn topic_name(&self) -> &str {
        match &self.spec.topic_name {
            Some(name) => name,
            None => self.metadata.name.as_deref().unwrap_or_default(),
        }
    }
}

conditioned!(KafkaTopic, KafkaTopicStatus);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_asked_for_while_the_topic_is_reconciled() {
        let spec = serde_json::json!({"kafka": "k", "partitions": 1, "schema": "alert"});
        let mut topic = KafkaTopic::new("t", serde_json::from_value(spec).unwrap());
        assert_eq!(topic.asked_factor(), None);
        topic.status = Some(KafkaTopicStatus {
            asked_replication_factor: Some(3),
            ..KafkaTopicStatus::default()
        });
        assert_eq!(topic.asked_factor(), Some(3));
        topic.spec.paused = true;
        assert_eq!(topic.asked_factor(), None);
    }

    #[test]
    fn schemas_are_named_as_they_are_written() {
        for schema in [
            TopicSchema::Telemetry,
            TopicSchema::VehicleEvent,
            TopicSchema::Alert,
            TopicSchema::Notification,
            TopicSchema::DeadLetter,
            TopicSchema::DetectState,
            TopicSchema::Notified,
            TopicSchema::VehicleCredential,
            TopicSchema::VehicleSession,
            TopicSchema::Hire,
            TopicSchema::Driver,
            TopicSchema::HireScore,
            TopicSchema::Offer,
            TopicSchema::Audit,
        ] {
            assert_eq!(serde_json::to_value(schema).unwrap(), schema.name());
        }
    }
}
