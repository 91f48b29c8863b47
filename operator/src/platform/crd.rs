//! The custom resource Platform.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::kafka::crd::Listeners;
use crate::status::Condition;
use crate::types::{MaintenanceWindow, PodResources, Storage, StorageGrowth};

mod analysts;
mod detect;
mod druid;
mod flow;
mod gateway;
mod hdfs;
mod mongo;
mod offers;
mod outside;
mod postgres;
mod score;
mod warnings;
mod whisk;

pub use analysts::PlatformAnalysts;
pub use detect::{PlatformDetect, ZoneMap};
pub use druid::{PlatformDruid, PlatformDruidServers, PlatformHistoricals, PlatformWorkers};
pub use flow::{FlowCanary, FlowStage, FlowStatus, PlatformFlow, StageName};
pub use gateway::{
    CertManager, GatewayApi, GatewayTls, HttpBackend, Ingress, IssuerRef, ParentRef,
    PlatformGateway,
};
pub use hdfs::{PlatformArchive, PlatformDataNodes, PlatformHdfs, PlatformNameNodes};
pub use mongo::{PlatformMaterialize, PlatformMongo};
pub use offers::{OfferChannel, PlatformOffers};
pub use outside::{External, ExternalKafka};
pub use postgres::PlatformPostgres;
pub use score::PlatformScore;
pub use warnings::{Channel, PlatformWarnings, Smtp, Webhook};
pub use whisk::{PlatformApache, PlatformOpenWhisk, PlatformWhiskMode};

