//! PostgreSQL, as a part of a Platform.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::outside::External;
use crate::postgres::crd::{Backup, Bootstrap, Database, Role, Synchronous, parameters_schema};
use crate::types::{PodResources, Storage, StorageGrowth};

/// Scores, offers and what analysts ask for.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || !(has(self.members) || has(self.synchronous) || has(self.image) || has(self.storage) || has(self.storageGrowth) || has(self.resources) || has(self.parameters) || has(self.databases) || has(self.roles) || has(self.backup) || has(self.bootstrap) || has(self.auditReads))")
        .message("spec.postgres.external: given beside members, synchronous, image, storage, storageGrowth, resources, parameters, databases, roles, backup, bootstrap or auditReads: these are of a PostgreSQL that runs here; remove them, or remove external"),
    validation = Rule::new("has(self.members) && self.members > 1 || !has(self.synchronous)")
        .message("spec.postgres.synchronous: one server has nobody to wait for; remove it, or give members: 3"),
    validation = Rule::new("has(self.members) && self.members > 1 || !has(oldSelf.members) || oldSelf.members == 1")
        .message("spec.postgres.members: 1: several servers do not become one again, which could be one that lacks something; give 2, or make a new Platform"),
    validation = Rule::new("!(has(self.auditReads) && self.auditReads && (has(self.databases) || has(self.roles)))")
        .message("spec.postgres.auditReads: given beside databases or roles: which tables name hires is known of the default database alone; remove databases and roles, or remove auditReads and write its role and settings as docs/postgres.md says"),
    validation = Rule::new("has(self.external) == has(oldSelf.external)")
        .message("spec.postgres.external: cannot be added or removed later: the databases would stay behind in the former PostgreSQL; put the field back as it was, or make a new Platform"),
    validation = Rule::new("!has(self.bootstrap) || has(oldSelf.bootstrap)")
        .message("spec.postgres.bootstrap: added to a PostgreSQL that is there already: it says how one begins; remove it, or make a new Platform with it"),
    validation = Rule::new("!has(oldSelf.storage) || has(self.storage)")
        .message("spec.postgres.storage: absent: the profile's size would take its place, and a volume neither shrinks nor changes its class; put the former value back"),
)]
pub struct PlatformPostgres {
    /// A PostgreSQL that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// How many servers there are: 1 when absent, or several, of which another one takes over when the primary fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub members: Option<i32>,
    /// Whether a transaction of several members waits until another one has it too. `Preferred` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous: Option<Synchronous>,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// A volume that runs full grows by itself, where the storage class can. It does not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// Settings of PostgreSQL in the place of the computed ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters_schema")]
    pub parameters: BTreeMap<String, String>,
    /// Databases. Where neither databases nor roles are given, there is `scores`, which belongs to the role `score`, and the
    /// role `analyst`, which may read its schema `analysts`: nothing there leads to a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub databases: Vec<Database>,
    /// Roles: users and groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub roles: Vec<Role>,
    /// Each read of the tables that name hires is told in the log of the server: who, from where and by which statement. The
    /// image must have pgaudit, as the operator's default has. A change restarts the server.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub audit_reads: bool,
    /// Base backups by schedule and an archive of the log. None when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// How it begins: with empty databases when absent, else from backups. It says nothing any more once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
}
