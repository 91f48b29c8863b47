//! The custom resource KafkaUser.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns say the same of different things"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::status::Condition;
pub use crate::types::DeletionPolicy;
use crate::types::{BindingStatus, KeyRef};

/// A user of a KafkaCluster with secure listeners: a password, access rules and quotas.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "KafkaUser",
    plural = "kafkausers",
    shortname = "ku",
    category = "millrace",
    namespaced,
    status = "KafkaUserStatus",
    derive = "PartialEq",
    doc = "A user of a KafkaCluster with secure listeners: a password, access rules and quotas.",
    printcolumn(
        name = "Kafka",
        type_ = "string",
        json_path = ".spec.kafka",
        description = "The KafkaCluster"
    ),
    printcolumn(
        name = "User",
        type_ = "string",
        json_path = ".status.userName",
        description = "Name of the user in Kafka"
    ),
    printcolumn(
        name = "Binding",
        type_ = "string",
        json_path = ".status.binding.name",
        description = "Secret with the connection details"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status",
        description = "Whether the user is as asked for"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].message",
        description = "Why it is, or is not",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    validation = Rule::new("size(self.metadata.name) <= 200")
        .message("metadata.name: has more than 200 characters, and a Secret is called after it; choose a shorter name"),
    validation = Rule::new("!has(self.spec.authentication) || !has(self.spec.authentication.passwordSecret) || self.spec.authentication.passwordSecret.name != self.metadata.name + '-kafka'")
        .message(Message::Expression("'spec.authentication.passwordSecret.name: ' + self.spec.authentication.passwordSecret.name + ': is the Secret that the operator writes for this user; give yours another name'".into())),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.userName) == has(oldSelf.userName) && (!has(self.userName) || self.userName == oldSelf.userName)")
        .message("spec.userName: cannot be changed, the user would live on under the former name; put it back, or make a new KafkaUser"),
)]
pub struct KafkaUserSpec {
    /// The KafkaCluster in the same namespace, which needs `spec.listeners.secure`. It cannot be changed.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(Message::Expression("'spec.kafka: ' + self + ': a user cannot move to another cluster; put ' + oldSelf + ' back, or make a new KafkaUser'".into())))]
    pub kafka: String,
    /// Name of the user in Kafka; the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._@-]+$"))]
    pub user_name: Option<String>,
    /// How the user logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// What the user may do; nothing when absent. All rules of the user are these: others are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub acls: Vec<AclRule>,
    /// How much the user may take of each broker. Limits that are not given here are taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<UserQuotas>,
    /// What becomes of the user in Kafka when this resource is deleted. A user holds no data, so it goes by default; with
    /// `Retain` it stays with its password and rules, and the Secret goes all the same.
    #[serde(default = "DeletionPolicy::of_what_holds_no_data")]
    pub deletion_policy: DeletionPolicy,
    /// Stop reconciling this user.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// How a user logs in.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// The only way in this version: a password that is never sent (SCRAM-SHA-512).
    #[serde(default, rename = "type")]
    pub type_: AuthenticationType,
    /// The password, in a Secret of yours. The operator makes one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<KeyRef>,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum AuthenticationType {
    /// SCRAM-SHA-512.
    #[default]
    ScramSha512,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum ResourceType {
    /// Topics.
    Topic,
    /// Groups of consumers.
    Group,
    /// Transactional ids of producers.
    TransactionalId,
    /// The cluster as a whole.
    Cluster,
}

/// How a name is meant.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum PatternType {
    /// The name itself.
    #[default]
    Literal,
    /// Every name that begins with it.
    Prefix,
}

/// Whether a rule lets or forbids.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum Permission {
    /// Lets.
    #[default]
    Allow,
    /// Forbids, whatever other rules say.
    Deny,
}

/// What may be done, in Kafka's words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Operation {
    /// Everything.
    All,
    /// Reading records; joining a group and committing.
    Read,
    /// Writing records; using a transactional id.
    Write,
    /// Creating topics.
    Create,
    /// Deleting topics, records and groups.
    Delete,
    /// Changing partitions, users and rules.
    Alter,
    /// Looking.
    Describe,
    /// What brokers do among each other.
    ClusterAction,
    /// Looking at settings.
    DescribeConfigs,
    /// Changing settings.
    AlterConfigs,
    /// Writing without doubles, where no Write on a topic says so already.
    IdempotentWrite,
}