/// A whole environment: from the vehicle's telemetry to the warning that its driver hears.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Platform",
    plural = "platforms",
    shortname = "mrp",
    category = "millrace",
    namespaced,
    status = "PlatformStatus",
    derive = "PartialEq",
    doc = "A whole environment: from the vehicle's telemetry to the warning that its driver hears.",
    printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profile", description = "Sizes and redundancy"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether everything works"),
    printcolumn(name = "Waiting on", type_ = "string", json_path = ".status.waitingOn[*].component", description = "Components that are not ready"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.flow.stages[?(@.stage=='detected')].lagSeconds", description = "Seconds that detection is behind; empty where that is not known. status.flow has all stages"),
    printcolumn(name = "Stuck before", type_ = "string", json_path = ".status.flow.canary.stuckAt", description = "The stage that the canary has not come to for too long"),
    printcolumn(name = "Canary", type_ = "integer", json_path = ".status.flow.stages[?(@.stage=='detected')].canarySeconds", description = "Seconds that the last canary took to detection. status.flow has all stages", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it works, or does not", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 30 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 30 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.detect) || (has(self.kafka) && has(self.gateway))")
        .message("spec.detect: given without spec.kafka and spec.gateway: nothing would reach it; add them or remove spec.detect"),
    validation = Rule::new("!has(self.gateway) || has(self.kafka)")
        .message("spec.gateway: given without spec.kafka: it has nowhere to put telemetry; add spec.kafka or remove spec.gateway"),
    validation = Rule::new("!has(self.warnings) || (has(self.openwhisk) && has(self.detect))")
        .message("spec.warnings: given without spec.detect and spec.openwhisk: nobody would find or tell anything; add them or remove spec.warnings"),
    validation = Rule::new("self.profile == oldSelf.profile || !has(oldSelf.kafka) || has(oldSelf.kafka.partitions)")
        .message(Message::Expression("'spec.profile: ' + self.profile + ': the number of partitions comes from the profile, and with another one vehicles would change partition and lose their state; put ' + oldSelf.profile + ' back, and give sizes and replicas one by one'".into())),
    validation = Rule::new("(self.profile == 'ha') == (oldSelf.profile == 'ha') || !has(oldSelf.kafka) || has(oldSelf.kafka.external)")
        .message(Message::Expression("'spec.profile: ' + self.profile + ': ha has controllers and brokers of their own, and a Kafka that runs cannot change to that or back; put ' + oldSelf.profile + ' back, or make a new Platform'".into())),
    validation = Rule::new("!has(self.archive) || (has(self.kafka) && has(self.hdfs))")
        .message("spec.archive: given without spec.kafka and spec.hdfs: it has nothing to read or nowhere to write; add them or remove spec.archive"),
    validation = Rule::new("!has(oldSelf.hdfs) || has(self.hdfs)")
        .message("spec.hdfs: absent: taking it out would delete the file system of the lake; put it back, or delete the Platform"),
    validation = Rule::new("!has(oldSelf.hdfs) || !has(self.hdfs) || has(self.hdfs.external) || has(oldSelf.hdfs.external) || ((has(self.hdfs.nameNodes) && has(self.hdfs.nameNodes.replicas) ? self.hdfs.nameNodes.replicas > 1 : self.profile == 'ha') == (has(oldSelf.hdfs.nameNodes) && has(oldSelf.hdfs.nameNodes.replicas) ? oldSelf.hdfs.nameNodes.replicas > 1 : oldSelf.profile == 'ha'))")
        .message("spec.hdfs.nameNodes.replicas: one NameNode cannot become several, nor several one, because clients know the file system by another address then; give the former number, or make a new Platform"),
    validation = Rule::new("!has(self.score) || (has(self.hdfs) && has(self.postgres))")
        .message("spec.score: works only together with spec.hdfs and spec.postgres: add them, or remove spec.score"),
    validation = Rule::new("!has(self.analysts) || (has(self.hdfs) && has(self.postgres))")
        .message("spec.analysts: works only together with spec.hdfs and spec.postgres: add them, or remove spec.analysts"),
    validation = Rule::new("!has(oldSelf.postgres) || has(self.postgres)")
        .message("spec.postgres: absent: taking it out would take the databases away from those who use them; put it back, or delete the Platform"),
    validation = Rule::new("!has(self.materialize) || (has(self.kafka) && has(self.gateway) && has(self.mongo))")
        .message("spec.materialize: works only together with spec.kafka, spec.gateway and spec.mongo: add them, or remove spec.materialize"),
    validation = Rule::new("!has(self.openwhisk) || !has(self.openwhisk.mode) || self.openwhisk.mode == 'embedded' || has(self.mongo)")
        .message("spec.openwhisk.mode: apache and lean keep everything in a MongoDB; add spec.mongo, or take mode embedded"),
    validation = Rule::new("!has(self.openwhisk) || !has(self.openwhisk.mode) || self.openwhisk.mode != 'apache' || has(self.kafka)")
        .message("spec.openwhisk.mode: apache: controller and invokers talk to each other by Kafka; add spec.kafka, or take mode lean or embedded"),
    validation = Rule::new("!has(self.offers) || (has(self.materialize) && has(self.openwhisk))")
        .message("spec.offers: works only together with spec.materialize and spec.openwhisk: add them, or remove spec.offers"),
    validation = Rule::new("!has(self.druid) || has(self.kafka)")
        .message("spec.druid: given without spec.kafka: it has nothing to take in; add spec.kafka or remove spec.druid"),
    validation = Rule::new("!has(self.druid) || has(self.druid.external) || has(self.druid.segments) || has(self.hdfs)")
        .message("spec.druid.segments: absent without spec.hdfs: segments are kept nowhere; give a volume in spec.druid.segments, or add spec.hdfs"),
    validation = Rule::new("!has(self.druid) || !has(self.druid.external) || !has(self.kafka) || !has(self.kafka.listeners) || !has(self.kafka.listeners.secure)")
        .message("spec.druid.external: given beside spec.kafka.listeners.secure: a Druid that somebody else runs has no password of this Kafka; remove external, or make DruidIngestions of your own whose binding has the key kafka-secrets"),
    validation = Rule::new("!has(oldSelf.mongo) || has(self.mongo)")
        .message("spec.mongo: absent: taking it out would take the documents away from those who use them; put it back, or delete the Platform"),
    validation = Rule::new("!has(oldSelf.kafka) || has(self.kafka)")
        .message("spec.kafka: absent: taking it out would delete the log of records; put it back, or delete the Platform"),
)]
pub struct PlatformSpec {
    /// Sizes and redundancy: `dev` is one small pod of everything, `standard` has two pods of what can have them, `ha` has
    /// three controllers and three brokers too, so that any node may fail. It can be changed later only where `spec.kafka.partitions` is given, because vehicles would change partition.
    #[serde(default)]
    pub profile: Profile,
    /// The log of records. Without it the platform has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<PlatformKafka>,
    /// The way in for vehicles, and the way back. Its keys are in the Secret `NAME-gateway`: made once, never changed, and
    /// kept when the Platform is deleted, as volumes are, for without them pseudonyms and sealed dead letters say nothing
    /// any more. A Platform of the same name uses them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<PlatformGateway>,
    /// Rules over telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<PlatformDetect>,
    /// The file system of the lake. Without it the platform has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdfs: Option<PlatformHdfs>,
    /// Telemetry into the lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<PlatformArchive>,
    /// Scores, offers and what analysts ask for. Without it the platform has no database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PlatformPostgres>,
    /// How drivers are scored, from the lake into PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<PlatformScore>,
    /// How the questions of analysts are answered, from the lake into PostgreSQL. With it the archive takes in vehicle events and
    /// alerts, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysts: Option<PlatformAnalysts>,
    /// Where people ask about the last minutes of the fleet in SQL: telemetry and alerts in an Apache Druid. Without it the
    /// platform has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub druid: Option<PlatformDruid>,
    /// Where documents are. Without it the platform has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mongo: Option<PlatformMongo>,
    /// Alerts, deliveries and the state of vehicles as documents in MongoDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub materialize: Option<PlatformMaterialize>,
    /// Where actions run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openwhisk: Option<PlatformOpenWhisk>,
    /// How drivers are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<PlatformWarnings>,
    /// What good drivers are offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<PlatformOffers>,
    /// How the flow through the platform is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<PlatformFlow>,
    /// Take the platform to zero pods in order, and nothing is lost: the gateway first, so that nothing is accepted that
    /// nobody stores; then what reads the log, Druid too, once it has caught up; then OpenWhisk, HDFS, PostgreSQL and MongoDB; then Kafka. Volumes stay. `false`
    /// brings all of it back in the reverse order.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub stopped: bool,
    /// When restarts that wait for approval may happen without it, in all parts. At no time when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// Stop reconciling the platform and all its parts: what runs goes on, and nothing of it is changed until this is
    /// taken back. A part that somebody has paused by its own `paused` stays paused then.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// Sizes and redundancy.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Profile {
    /// One small pod of everything.
    #[default]
    Dev,
    /// Two pods of gateway, detect, dispatch and archive, more partitions and larger volumes. Kafka and OpenWhisk are one
    /// pod each in this version: a restart of theirs holds records up and loses none. HDFS has one NameNode and two DataNodes.
    Standard,
    /// Three controllers and three brokers of Kafka on nodes of their own, three copies of each record of which two are
    /// written before it is acknowledged, three pods of gateway, detect, dispatch and archive. HDFS has two NameNodes and
    /// three DataNodes. OpenWhisk is one pod in this version.
    Ha,
}

