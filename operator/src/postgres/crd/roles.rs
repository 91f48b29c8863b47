//! Databases and roles.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::types::DeletionPolicy;

/// A database.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Its name.
    #[schemars(length(min = 1, max = 48), regex(pattern = "^[a-z][a-z0-9_]*$"))]
    #[x_kube(validation = Rule::new("!(self in ['postgres', 'template0', 'template1'])").message(Message::Expression("'spec.databases.name: ' + self + ': is one of PostgreSQL itself; choose another name'".into())))]
    pub name: String,
    /// The role that it belongs to, and that makes its tables. The superuser when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 48))]
    pub owner: Option<String>,
    /// Extensions that are made in it, by name. One that is taken out stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(e, e.matches('^[a-z][a-z0-9_-]*$'))").message("spec.databases.extensions: holds a name that is none of an extension; write lower-case letters, digits, '-' and '_'"))]
    pub extensions: Vec<String>,
    /// What becomes of the database, with all that is in it, when it is taken out of this list.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
}

/// A role: a user, or with `login: false` a group.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    #[schemars(length(min = 1, max = 48), regex(pattern = "^[a-z][a-z0-9_]*$"))]
    #[x_kube(
        validation = Rule::new("self != 'postgres' && !self.startsWith('pg_') && self != 'public' && self != 'none'").message(Message::Expression("'spec.roles.name: ' + self + ': is one of PostgreSQL itself; choose another name'".into())),
        validation = Rule::new("self != 'millrace_backup'").message("spec.roles.name: millrace_backup: is the one that makes base backups; choose another name"),
        validation = Rule::new("self != 'millrace_replication'").message("spec.roles.name: millrace_replication: is the one by which members follow each other; choose another name"),
    )]
    pub name: String,
    /// Whether it logs in. The operator makes its password, and the Secret `CLUSTER-ROLE-binding` to log in by.
    #[serde(default = "yes")]
    pub login: bool,
    /// The database that its Secret names. When absent the first one that belongs to it, else the first that it may read,
    /// else `postgres`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 48))]
    pub database: Option<String>,
    /// Other roles of this list, or PostgreSQL's own (`pg_…`), that it is a member of: all of them, others are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub member_of: Vec<String>,
    /// What it may read: all tables and views of these schemas, those too that the database's owner makes later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["database"]))]
    pub read_only: Vec<ReadOnly>,
    /// How many connections it may have at once; as many as the server has when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub connection_limit: Option<i32>,
    /// What becomes of the role when it is taken out of this list. One to which something still belongs cannot go.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
}

fn yes() -> bool {
    true
}

/// Schemas of a database that may be read.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadOnly {
    /// The database.
    #[schemars(length(min = 1, max = 48))]
    pub database: String,
    /// The schemas. One that is not there yet follows within a minute after it was made.
    #[serde(default = "public")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(s, s.matches('^[a-z_][a-z0-9_]*$') && !s.startsWith('pg_'))").message("spec.roles.readOnly.schemas: holds a name that is none of a schema of yours; write lower-case letters, digits and '_', and not pg_…"))]
    pub schemas: Vec<String>,
}

fn public() -> Vec<String> {
    vec!["public".into()]
}
