//! The custom resource DruidIngestion.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns say the same of different things"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::crd::BatchLake;
use crate::conditioned;
use crate::status::Condition;
use crate::types::{DeletionPolicy, PodResources};

/// A data source of a Druid that is fed by a KafkaTopic, with the columns of the data contract.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "DruidIngestion",
    plural = "druidingestions",
    shortname = "di",
    category = "millrace",
    namespaced,
    status = "DruidIngestionStatus",
    derive = "PartialEq",
    doc = "A data source of a Druid that is fed by a KafkaTopic, with the columns of the data contract.",
    printcolumn(
        name = "Topic",
        type_ = "string",
        json_path = ".spec.topic",
        description = "The KafkaTopic"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "What Druid says of the supervisor"
    ),
    printcolumn(
        name = "Lag",
        type_ = "integer",
        json_path = ".status.lag",
        description = "Records that are not read yet"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status",
        description = "Whether the supervisor is there"
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
    validation = Rule::new("has(self.dataSource) == has(oldSelf.dataSource) && (!has(self.dataSource) || self.dataSource == oldSelf.dataSource)")
        .message("spec.dataSource: cannot be changed, a data source has no rename; put the former value back, or make a new DruidIngestion"),
)]
pub struct DruidIngestionSpec {
    /// A Secret with the connection details of a Druid, in the same namespace and in the form of the Service Binding
    /// specification: `uri` is `http://host:port` of a router with its management proxy on, or of a coordinator that is the
    /// overlord too; `broker-uri` is that of a broker, which such a coordinator has beside it. Of a DruidCluster it is
    /// `NAME-binding`. It cannot be changed.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object(), validation = Rule::new("self == oldSelf").message(Message::Expression("'spec.binding: ' + self + ': a supervisor cannot move to another Druid; put ' + oldSelf + ' back, or make a new DruidIngestion'".into())))]
    pub binding: String,
    /// The KafkaTopic, in the same namespace, whose records are read. Its schema must be `telemetry` or `alert`.
    #[schemars(length(min = 1, max = 253))]
    pub topic: String,
    /// The KafkaUser, in the same namespace, that records are read as, where the topic's KafkaCluster has secure listeners. It
    /// needs Read of the topic, and of the group `druid-` with the name of the data source. The servers of the Druid must have
    /// its Secret: `spec.kafkaSecrets` of a DruidCluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub kafka_user: Option<String>,
    /// Name of the data source, and of its supervisor; the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z][A-Za-z0-9_-]*$")
    )]
    pub data_source: Option<String>,
    /// Numbers of the records that are aggregated, by their names in the data contract; all but those that tell where a
    /// vehicle was when empty. Of each there are `NAME_sum`, `NAME_count`, `NAME_min` and `NAME_max`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub signals: Vec<String>,
    /// Numbers of which there is a sketch of quantiles too, `NAME_quantiles`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub quantiles: Vec<String>,
    /// Records of one such span with the same dimensions become one row.
    #[serde(default)]
    pub granularity: Granularity,
    /// Tasks that share the partitions of the topic.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub tasks: i32,
    /// Tasks that read the same, so that one may be lost.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3))]
    pub replicas: i32,
    /// After this time, for example `30m` or `1h`, a task hands over what it has read and another one goes on.
    #[serde(default = "hour")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*[mhd]$"))]
    pub task_duration: String,
    /// Rows older than this, for example `90d`, are dropped; none are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*[hd]$"))]
    pub retention: Option<String>,
    /// Rows of days that ended this long ago, for example `1d`, are merged; none are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*[hd]$"))]
    pub compact_after: Option<String>,
    /// Historicals that hold each row.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 7))]
    pub copies: i32,
    /// Days of the lake that are loaded, each in place of what Druid has of it: after another `signals`, `quantiles` or
    /// `granularity`, a lost deep storage, or for days that Kafka has no more. They are loaded once; another `from`, `to`,
    /// `lake`, `dataset` or `revision` loads again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reindex: Option<Reindex>,
    /// Read nothing for now. What has been read is stored and can be asked for.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub suspended: bool,
    /// Whether the supervisor is ended when this resource is deleted. Rows stay in any case.
    #[serde(default = "DeletionPolicy::of_what_holds_no_data")]
    pub deletion_policy: DeletionPolicy,
    /// Stop reconciling this ingestion; the supervisor goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// A span of time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Granularity {
    /// A second.
    Second,
    /// A minute.
    #[default]
    Minute,
    /// An hour.
    Hour,
}

impl Granularity {
    /// As Druid writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "SECOND",
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
        }
    }
}

fn one() -> i32 {
    1
}

fn hour() -> String {
    "1h".into()
}

/// Days of the lake that are loaded.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.from < self.to")
        .message("reindex.to: no day lies between reindex.from and it; give the day after the last one that is to be loaded"),
)]
pub struct Reindex {
    /// The first day, by event time in UTC, for example `2026-11-01`.
    #[schemars(
        length(min = 10, max = 10),
        regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    )]
    pub from: String,
    /// The day after the last one: today (UTC) at the latest, since a day has to be over.
    #[schemars(
        length(min = 10, max = 10),
        regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    )]
    pub to: String,
    /// Another number loads the same days again.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub revision: i32,
    /// The lake.
    pub lake: BatchLake,
    /// The dataset in it, as the job archive has it; the topic's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub dataset: Option<String>,
    /// Memory and CPU of the pod that reads the lake; 512Mi when absent. It holds one file of the lake at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

/// What was seen of an ingestion.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DruidIngestionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the data source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub data_source: Option<String>,
    /// Whether this resource was seen to own the supervisor.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub made: bool,
    /// What Druid says of the supervisor: `RUNNING`, `SUSPENDED`, `UNHEALTHY_TASKS`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub state: Option<String>,
    /// Records that are in Kafka and not read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Tasks that read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_tasks: Option<i32>,
    /// How the load of `spec.reindex` stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reindex: Option<ReindexStatus>,
    /// What went wrong last in the supervisor and in its tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), inner(length(max = 1024)))]
    pub errors: Vec<String>,
}

/// How a load of days stands.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReindexStatus {
    /// The Job that loads, or has loaded.
    #[schemars(length(max = 63))]
    pub job: String,
    /// How it stands.
    pub phase: ReindexPhase,
    /// Days that were loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
    /// Events that Druid was given of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// What else is to be told: what was left out, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When it was seen to have ended (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ended: Option<String>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ReindexPhase {
    /// Its Job is there.
    #[default]
    Running,
    /// Its days are loaded.
    Succeeded,
    /// A day could not be loaded; those before it are, and what Druid had of the others is still there.
    Failed,
}

impl DruidIngestion {
    /// The name of the data source.
    #[must_use]
    pub fn data_source(&self) -> &str {
        match &self.spec.data_source {
            Some(name) => name,
            None => self.metadata.name.as_deref().unwrap_or_default(),
        }
    }
}

conditioned!(DruidIngestion, DruidIngestionStatus);
