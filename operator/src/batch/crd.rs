//! The custom resource BatchJob.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::job::crd::{is_path, is_schedule, schedule};
use crate::status::Condition;
use crate::types::{FreeForm, KeyRef, Operation, PodResources, free_form};

/// A job that runs from time to time over what was archived.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "BatchJob",
    plural = "batchjobs",
    shortname = "bj",
    category = "millrace",
    namespaced,
    status = "BatchJobStatus",
    derive = "PartialEq",
    doc = "A job that runs from time to time over what was archived.",
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.job", description = "What it runs"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule", description = "When it runs"),
    printcolumn(name = "Succeeded", type_ = "string", json_path = ".status.lastSucceeded", description = "When a run ended with success last"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether it runs when its time comes"),
    printcolumn(name = "Degraded", type_ = "string", json_path = ".status.conditions[?(@.type=='Degraded')].message", description = "Why its last run failed", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(self.spec.engine) || self.spec.engine != 'ballista' || self.spec.job == 'score'")
        .message("spec.engine: ballista computes the job score only; take job score, or leave engine out"),
    validation = Rule::new("!has(self.spec.ballista) || (has(self.spec.engine) && self.spec.engine == 'ballista')")
        .message("spec.ballista: is for engine ballista only; set engine: ballista, or remove spec.ballista"),
    validation = Rule::new("size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 50 characters, because a CronJob is named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
pub struct BatchJobSpec {
    /// Which job runs.
    pub job: Batch,
    /// When it runs, in the form of cron, for example `20 2 * * *`.
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// The time zone of `schedule`, by its IANA name.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = is_zone())]
    pub time_zone: String,
    /// The lake that it reads.
    pub lake: BatchLake,
    /// Secret of type `postgresql` in the form of the Service Binding specification, in the same namespace: where results go.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub postgres_secret: String,
    /// Of `score`: the first run looks back so many days, and a new definition has so many scored anew. Telemetry that was never
    /// scored or has changed is found however old, from the first run's first day on. `analyse` looks at all days of the lake and
    /// loads those that have changed.
    #[serde(default = "week")]
    #[schemars(range(min = 1, max = 366))]
    pub catch_up_days: i32,
    /// The job's own configuration, checked before it starts: see docs/scores.md and docs/analysts.md.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub config: FreeForm,
    /// Whom the job score tells each hire's new score; nobody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<BatchReport>,
    /// Who computes: `local`, the run's own pod, when absent. With `ballista` executors compute the days of `score`, each a part of
    /// the fleet: for fleets that one pod is too small for.
    #[serde(default, skip_serializing_if = "Engine::is_local")]
    pub engine: Engine,
    /// The executors of engine `ballista`; two when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ballista: Option<BatchBallista>,
    /// How often a run that failed is tried again at once.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// A run that takes longer is ended, in minutes.
    #[serde(default = "six_hours")]
    #[schemars(range(min = 1, max = 10_080))]
    pub longest_minutes: i32,
    /// So many runs that succeeded are kept, with their logs; of those that failed one more.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 50))]
    pub history: i32,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Memory and CPU of a run's pod; 1Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// How it is run over time. While `stopped` no run begins.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling this job; its runs go on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// That a text can be the name of a time zone.
pub(crate) fn is_zone() -> kube::core::Rule {
    let told = "'timeZone: ' + self + ': is no name of a time zone; write it like Europe/Vienna'";
    kube::core::Rule::new("self.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$')")
        .message(kube::core::Message::Expression(told.to_owned()))
}

fn utc() -> String {
    "Etc/UTC".into()
}

fn week() -> i32 {
    7
}

fn two() -> i32 {
    2
}

fn six_hours() -> i32 {
    360
}

/// The jobs that a BatchJob can run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Batch {
    /// Scores how vehicles were driven, by trip, hire and week.
    Score,
    /// Answers what analysts ask, from vehicle events, alerts and odometers.
    Analyse,
}

impl Batch {
    /// The subcommand of `millrace-batch`.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Analyse => "analyse",
        }
    }
}

/// Who computes the days of a job.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Engine {
    /// The run's own pod.
    #[default]
    Local,
    /// Executors of Apache DataFusion Ballista.
    Ballista,
}

impl Engine {
    /// Whether it is the default.
    #[must_use]
    pub fn is_local(&self) -> bool {
        *self == Self::Local
    }
}

/// The executors of engine `ballista`.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchBallista {
    /// How many pods compute. They stay between runs.
    #[serde(default = "executors")]
    #[schemars(range(min = 1, max = 64))]
    pub executors: i32,
    /// Into how many parts the fleet is divided; as many as there are executors when absent. Of more parts each is smaller and takes
    /// less memory, and all files of a day are read once for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub parts: Option<i32>,
    /// Memory and CPU of an executor; 1Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

impl Default for BatchBallista {
    fn default() -> Self {
        Self {
            executors: executors(),
            parts: None,
            resources: None,
        }
    }
}

fn executors() -> i32 {
    2
}

/// Whom scores are told.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchReport {
    /// Address of a gateway inside the cluster, without TLS: what it is told has no person in it.
    #[schemars(length(min = 8, max = 512), regex(pattern = "^http://[^\\s/]+$"))]
    pub gateway_url: String,
    /// The key of a Secret with the gateway's `events-token`.
    pub token_secret_ref: KeyRef,
}

/// The lake that a job reads.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.hdfs) != has(self.bindingSecret)")
        .message("lake: lies either in an HdfsCluster of the same namespace or in an HDFS that a Secret leads to; set exactly one of lake.hdfs and lake.bindingSecret"),
)]
pub struct BatchLake {
    /// Name of an HdfsCluster in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = crate::names::object())]
    pub hdfs: Option<String>,
    /// Secret of type `hdfs` in the form of the Service Binding specification, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// The directory under which datasets are, as the job archive has it; the path of the binding's `uri`, else
    /// `/millrace/lake`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255))]
    #[x_kube(validation = is_path())]
    pub path: Option<String>,
}

/// What was seen of a job.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchJobStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused and Stopped.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// When a run began last (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_began: Option<String>,
    /// When a run ended with success last (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_succeeded: Option<String>,
}

conditioned!(BatchJob, BatchJobStatus);