/// The log of records.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || !(has(self.image) || has(self.storage) || has(self.storageGrowth) || has(self.resources) || has(self.config))")
        .message("spec.kafka.external: given beside image, storage, storageGrowth, resources or config: these are of a Kafka that runs here; remove them, or remove external"),
    validation = Rule::new("!has(self.external) || !has(self.listeners)")
        .message("spec.kafka.listeners: given beside external: what somebody else runs has listeners of its own; remove one of the two"),
    validation = Rule::new("(has(self.listeners) && has(self.listeners.secure)) == (has(oldSelf.listeners) && has(oldSelf.listeners.secure))")
        .message("spec.kafka.listeners.secure: cannot be added or removed later, because nodes and jobs would not understand each other on the way; put the field back as it was, or make a new Platform"),
    validation = Rule::new("has(self.external) == has(oldSelf.external)")
        .message("spec.kafka.external: cannot be added or removed later: the records would stay behind in the former Kafka; put the field back as it was, or make a new Platform"),
    validation = Rule::new("has(self.partitions) == has(oldSelf.partitions)")
        .message("spec.kafka.partitions: cannot be added or removed later: vehicles would change partition and lose their state; put the field back as it was"),
    validation = Rule::new("!has(oldSelf.storage) || has(self.storage)")
        .message("spec.kafka.storage: absent: the profile's size would take its place, and a volume neither shrinks nor changes its class; put the former value back"),
)]
pub struct PlatformKafka {
    /// A Kafka that somebody else runs: only topics are made there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,
    /// How Kafka is reached. With `secure` nodes and clients speak TLS, every job of the platform is a user of its own
    /// (KafkaUser) that may do only what it needs, and nobody else gets in. Plain text inside Kubernetes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Listeners>,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of a node. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Volumes that run full grow by themselves, where the storage class can. They do not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of a node. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// Broker settings that are put after the computed ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    pub config: BTreeMap<String, String>,
    /// Partitions of the topics that vehicles' records go to. The profile's number when
    /// absent. It cannot be changed, added or removed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("vehicles would change partition and lose their state; put the former number back"))]
    pub partitions: Option<i32>,
}

impl PlatformKafka {
    /// Whether clients have to log in, each as a user of its own.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        let listeners = self.listeners.as_ref();
        listeners.is_some_and(|listeners| listeners.secure.is_some())
    }
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

/// What was seen of a platform.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Everything that the platform consists of.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub components: Vec<ComponentStatus>,
    /// What the platform waits for, with the reason.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub waiting_on: Vec<WaitingOn>,
    /// Restarts of its components that wait for approval: `millrace approve`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub pending_restarts: Vec<ComponentRestart>,
    /// Where records wait on their way through the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowStatus>,
}

/// The state of one component.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Name of its resource.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Kind of its resource.
    #[schemars(length(max = 64))]
    pub kind: String,
    /// Whether it is available.
    pub ready: bool,
    /// What it says of itself.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// A restart of a component that waits for approval.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentRestart {
    /// Kind and name of the component, for example `KafkaCluster/dev-kafka`: what `millrace approve` takes.
    #[schemars(length(max = 320))]
    pub component: String,
    /// Kind and name of the workload whose pods would restart.
    #[schemars(length(max = 300))]
    pub workload: String,
    /// What differs, for people.
    #[schemars(length(max = 2048))]
    pub reason: String,
}

/// What a platform waits for.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingOn {
    /// Kind and name of the resource.
    #[schemars(length(max = 320))]
    pub component: String,
    /// Why it is not ready.
    #[schemars(length(max = 4096))]
    pub reason: String,
}

conditioned!(Platform, PlatformStatus);
