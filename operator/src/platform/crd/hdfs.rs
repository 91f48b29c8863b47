//! HDFS and the archive, as parts of a Platform.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::outside::External;
use crate::job::crd::{Compaction, Retention};
use crate::types::{FreeForm, PodResources, Storage, StorageGrowth, free_form};

/// The file system of the lake.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || !(has(self.image) || has(self.nameNodes) || has(self.dataNodes) || has(self.replication))")
        .message("spec.hdfs.external: given beside image, nameNodes, dataNodes or replication: these are of an HDFS that runs here; remove them, or remove external"),
    validation = Rule::new("has(self.external) == has(oldSelf.external)")
        .message("spec.hdfs.external: cannot be added or removed later: the lake would stay behind in the former HDFS; put the field back as it was, or make a new Platform"),
    validation = Rule::new("!has(oldSelf.nameNodes) || !has(oldSelf.nameNodes.storage) || (has(self.nameNodes) && has(self.nameNodes.storage))")
        .message("spec.hdfs.nameNodes.storage: absent: the profile's size would take its place, and a volume neither shrinks nor changes its class; put the former value back"),
    validation = Rule::new("!has(oldSelf.dataNodes) || !has(oldSelf.dataNodes.storage) || (has(self.dataNodes) && has(self.dataNodes.storage))")
        .message("spec.hdfs.dataNodes.storage: absent: the profile's size would take its place, and a volume neither shrinks nor changes its class; put the former value back"),
)]
pub struct PlatformHdfs {
    /// An HDFS that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The NameNodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_nodes: Option<PlatformNameNodes>,
    /// The DataNodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_nodes: Option<PlatformDataNodes>,
    /// How many copies of each block are kept. As many as there are DataNodes, and at most 3, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub replication: Option<i32>,
}

/// The NameNodes of a Platform.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformNameNodes {
    /// How many run: 1, or 2 or 3 of which one is active, with a ZooKeeperEnsemble and three JournalNodes. The profile's
    /// number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3))]
    pub replicas: Option<i32>,
    /// The volume of each, of the JournalNodes too. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Memory and CPU of each. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

/// The DataNodes of a Platform.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformDataNodes {
    /// How many run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub replicas: Option<i32>,
    /// The volume of each. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Volumes that run full grow by themselves, where the storage class can. They do not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of each. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

/// Telemetry to Parquet files in HDFS, each record exactly once.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformArchive {
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// How many pods run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: Option<i32>,
    /// Memory and CPU of one pod. When absent the profile's CPU, and the memory that the configuration may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// The job's own configuration, see docs/lake.md, for example `rollInterval`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub config: FreeForm,
    /// The directory under which each dataset has one of its own; `/millrace/lake` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255))]
    #[x_kube(validation = crate::job::crd::is_path())]
    pub path: Option<String>,
    /// Makes one file of an hour's small ones, from time to time; at minute 17 of each hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<Compaction>,
    /// What becomes of hours that grow old; they stay for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}
