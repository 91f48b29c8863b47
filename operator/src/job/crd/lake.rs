//! Where the job archive writes, and what is done to its files from time to time.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{PodResources, Quantity};

/// The lake of the job archive.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.hdfs) != has(self.bindingSecret)")
        .message("lake: lies either in an HdfsCluster of the same namespace or in an HDFS that a Secret leads to; set exactly one of lake.hdfs and lake.bindingSecret"),
)]
pub struct JobLake {
    /// Name of an HdfsCluster in the same namespace. The dataset's directory is made there, and belongs to `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = crate::names::object())]
    pub hdfs: Option<String>,
    /// Secret of type `hdfs` in the form of the Service Binding specification, in the same namespace: `uri`, and where it
    /// needs them `username`, `core-site.xml` and `hdfs-site.xml`. The directory has to be there, and to belong to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// The directory under which each dataset has one of its own; the path of the binding's `uri`, else `/millrace/lake`,
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255))]
    #[x_kube(validation = is_path())]
    pub path: Option<String>,
    /// The user that the files belong to; the binding's `username`, else the job's name, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z_][a-z0-9_.-]*$')").message(Message::Expression("'lake.user: ' + self + ': is no name of a user; write lower-case letters, digits, dots, dashes and underscores'".into())),
        validation = Rule::new("self != 'hdfs'").message("lake.user: hdfs may do everything in the file system; name another user, or leave it out"),
    )]
    pub user: Option<String>,
    /// Makes one file of an hour's small ones, from time to time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<Compaction>,
    /// What becomes of hours that grow old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Memory and CPU of a pod that does such work; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_resources: Option<PodResources>,
}

/// When and how files are compacted.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compaction {
    /// When it is done, in the form of cron and in UTC, for example `17 * * * *`.
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// So many small files of an hour are worth it; 4 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10_000))]
    pub at_least: Option<i32>,
    /// Files below this size are small; 32Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small: Option<Quantity>,
}

/// When it is looked for hours that have grown old, and what becomes of them. An age is that of an hour's end, by event time.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.olderThan) || has(self.replicateAfter) || has(self.codeAfter)")
        .message("lake.retention: says nothing of what becomes of old hours; give olderThan, replicateAfter or codeAfter, or remove it"),
    validation = Rule::new("!has(self.skipTrash) || !self.skipTrash || has(self.olderThan)")
        .message("lake.retention.skipTrash: given without olderThan: nothing is retired; give olderThan, or remove it"),
    validation = Rule::new("has(self.replicateAfter) == has(self.replication)")
        .message("lake.retention.replicateAfter: the age and the number of copies belong together; give replicateAfter and replication, or neither"),
)]
pub struct Retention {
    /// When it is done, in the form of cron and in UTC, for example `@daily`.
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// Hours of this age and more are retired: their files go to the trash, for example `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^[1-9][0-9]*[hd]$"))]
    pub older_than: Option<String>,
    /// They are removed for good instead.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub skip_trash: bool,
    /// Files of hours of this age and more have `replication` copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^[1-9][0-9]*[hd]$"))]
    pub replicate_after: Option<String>,
    /// See `replicateAfter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub replication: Option<i32>,
    /// Files of hours of this age and more are erasure-coded, by the policy that the dataset's directory `_coded` has in
    /// HDFS, see docs/lake.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^[1-9][0-9]*[hd]$"))]
    pub code_after: Option<String>,
}

pub(crate) fn schedule(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "minLength": 1, "maxLength": 64})
}

/// That a text is the path of a directory.
pub(crate) fn is_path() -> kube::core::Rule {
    let told = "'lake path ' + self + ': is no absolute path; write it like /millrace/lake, with letters, digits, dots, dashes and underscores'";
    kube::core::Rule::new("self.matches('^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$')")
        .message(kube::core::Message::Expression(told.to_owned()))
}

/// That a text is in the form of cron.
pub(crate) fn is_schedule() -> kube::core::Rule {
    let form = "^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[^ ]+( [^ ]+){4})$";
    let told = "'schedule: ' + self + ': is not in the form of cron; write for example 17 * * * * or @daily'";
    kube::core::Rule::new(format!("self.matches('{form}')"))
        .message(kube::core::Message::Expression(told.to_owned()))
}

/// What is known of the lake of a job.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobLakeStatus {
    /// The directory of the dataset, with the address of the file system.
    #[schemars(length(max = 1024))]
    pub uri: String,
    /// The user that the files belong to.
    #[schemars(length(max = 64))]
    pub user: String,
    /// When small files were compacted last with success (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_compacted: Option<String>,
    /// When it was looked for hours that have grown old last with success (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_retained: Option<String>,
}
