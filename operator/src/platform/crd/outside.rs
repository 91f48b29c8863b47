//! Parts of a Platform that somebody else runs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Kafka that somebody else runs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalKafka {
    /// Secret with the connection details, in the same namespace, in the form of the Service Binding specification:
    /// `bootstrap-servers`, and where it needs them `security-protocol`, `sasl-mechanism`, `username`, `password`,
    /// `certificates`, `client-certificate` and `private-key`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: String,
    /// Copies of each record, as many as that Kafka has brokers at most. It cannot be changed.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 7))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the topics have that many copies; put the former number back"))]
    pub replication_factor: i32,
}

fn three() -> i32 {
    3
}

/// Something that somebody else runs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Secret with the connection details, in the same namespace, in the form of the Service Binding specification. Of an
    /// OpenWhisk: `uri`, `username` and `password`. Of an HDFS: `type` (hdfs) and `uri`, and where it needs them `username`,
    /// `core-site.xml` and `hdfs-site.xml`. Of a PostgreSQL: `host`, `username`, `password` and `database`, and where it needs
    /// them `port` and `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: String,
}
