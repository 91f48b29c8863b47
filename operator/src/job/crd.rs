//! The custom resource StreamJob.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::reconcile::PendingRestart;
use crate::status::Condition;
use crate::types::{FreeForm, Operation, PodResources, free_form};

mod lake;

pub use lake::{Compaction, JobLake, JobLakeStatus, Retention};
pub(crate) use lake::{is_path, is_schedule, schedule};

/// A long-running job of the data plane.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "StreamJob",
    plural = "streamjobs",
    shortname = "sj",
    category = "millrace",
    namespaced,
    status = "StreamJobStatus",
    derive = "PartialEq",
    doc = "A long-running job of the data plane.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.job", description = "What it runs"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas", description = "Replicas asked for"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas", description = "Replicas that are ready"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether it does its work"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it does, or does not", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 50 characters, because a service is named after it; choose another name"),
    validation = Rule::new("!has(self.spec.lake) || !(has(self.spec.lake.compaction) || has(self.spec.lake.retention)) || size(self.metadata.name) <= 44")
        .message("metadata.name: must have at most 44 characters where spec.lake.compaction or spec.lake.retention is given, because a CronJob is named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.service) || self.job == 'gateway'")
        .message(Message::Expression("'spec.service: given for job ' + self.job + ': only the job gateway serves anybody; remove spec.service'".into())),
    validation = Rule::new("!has(self.tls) || self.job == 'gateway'")
        .message(Message::Expression("'spec.tls: given for job ' + self.job + ': only the job gateway serves anybody; remove spec.tls'".into())),
    validation = Rule::new("!has(self.tls) || !has(self.bindings) || !self.bindings.exists(b, b == 'tls')")
        .message("spec.bindings: tls: the certificate of spec.tls is mounted under that name; rename the binding's Secret"),
    validation = Rule::new("!has(self.lake) || self.job == 'archive'")
        .message(Message::Expression("'spec.lake: given for job ' + self.job + ': only the job archive writes into a lake; remove spec.lake'".into())),
    validation = Rule::new("has(self.lake) || self.job != 'archive'")
        .message("spec.lake: absent: archive has to know where it writes; name an HdfsCluster in lake.hdfs, or a Secret in lake.bindingSecret"),
    validation = Rule::new("!has(self.service) || !has(self.service.nodePorts) || has(self.tls) || !(has(self.service.nodePorts.https) || has(self.service.nodePorts.mqtts))")
        .message("spec.service.nodePorts: https or mqtts given without a certificate: nothing listens there; set spec.tls (on a Platform spec.gateway.tls) or remove the port"),
    validation = Rule::new("!has(self.service) || !has(self.service.nodePorts) || !has(self.tls) || !has(self.tls.only) || !self.tls.only || !(has(self.service.nodePorts.http) || has(self.service.nodePorts.mqtt))")
        .message("spec.service.nodePorts: http or mqtt given, and tls.only closes these ports: remove them, or set tls.only to false"),
)]
pub struct StreamJobSpec {
    /// Which job runs.
    pub job: Job,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// How many pods run.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: i32,
    /// Secrets in the form of the Service Binding specification; each is mounted under its own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub bindings: Vec<String>,
    /// The job's own configuration. That of archive and materialize is checked before the job starts, that of others by the job. `rules`
    /// and `zones` of detect are reloaded without a restart.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub config: FreeForm,
    /// ConfigMaps whose keys appear as files. A change of theirs reaches the pods within a minute or so, without a
    /// restart. One that is not there yet is an empty directory until it is, and is told in the condition Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["directory"]))]
    pub files: Vec<JobFiles>,
    /// How a job that serves is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<JobService>,
    /// The certificate of a job that serves: with it there are HTTPS and MQTT over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<JobTls>,
    /// Where archive writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lake: Option<JobLake>,
    /// Memory and CPU of one pod. When absent 128Mi; for archive what its configuration may take, 416Mi as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// How it is run over time.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling this job; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn one() -> i32 {
    1
}

/// The jobs that a StreamJob can run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Job {
    /// MQTT and HTTP in, Kafka out, and the way back to the vehicle.
    Gateway,
    /// Rules over telemetry; alerts out.
    Detect,
    /// A topic to Parquet files in HDFS, each record exactly once.
    Archive,
    /// Alerts, deliveries and the state of vehicles to MongoDB.
    Materialize,
}

impl Job {
    /// The subcommand of `millrace-stream`.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Detect => "detect",
            Self::Archive => "archive",
            Self::Materialize => "materialize",
        }
    }
}

/// The keys of a ConfigMap as files.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFiles {
    /// The ConfigMap, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub config_map: String,
    /// Where its keys appear, read-only, below `/etc/millrace`.
    #[schemars(
        length(min = 1, max = 320),
        regex(pattern = "^/etc/millrace(/[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?)+$")
    )]
    pub directory: String,
}

/// The certificate of a job that serves.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTls {
    /// A Secret of type `kubernetes.io/tls` in the same namespace. A renewed certificate is taken over without a restart.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Close the plain ports 8080 and 1883 of the Service. Inside Kubernetes plain HTTP stays at the Service
    /// `NAME-internal`, which is always there, for actions.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub only: bool,
}

/// How a job that serves is reached.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePorts) || self.type != 'ClusterIP'")
        .message("service.nodePorts: given for type ClusterIP: such a service has no node ports; set service.type to NodePort or remove service.nodePorts"),
    validation = Rule::new("!has(self.loadBalancerSourceRanges) || size(self.loadBalancerSourceRanges) == 0 || self.type == 'LoadBalancer'")
        .message(Message::Expression("'service.loadBalancerSourceRanges: given for type ' + self.type + ': only a load balancer looks at them; set service.type to LoadBalancer or remove service.loadBalancerSourceRanges'".into())),
)]
pub struct JobService {
    /// Type of the Service.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Fixed ports on the nodes; Kubernetes chooses when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ports: Option<NodePorts>,
    /// Annotations of the Service, for example for the cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::types::kubernetes_annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Addresses that a load balancer lets in, in the form of `192.0.2.0/24`; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(r, isCIDR(r))").message("holds what is not a range of addresses; write each like 192.0.2.0/24 or 2001:db8::/32"))]
    pub load_balancer_source_ranges: Vec<String>,
}

/// Types of a Service.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ServiceType {
    /// Reached from inside Kubernetes only.
    #[default]
    ClusterIP,
    /// Reached on a port of every node.
    NodePort,
    /// Reached at a load balancer that the cloud provides.
    LoadBalancer,
}

impl ServiceType {
    /// The name that Kubernetes uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Fixed ports on the nodes.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePorts {
    /// For HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub http: Option<i32>,
    /// For MQTT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub mqtt: Option<i32>,
    /// For HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub https: Option<i32>,
    /// For MQTT over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub mqtts: Option<i32>,
}

/// What was seen of a job.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamJobStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused and Stopped.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Where archive writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lake: Option<JobLakeStatus>,
    /// Label selector of the pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

conditioned!(StreamJob, StreamJobStatus);
