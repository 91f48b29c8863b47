//! Users and what they may.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user. The operator makes its password, and the Secret `CLUSTER-USER-binding` to log in by.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its name.
    #[schemars(
        length(min = 1, max = 32),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self != 'backup'").message("spec.users.name: backup: is the one that makes dumps; choose another name"))]
    pub name: String,
    /// What it may, one entry for each database: all of it, other rights are taken away.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["database"]))]
    pub roles: Vec<Right>,
}

/// What a user may in a database.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Right {
    /// The database.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    #[x_kube(validation = Rule::new("!(self in ['admin', 'local', 'config'])").message(Message::Expression("'spec.users.roles.database: ' + self + ': is one of MongoDB itself; name one of yours'".into())))]
    pub database: String,
    /// What it may there.
    pub role: Role,
}

/// What a user may, as MongoDB calls it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum Role {
    /// Read.
    Read,
    /// Read and write, make and drop collections and indexes.
    ReadWrite,
}

impl Role {
    /// Its name in MongoDB.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadWrite => "readWrite",
        }
    }
}
