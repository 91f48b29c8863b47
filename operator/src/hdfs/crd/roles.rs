//! The servers of a cluster, role by role.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::types::{FreeForm, PodResources, Storage, StorageGrowth};

/// The NameNodes.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameNodes {
    /// How many run: 1, or 2 or 3 of which one is active.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3))]
    pub replicas: i32,
    /// The volume of each, for the names.
    #[serde(default = "two_gibibytes")]
    pub storage: Storage,
    /// Volumes that run full grow by themselves, where the storage class can; those of JournalNodes with them. They do not
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of each. The Java heap, on which all names are, is computed from the memory; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('384Mi')) >= 0").message(Message::Expression("'spec.nameNodes.resources.memory: ' + self.memory + ': a NameNode does not start with so little; give at least 384Mi'".into())))]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

impl Default for NameNodes {
    fn default() -> Self {
        Self {
            replicas: one(),
            storage: two_gibibytes(),
            storage_growth: None,
            resources: None,
            pod_overrides: FreeForm::default(),
        }
    }
}

/// The JournalNodes.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalNodes {
    /// How many run: 3, or 5 to bear the loss of two. It cannot be changed.
    #[serde(default = "three")]
    #[x_kube(
        validation = Rule::new("self in [3, 5]").message("spec.journalNodes.replicas: a majority of them must stay when one is lost; set 3 or 5"),
        validation = Rule::new("self == oldSelf").message("spec.journalNodes.replicas: cannot be changed, because new JournalNodes could outvote those that have the log; put the former number back"),
    )]
    pub replicas: i32,
    /// The volume of each, for the log.
    #[serde(default = "two_gibibytes")]
    pub storage: Storage,
    /// Memory and CPU of each; 256Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.journalNodes.resources.memory: ' + self.memory + ': a JournalNode does not start with so little; give at least 256Mi'".into())))]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

impl Default for JournalNodes {
    fn default() -> Self {
        Self {
            replicas: three(),
            storage: two_gibibytes(),
            resources: None,
            pod_overrides: FreeForm::default(),
        }
    }
}

/// The DataNodes.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataNodes {
    /// How many run. One that is to go is decommissioned first: it goes when all of its blocks are elsewhere.
    #[schemars(range(min = 1, max = 500))]
    pub replicas: i32,
    /// How many volumes each has, over which its blocks are spread. It cannot be changed.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.dataNodes.volumes: cannot be changed; put the former number back, or make a new cluster"))]
    pub volumes: i32,
    /// Each of these volumes.
    pub storage: Storage,
    /// Volumes that run full grow by themselves, where the storage class can. They do not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of each; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.dataNodes.resources.memory: ' + self.memory + ': a DataNode does not start with so little; give at least 256Mi'".into())))]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// The ZooKeeper of a cluster.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.ensemble) != has(self.bindingSecret)")
        .message("spec.zookeeper: is either an ensemble of the same namespace or a Secret with the connection details of another one; set exactly one of ensemble and bindingSecret"),
)]
pub struct ZooKeeper {
    /// Name of a ZooKeeperEnsemble in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub ensemble: Option<String>,
    /// Name of a Secret in the same namespace with the key `connection-string`: servers as `host:port`, separated by
    /// commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
}

fn one() -> i32 {
    1
}

fn three() -> i32 {
    3
}

fn two_gibibytes() -> Storage {
    Storage {
        size: "2Gi".into(),
        storage_class: None,
    }
}
