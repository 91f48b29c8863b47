//! The custom resource DruidCluster.

mod roles;
mod security;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::hdfs::crd::ZooKeeper;
use crate::types::{DeletionPolicy, FreeForm, MaintenanceWindow, Storage};

pub use roles::{Brokers, Coordinators, Historicals, Routers, WorkerKind, Workers};
pub use security::{Authentication, Security};
pub use status::{DrainStatus, DruidClusterStatus, ReadyStatus};

/// An Apache Druid.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "DruidCluster",
    plural = "druidclusters",
    shortname = "dc",
    category = "millrace",
    namespaced,
    status = "DruidClusterStatus",
    derive = "PartialEq",
    doc = "An Apache Druid.",
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether questions are answered and events taken in"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader", description = "The coordinator that leads"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.ready.workers", description = "Workers that are ready"),
    printcolumn(name = "Historicals", type_ = "integer", json_path = ".status.ready.historicals", description = "Historicals that are ready"),
    printcolumn(name = "Missing", type_ = "integer", json_path = ".status.unavailableSegments", description = "Segments that no historical has loaded"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.coordinators.replicas == 1 || has(self.metadata.bindingSecret)")
        .message("spec.coordinators.replicas: several coordinators share what they know in a PostgreSQL; set spec.metadata.bindingSecret, or one coordinator"),
    validation = Rule::new("!has(self.security) || has(self.image)")
        .message("spec.image: absent beside spec.security: the operator's own image lacks druid-basic-security and simple-client-sslcontext; name one that has them, such as apache/druid:33.0.0, or remove spec.security"),
    validation = Rule::new("!has(self.security) || !has(self.security.authentication) || self.coordinators.replicas == 1 || has(self.routers)")
        .message("spec.routers: absent beside several coordinators and spec.security.authentication: one that does not lead sends clients on, who then leave their password behind; add routers"),
    validation = Rule::new("(has(self.security) == has(oldSelf.security) && (!has(self.security) || self.security == oldSelf.security)) || (has(oldSelf.stopped) && oldSelf.stopped)")
        .message("spec.security: cannot be changed while servers run, because they would not understand each other on the way; set spec.stopped, change it, and take spec.stopped back"),
)]
pub struct DruidClusterSpec {
    /// The ZooKeeper by which the servers find each other and decide which coordinator leads. It cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.zookeeper: cannot be changed, because servers of both would not find each other on the way; put the former one back"))]
    pub zookeeper: ZooKeeper,
    /// Where Druid keeps what it knows of segments, tasks and supervisors.
    #[serde(default)]
    pub metadata: Metadata,
    /// Where segments are kept for good.
    pub deep_storage: DeepStorage,
    /// The coordinators, which are the overlords too: they say who loads which segment and who runs which task.
    #[serde(default)]
    pub coordinators: Coordinators,
    /// The brokers, which answer questions.
    #[serde(default)]
    pub brokers: Brokers,
    /// The historicals, which answer for segments that were handed over.
    pub historicals: Historicals,
    /// The workers, which take events in and answer for them until they are handed over.
    pub workers: Workers,
    /// The routers: one address for everything, with Druid's own pages where the image has them. None when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routers: Option<Routers>,
    /// The container image, in the layout of apache/druid. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Who is let in, and whether the way is encrypted. When absent everybody whom NetworkPolicies let through, in plain text. It
    /// needs an image that has what is asked for: see `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// Extensions of Druid that are loaded beside those that are needed, by name; the image must have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")), extend("x-kubernetes-list-type" = "set"))]
    pub extensions: Vec<String>,
    /// Settings of all servers in the place of the computed ones, for example `druid.processing.numThreads`. Settings that the
    /// operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['druid.host', 'druid.service', 'druid.plaintextPort', 'druid.enablePlaintextPort', 'druid.enableTlsPort', 'druid.tlsPort', 'druid.extensions.directory', 'druid.extensions.loadList', 'druid.storage.type', 'druid.storage.storageDirectory', 'druid.segmentCache.locations', 'druid.indexer.runner.type', 'druid.indexer.task.baseDir', 'druid.indexer.task.baseTaskDir', 'druid.worker.capacity', 'druid.worker.ip'] || k.startsWith('druid.zk.') || k.startsWith('druid.discovery.') || k.startsWith('druid.metadata.storage.') || k.startsWith('druid.auth.') || k.startsWith('druid.escalator.') || k.startsWith('druid.server.https.') || k.startsWith('druid.client.https.') || k.startsWith('druid.indexer.logs.') || k.startsWith('druid.coordinator.asOverlord.'))")
        .message("names a setting that the operator owns (addresses, ports, ZooKeeper, metadata, storage, extensions, capacity, authentication, certificates); remove it from spec.config"))]
    pub config: BTreeMap<String, String>,
    /// Secrets of the same namespace with the connection details of a Kafka that asks for a password or a certificate, such as
    /// `NAME-kafka` of a KafkaUser: coordinators and workers have password and key as files, which DruidIngestions make use of.
    /// One that is not there yet, and a new password, need no restart; another name here does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")), extend("x-kubernetes-list-type" = "set"))]
    pub kafka_secrets: Vec<String>,
    /// What is laid over the pods of all roles, in the form of a pod template (`metadata` and `spec`), merged as Kubernetes
    /// does by strategic merge. The container is called `druid`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
    /// When restarts that wait for approval may happen without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// What becomes of the volumes when the cluster is deleted. What is in HDFS or PostgreSQL stays in any case.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// Whether no server is to run. Volumes and addresses stay, and all goes on where it was.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub stopped: bool,
    /// Stop reconciling this cluster; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// Where Druid keeps what it knows.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.storage) && has(self.bindingSecret))")
        .message("spec.metadata.storage: is the volume of the Derby database in the only coordinator; remove it, or remove bindingSecret"),
    validation = Rule::new("has(self.bindingSecret) == has(oldSelf.bindingSecret) && (!has(self.bindingSecret) || self.bindingSecret == oldSelf.bindingSecret)")
        .message("spec.metadata.bindingSecret: cannot be added, removed or changed: what Druid knows would stay behind in the former database; put the field back as it was, or make a new cluster"),
)]
pub struct Metadata {
    /// A Secret with the connection details of a PostgreSQL, in the same namespace, in the form of the Service Binding
    /// specification: `host`, `username`, `password` and `database`, and where it needs them `port` and `ca.crt`. When absent the
    /// only coordinator has a Derby database on a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// The volume of the Derby database; 1Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// Where segments are kept for good. It cannot be changed.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.hdfs), has(self.bindingSecret), has(self.volume)].filter(x, x).size() == 1")
        .message("spec.deepStorage: is either an HdfsCluster of the same namespace, a Secret with the connection details of another HDFS, or a volume; set exactly one of hdfs, bindingSecret and volume"),
    validation = Rule::new("has(self.hdfs) == has(oldSelf.hdfs) && has(self.bindingSecret) == has(oldSelf.bindingSecret) && (!has(self.hdfs) || self.hdfs == oldSelf.hdfs) && (!has(self.bindingSecret) || self.bindingSecret == oldSelf.bindingSecret) && has(self.path) == has(oldSelf.path) && (!has(self.path) || self.path == oldSelf.path)")
        .message("spec.deepStorage: cannot be changed: the segments would stay behind in the former one; put it back, or make a new cluster"),
    validation = Rule::new("!(has(self.volume) && has(self.path))")
        .message("spec.deepStorage.path: is a directory in HDFS; remove it, or remove volume"),
)]
pub struct DeepStorage {
    /// Name of an HdfsCluster in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub hdfs: Option<String>,
    /// Name of a Secret in the same namespace with the connection details of an HDFS that somebody else runs: `type` (hdfs) and
    /// `uri`, and where it needs them `username`, `core-site.xml` and `hdfs-site.xml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// The directory in HDFS; `/millrace/druid/NAME` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255))]
    #[x_kube(validation = crate::job::crd::is_path())]
    pub path: Option<String>,
    /// One volume that historicals and workers share, for development: where the storage class is of one node, all of them
    /// run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Storage>,
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

conditioned!(DruidCluster, DruidClusterStatus);