/// One rule.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.resource == 'cluster' || has(self.name)")
        .message(Message::Expression("'spec.acls.name: is missing for resource ' + self.resource + '; give its name, or * for all'".into())),
    validation = Rule::new("self.resource != 'cluster' || !has(self.name)")
        .message(Message::Expression("'spec.acls.name: ' + self.name + ': resource cluster has no name, there is only one; remove it'".into())),
    validation = Rule::new("self.resource != 'cluster' || self.patternType == 'literal'")
        .message("spec.acls.patternType: prefix: resource cluster has no name that could begin so; remove it"),
    validation = Rule::new("self.patternType != 'prefix' || !has(self.name) || self.name != '*'")
        .message("spec.acls.name: *: with patternType prefix these are names that begin with a star; remove patternType to mean all names"),
    validation = Rule::new("self.resource != 'topic' || self.operations.all(o, o in ['All', 'Read', 'Write', 'Create', 'Delete', 'Alter', 'Describe', 'DescribeConfigs', 'AlterConfigs'])")
        .message("spec.acls.operations: holds what cannot be done with a topic; give All, Read, Write, Create, Delete, Alter, Describe, DescribeConfigs or AlterConfigs"),
    validation = Rule::new("self.resource != 'group' || self.operations.all(o, o in ['All', 'Read', 'Delete', 'Describe', 'DescribeConfigs', 'AlterConfigs'])")
        .message("spec.acls.operations: holds what cannot be done with a group; give All, Read, Delete, Describe, DescribeConfigs or AlterConfigs"),
    validation = Rule::new("self.resource != 'transactionalId' || self.operations.all(o, o in ['All', 'Write', 'Describe'])")
        .message("spec.acls.operations: holds what cannot be done with a transactional id; give All, Write or Describe"),
    validation = Rule::new("self.resource != 'cluster' || self.operations.all(o, o in ['All', 'Create', 'Alter', 'Describe', 'ClusterAction', 'DescribeConfigs', 'AlterConfigs', 'IdempotentWrite'])")
        .message("spec.acls.operations: holds what cannot be done with a cluster; give All, Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs or IdempotentWrite"),
)]
pub struct AclRule {
    /// What the rule is about: `topic`, `group`, `transactionalId` or `cluster`.
    pub resource: ResourceType,
    /// Its name; `*` for all. Not for `cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub name: Option<String>,
    /// How the name is meant: `literal`, or `prefix` for all names that begin with it.
    #[serde(default)]
    pub pattern_type: PatternType,
    /// What may be done. `Read` and `Write` let `Describe` too.
    #[schemars(length(min = 1, max = 11), extend("x-kubernetes-list-type" = "set"))]
    pub operations: Vec<Operation>,
    /// The address that the user comes from; `*` for every one.
    #[serde(default = "everywhere")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self == '*' || isIP(self)").message(Message::Expression("'spec.acls.host: ' + self + ': is no IP address, and Kafka knows clients by nothing else; give one, or *'".into())))]
    pub host: String,
    /// `allow`, or `deny`, which counts more.
    #[serde(default)]
    pub permission: Permission,
}

fn everywhere() -> String {
    "*".into()
}

/// How much a user may take of each broker. Who takes more is slowed down, not refused.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserQuotas {
    /// Bytes written per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub producer_byte_rate: Option<i64>,
    /// Bytes read per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub consumer_byte_rate: Option<i64>,
    /// Share of the time of the threads for network and requests, in percent of one thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100_000.0))]
    pub request_percentage: Option<f64>,
    /// Partitions created or deleted per second, in the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100_000.0))]
    pub controller_mutation_rate: Option<f64>,
}

/// When the password was last changed, and for what.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PasswordRotation {
    /// The value of the annotation `millrace.dev/rotate-password` that was last followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub rotated_for: Option<String>,
    /// When the password was last changed (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub changed_at: Option<String>,
}

/// What was seen of a user.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaUserStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the user in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub user_name: Option<String>,
    /// The Secret with the connection details, name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// The last change of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<PasswordRotation>,
}

impl KafkaUser {
    /// The name of the user in Kafka.
    #[must_use]
    pub fn user_name(&self) -> &str {
        match &self.spec.user_name {
            Some(name) => name,
            None => self.metadata.name.as_deref().unwrap_or_default(),
        }
    }

    /// Where the user brings the password from.
    #[must_use]
    pub fn given_password(&self) -> Option<&KeyRef> {
        self.spec.authentication.as_ref()?.password_secret.as_ref()
    }
}

conditioned!(KafkaUser, KafkaUserStatus);
