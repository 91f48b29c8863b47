//! Several servers.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many members there can be, as the definition has it.
pub const MOST_MEMBERS: i32 = 7;

/// Whether a transaction waits for another member before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Synchronous {
    /// It does not: what a replica has not received yet is lost with the primary.
    None,
    /// It waits for one that keeps up while there is one: nothing acknowledged is lost with the primary alone, and writes go
    /// on when no replica is left.
    #[default]
    Preferred,
    /// It waits in any case: while no replica is left, nothing is acknowledged.
    Required,
}

/// A member, as Patroni last told.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// `leader`, `sync_standby` or `replica`.
    #[schemars(length(max = 64))]
    pub role: String,
    /// `running`, or what it does instead.
    #[schemars(length(max = 64))]
    pub state: String,
    /// The timeline that it is on: each new primary begins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    /// How much of the log of the primary it lacks, in mebibytes; absent below one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_mebibytes: Option<i64>,
}
