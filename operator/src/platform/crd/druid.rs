//! Druid, as a part of a Platform.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::outside::External;
use crate::druid::crd::{Security, WorkerKind};
use crate::types::{PodResources, Storage};

/// What people ask about the last minute of the fleet in SQL.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || !(has(self.image) || has(self.security) || has(self.segments) || has(self.metadataSecret) || has(self.coordinators) || has(self.brokers) || has(self.historicals) || has(self.workers) || has(self.routers) || has(self.config))")
        .message("spec.druid.external: given beside image, security, segments, metadataSecret, coordinators, brokers, historicals, workers, routers or config: these are of a Druid that runs here; remove them, or remove external"),
    validation = Rule::new("!has(self.security) || has(self.image)")
        .message("spec.druid.image: absent beside spec.druid.security: the operator's own image lacks druid-basic-security and simple-client-sslcontext; name one that has them, such as apache/druid:33.0.0, or remove security"),
    validation = Rule::new("has(self.security) == has(oldSelf.security) && (!has(self.security) || self.security == oldSelf.security)")
        .message("spec.druid.security: cannot be changed while servers run, because they would not understand each other on the way; put it back as it was, or take spec.druid out first"),
    validation = Rule::new("has(self.external) == has(oldSelf.external)")
        .message("spec.druid.external: cannot be added or removed later: what was taken in would stay behind in the former Druid; put the field back as it was, or take spec.druid out first"),
    validation = Rule::new("has(self.segments) == has(oldSelf.segments)")
        .message("spec.druid.segments: cannot be added or removed later: the segments would stay behind in the former place; put the field back as it was"),
)]
pub struct PlatformDruid {
    /// A Druid that somebody else runs: its binding is that of a DruidIngestion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Who is let in, and whether the way is encrypted, see `spec.security` of a DruidCluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// A volume where segments are kept for good, for development. In the HDFS of the platform, `spec.hdfs`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<Storage>,
    /// A Secret with the connection details of a PostgreSQL in which Druid keeps what it knows, see
    /// `spec.metadata.bindingSecret` of a DruidCluster. In the only coordinator when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub metadata_secret: Option<String>,
    /// The coordinators, which are the overlords too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinators: Option<PlatformDruidServers>,
    /// The brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<PlatformDruidServers>,
    /// The historicals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub historicals: Option<PlatformHistoricals>,
    /// The workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<PlatformWorkers>,
    /// The routers; none in the profiles `dev` and `standard` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routers: Option<PlatformDruidServers>,
    /// Settings of Druid in the place of the computed ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    pub config: BTreeMap<String, String>,
    /// Rows older than this, for example `90d`, are dropped.
    #[serde(default = "a_month")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*[hd]$"))]
    pub retention: String,
    /// Numbers of telemetry of which there is a sketch of quantiles, by their names in the data contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub quantiles: Vec<String>,
}

/// Servers of Druid that do the same.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformDruidServers {
    /// How many run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: Option<i32>,
    /// Memory and CPU of each. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

/// The historicals of a Platform.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformHistoricals {
    /// How many run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub replicas: Option<i32>,
    /// The volume of each. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Memory and CPU of each. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

/// The workers of a Platform.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformWorkers {
    /// What runs tasks. The profile's when absent: an indexer in `dev`, a middle manager else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<WorkerKind>,
    /// How many run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i32>,
    /// Tasks that each runs at once. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub capacity: Option<i32>,
    /// Memory and CPU of each. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

fn a_month() -> String {
    "30d".into()
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}
