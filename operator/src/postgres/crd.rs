//! The custom resource PostgresCluster.

mod backup;
mod members;
mod roles;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use backup::{Backup, Bootstrap, Restore, RestoreFrom};
pub use members::{MOST_MEMBERS, MemberStatus, Synchronous};
pub use roles::{Database, ReadOnly, Role};
pub use status::{
    BackupStatus, BaseBackup, DatabaseStatus, PostgresClusterStatus, RestoreStatus, RoleStatus,
};

use crate::conditioned;
use crate::types::{DeletionPolicy, Operation, PodResources, Storage, StorageGrowth};

/// A PostgreSQL server with its databases and roles.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "PostgresCluster",
    plural = "postgresclusters",
    shortname = "pgc",
    category = "millrace",
    namespaced,
    status = "PostgresClusterStatus",
    derive = "PartialEq",
    doc = "A PostgreSQL server with its databases and roles.",
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "Version of the server"),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.readyMembers", description = "How many servers are ready"),
    printcolumn(name = "Primary", type_ = "string", json_path = ".status.primary", description = "The pod that takes writes, where there are several"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether clients can connect"),
    printcolumn(name = "Disk", type_ = "integer", json_path = ".status.disk.usedPercent", description = "How full the volume is, in percent"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.databases) || self.databases.all(d, !has(d.owner) || (has(self.roles) && self.roles.exists(r, r.name == d.owner)))")
        .message("spec.databases.owner: names a role that is not in spec.roles; add the role there, or correct the name"),
    validation = Rule::new("!has(self.roles) || self.roles.all(r, !has(r.database) || (has(self.databases) && self.databases.exists(d, d.name == r.database)))")
        .message("spec.roles.database: names a database that is not in spec.databases; add the database there, or correct the name"),
    validation = Rule::new("!has(self.roles) || self.roles.all(r, !has(r.readOnly) || r.readOnly.all(o, has(self.databases) && self.databases.exists(d, d.name == o.database)))")
        .message("spec.roles.readOnly.database: names a database that is not in spec.databases; add the database there, or correct the name"),
    validation = Rule::new("!has(self.bootstrap) || has(oldSelf.bootstrap)")
        .message("spec.bootstrap: added to a cluster that is there already: it says how one begins; remove it, or make a new cluster with it"),
    validation = Rule::new("self.members > 1 || oldSelf.members == 1")
        .message("spec.members: 1: several servers do not become one again, which could be one that lacks something; give 2, or make a new cluster"),
    validation = Rule::new("self.members > 1 || !has(self.synchronous)")
        .message("spec.synchronous: one server has nobody to wait for; remove it, or give members: 3"),
    validation = Rule::new("self.members == 1 || !has(self.resources) || !has(self.resources.memory) || quantity(self.resources.memory).compareTo(quantity('384Mi')) >= 0")
        .message(Message::Expression("'spec.resources.memory: ' + self.resources.memory + ': PostgreSQL and Patroni beside it do not fit into so little; give at least 384Mi'".into())),
)]
pub struct PostgresClusterSpec {
    /// The container image: a PostgreSQL from version 14 on in the layout of Debian's package or of the upstream image
    /// (`postgres:15`). The operator's own default when absent. Another major version does not take the volume over. Several
    /// members need one with Patroni, as the default is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// How many servers there are: 1, or several, of which Patroni makes one the primary and lets another take over when it
    /// fails. A server that is taken out leaves before its pod goes; its volume stays. Several never become one again.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 7))]
    pub members: i32,
    /// Whether a transaction of several members waits, before it is acknowledged, until another one has it too. `Preferred`
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous: Option<Synchronous>,
    /// The volume of each server.
    #[serde(default = "default_storage")]
    #[x_kube(validation = Rule::new("quantity(self.size).compareTo(quantity('512Mi')) >= 0").message(Message::Expression("'spec.storage.size: ' + self.size + ': an empty server and its log take most of that; give at least 512Mi'".into())))]
    pub storage: Storage,
    /// A volume that runs full grows by itself, where the storage class can. It does not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of each server. What it keeps in memory is computed from it; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('128Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': a server with a few clients does not fit into so little; give at least 128Mi'".into())))]
    pub resources: Option<PodResources>,
    /// Settings of PostgreSQL in the place of the computed ones, for example `work_mem`. A change restarts the server.
    /// Settings that the operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters_schema")]
    #[x_kube(
        validation = Rule::new("!self.exists(k, k in ['listen_addresses', 'port', 'data_directory', 'config_file', 'hba_file', 'ident_file', 'external_pid_file', 'unix_socket_directories', 'unix_socket_permissions', 'ssl', 'ssl_cert_file', 'ssl_key_file', 'ssl_ca_file', 'ssl_crl_file', 'ssl_crl_dir', 'password_encryption', 'logging_collector', 'log_directory', 'include', 'include_dir', 'include_if_exists', 'wal_level', 'fsync', 'full_page_writes'] || k.startsWith('archive_') || k.startsWith('recovery_') || k.startsWith('restore_') || k.startsWith('primary_'))")
            .message("spec.parameters: names a setting that the operator owns (address, port, files, TLS, passwords, the log, recovery), or one without which data is lost (fsync, full_page_writes); remove it"),
    )]
    pub parameters: BTreeMap<String, String>,
    /// Databases. One that is taken out stays, unless its `deletionPolicy` was `Delete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub databases: Vec<Database>,
    /// Roles: users and groups. One that is taken out stays, unless its `deletionPolicy` was `Delete`; the Secret by which
    /// it logged in goes in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub roles: Vec<Role>,
    /// Base backups by schedule and an archive of the log, from which any moment in between comes back. None when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// How the cluster begins; with empty databases when absent. It says nothing any more once the cluster has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// What becomes of the volumes, with all databases on them, when the cluster is deleted.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling this cluster; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn one() -> i32 {
    1
}

fn default_storage() -> Storage {
    Storage {
        size: "5Gi".into(),
        storage_class: None,
    }
}

/// The schema of settings.
pub fn parameters_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

conditioned!(PostgresCluster, PostgresClusterStatus);
