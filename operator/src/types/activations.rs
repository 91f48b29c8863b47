//! How runs inside an OpenWhisk went, as the statuses of what lives there tell it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How the last activations went. The first one, the first failure and a rate of errors that trebles are told at the next look,
/// within a minute; what else changes within five minutes.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activations {
    /// When they were counted (RFC 3339).
    #[schemars(length(max = 64))]
    pub observed: String,
    /// When the oldest of those that were counted began (RFC 3339).
    #[schemars(length(max = 64))]
    pub since: String,
    /// How many were counted: the last ones that OpenWhisk keeps a record of, 100 at most of an action, 20 of a trigger or a rule.
    pub count: i32,
    /// How many of them failed.
    pub failed: i32,
    /// The share of those that failed, in percent (0 to 100), rounded down.
    pub error_rate_percent: i32,
    /// The last failure that was seen. It may be older than those that were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// An activation that failed.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// Id of the activation whose record tells of it: that of the trigger where the action could not be started.
    #[schemars(length(max = 64))]
    pub activation: String,
    /// When it began (RFC 3339).
    #[schemars(length(max = 64))]
    pub at: String,
    /// What the action or OpenWhisk said, 512 characters at most.
    #[schemars(length(max = 512))]
    pub message: String,
}
