//! The custom resource EventSource.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::reconcile::PendingRestart;
use crate::status::Condition;
use crate::types::{Activations, Operation, PodResources};

/// Brings the records of a KafkaTopic to an Action or a Trigger.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "EventSource",
    plural = "eventsources",
    shortname = "es",
    category = "millrace",
    namespaced,
    status = "EventSourceStatus",
    derive = "PartialEq",
    doc = "Brings the records of a KafkaTopic to an Action or a Trigger.",
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.topic", description = "The KafkaTopic"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action", description = "The Action"),
    printcolumn(name = "Trigger", type_ = "string", json_path = ".spec.trigger", description = "The Trigger", priority = 1),
    printcolumn(name = "Filter", type_ = "string", json_path = ".spec.filter", description = "Which records are brought", priority = 1),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether records are brought"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.activations.failed", description = "How many of the last activations of what it feeds failed", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why they are, or are not", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 50 characters; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.deadLetterTopic) || self.deadLetterTopic != self.topic")
        .message("spec.deadLetterTopic: the same as spec.topic: a record that fails would come back for ever; name another KafkaTopic"),
    validation = Rule::new("has(self.action) || has(self.trigger)")
        .message("spec.action: absent: records would go nowhere; set spec.action or spec.trigger"),
    validation = Rule::new("!(has(self.action) && has(self.trigger))")
        .message("spec.trigger: given beside spec.action: records go to one of the two; remove one, or make a second EventSource"),
    validation = Rule::new("!has(self.partialFailure) || !self.partialFailure || has(self.batch)")
        .message("spec.partialFailure: true without spec.batch: one record fails or succeeds as a whole; add spec.batch or remove spec.partialFailure"),
    validation = Rule::new("!has(self.partialFailure) || !self.partialFailure || !has(self.trigger)")
        .message("spec.partialFailure: true with spec.trigger: a trigger gives no result that could name records; set spec.action instead, or remove spec.partialFailure"),
    validation = Rule::new("!has(self.bisect) || !self.bisect || has(self.batch)")
        .message("spec.bisect: true without spec.batch: there is nothing to halve; add spec.batch or remove spec.bisect"),
    validation = Rule::new("has(self.group) == has(oldSelf.group) && (!has(self.group) || self.group == oldSelf.group)")
        .message("spec.group: cannot be changed, the place reached in the topic would be lost; put the former value back, or make a new EventSource"),
)]
pub struct EventSourceSpec {
    /// The KafkaTopic, in the same namespace, whose records are brought.
    #[schemars(length(min = 1, max = 253))]
    pub topic: String,
    /// The Action, in the same namespace, that is invoked for each record or batch. Either this or `trigger`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub action: Option<String>,
    /// The Trigger, in the same namespace, that is fired for each record or batch: it counts as done when every action
    /// that its rules started succeeded. Either this or `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub trigger: Option<String>,
    /// Which records are brought: a condition in SQL over the fields of the topic's schema, for example
    /// `severity = 'critical' AND zone IS NULL`. All of them when absent; the others are passed over for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub filter: Option<String>,
    /// Bring several records at once, as `{"records": [...]}`. One at a time, and as itself, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// The result of a batch may name the records that failed, as
    /// `{"batchItemFailures": [{"itemIdentifier": "TOPIC-PARTITION-OFFSET"}]}`: only these are tried again.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub partial_failure: bool,
    /// A batch that fails is halved, and halved again, until the record that is to blame is alone.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub bisect: bool,
    /// Records older than this go to the dead letters untried: by the time of their event, alerts by that of their
    /// detection. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub maximum_age_seconds: Option<i32>,
    /// Consumer group in Kafka; `dispatch-` and the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub group: Option<String>,
    /// The KafkaUser, in the same namespace, that records are read as, where the topic's KafkaCluster has secure listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub kafka_user: Option<String>,
    /// Where the consumer group starts that has not read yet; later it goes on where it was.
    #[serde(default, skip_serializing_if = "is_earliest")]
    pub starting_position: StartingPosition,
    /// How often a record is tried before it goes to the dead letters.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = 10_000))]
    pub attempts: i32,
    /// Waiting times between attempts.
    #[serde(default)]
    pub backoff: Backoff,
    /// Invocations under way at once in one pod; records of one vehicle always go one after the other.
    #[serde(default = "default_in_flight")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: i32,
    /// The KafkaTopic, in the same namespace, that takes records which failed for good. Without one they are dropped
    /// after the last attempt, with a log line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub dead_letter_topic: Option<String>,
    /// How many pods run; more than the topic has partitions does nothing.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: i32,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Memory and CPU of one pod; 128Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// How it is run over time.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// Where a consumer group starts that has not read yet.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum StartingPosition {
    /// With the oldest record that the topic still has.
    #[default]
    Earliest,
    /// With the first record that was written after this resource was made.
    Created,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_earliest(position: &StartingPosition) -> bool {
    *position == StartingPosition::Earliest
}

/// How many records go together.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The most records of a batch.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum_records: i32,
    /// How long a batch waits for more records, in milliseconds; 0 sends what is there.
    #[serde(default)]
    #[schemars(range(min = 0, max = 300_000))]
    pub window_milliseconds: i32,
}

/// The most attempts that may be asked for.
pub const MAX_ATTEMPTS: i32 = 10_000;

fn default_attempts() -> i32 {
    5
}

fn default_in_flight() -> i32 {
    16
}

fn one() -> i32 {
    1
}

/// Waiting times between attempts; each is twice the one before.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.initialMilliseconds <= self.maximumMilliseconds")
        .message("spec.backoff.initialMilliseconds: longer than maximumMilliseconds: lower the first or raise the second"),
)]
pub struct Backoff {
    /// Before the second attempt, in milliseconds.
    #[serde(default = "default_initial")]
    #[schemars(range(min = 1, max = 600_000))]
    pub initial_milliseconds: i32,
    /// The longest, in milliseconds.
    #[serde(default = "default_maximum")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub maximum_milliseconds: i32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial_milliseconds: default_initial(),
            maximum_milliseconds: default_maximum(),
        }
    }
}

fn default_initial() -> i32 {
    200
}

fn default_maximum() -> i32 {
    30_000
}

/// What was seen of an event source.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventSourceStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused and Stopped.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The consumer group in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 249))]
    pub group: Option<String>,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// How the last activations of the Action or the Trigger went, as it says itself: also those that somebody else asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

impl EventSource {
    /// The consumer group in Kafka.
    #[must_use]
    pub fn group(&self) -> String {
        match &self.spec.group {
            Some(group) => group.clone(),
            None => format!(
                "dispatch-{}",
                self.metadata.name.as_deref().unwrap_or_default()
            ),
        }
    }
}

conditioned!(EventSource, EventSourceStatus);
