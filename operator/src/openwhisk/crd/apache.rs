//! Apache OpenWhisk itself: what its servers need, and how many run.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::types::{FreeForm, PodResources, Quantity};

/// The servers of Apache OpenWhisk, for the modes `apache` and `lean`.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Apache {
    /// The Kafka by which controller and invokers talk to each other. Mode `lean` needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<ApacheKafka>,
    /// The MongoDB with actions, triggers, rules, activations and keys.
    pub mongo: ApacheMongo,
    /// The controller, which answers the REST API. There is one.
    #[serde(default)]
    pub controller: Controller,
    /// What starts a pod for each action and hands activations to it; the controller itself in mode `lean`.
    #[serde(default)]
    pub invokers: Invokers,
    /// Runtime kinds beside `rust:default`, `native:default` and `nodejs:20`, or in the place of one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"]))]
    pub runtimes: Vec<RuntimeKind>,
    /// How much a namespace may do.
    #[serde(default)]
    pub throttles: Throttles,
    /// Settings of all servers in the place of the computed ones, by their path, for example
    /// `whisk.container-proxy.timeouts.idle-container`. Settings that the operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$'))")
            .message(Message::Expression("'spec.apache.config: ' + self.filter(k, !k.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$'))[0] + ': is no path of a setting; write it like whisk.time-limit.max'".into())),
        validation = Rule::new("!self.exists(k, k.startsWith('whisk.spi.') || k.startsWith('whisk.mongodb.') || k.startsWith('whisk.kafka.common.') || k.startsWith('whisk.kafka.topics.prefix') || k.startsWith('whisk.kafka.topics.user-event') || k == 'whisk.kafka.replication-factor' || k.startsWith('whisk.kubernetes.action-namespace') || k.startsWith('whisk.kubernetes.pod-template') || k.startsWith('whisk.kubernetes.pdb-enabled') || k.startsWith('whisk.helm.') || k.startsWith('whisk.controller.protocol') || k.startsWith('whisk.invoker.protocol') || k == 'whisk.container-pool.user-memory')")
            .message("names a setting that the operator owns (providers, MongoDB, Kafka, the pods of actions, protocols, memory); remove it from spec.apache.config"),
    )]
    pub config: BTreeMap<String, String>,
}

/// The Kafka of an OpenWhisk.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cluster) != has(self.bindingSecret)")
        .message("spec.apache.kafka: is either a KafkaCluster of the same namespace or a Secret with the connection details of another Kafka; set exactly one of cluster and bindingSecret"),
    validation = Rule::new("!has(self.user) || has(self.cluster)")
        .message("spec.apache.kafka.user: is a KafkaUser of a KafkaCluster; set cluster too, or name the user's Secret in bindingSecret alone"),
)]
pub struct ApacheKafka {
    /// Name of a KafkaCluster in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub cluster: Option<String>,
    /// Name of the KafkaUser to log in as, where the cluster lets in its users only. It needs Read, Write, Create and Describe
    /// on topics, and Read on groups, that begin with the name of this resource and a dash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub user: Option<String>,
    /// A Secret with the connection details of a Kafka, in the same namespace, in the form of the Service Binding
    /// specification: `bootstrap-servers`, and where it needs them `security-protocol`, `sasl-mechanism`, `username`, `password`
    /// and `certificates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// Copies of each topic that OpenWhisk makes; it must not be more than there are brokers.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 5))]
    pub replication_factor: i32,
}

/// The MongoDB of an OpenWhisk.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cluster) != has(self.bindingSecret)")
        .message("spec.apache.mongo: is either a MongoCluster of the same namespace or a Secret with the connection details of another MongoDB; set exactly one of cluster and bindingSecret"),
    validation = Rule::new("!has(self.user) || has(self.cluster)")
        .message("spec.apache.mongo.user: is a user of a MongoCluster; set cluster too, or name the user's Secret in bindingSecret alone"),
    validation = Rule::new("has(self.database) == has(oldSelf.database) && (!has(self.database) || self.database == oldSelf.database)")
        .message("spec.apache.mongo.database: cannot be changed: actions and activations would stay behind in the former one; put the field back as it was, or make a new OpenWhisk"),
)]
pub struct ApacheMongo {
    /// Name of a MongoCluster in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub cluster: Option<String>,
    /// Name of the user in the MongoCluster's `spec.users` to log in as; `jobs` when absent. It needs `readWrite` on the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub user: Option<String>,
    /// A Secret with the connection details of a MongoDB, in the same namespace, in the form of the Service Binding
    /// specification: `type` (mongodb) and `uri`, and where it needs them `username`, `password`, `authSource`, `database` and
    /// `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// The database, which OpenWhisk fills alone; that of the connection details when absent, which with the user `jobs` is the
    /// jobs' own, where every job can read the key of OpenWhisk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub database: Option<String>,
}

/// The controller.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    /// The container image, in the layout of openwhisk/controller, of the same version as that of the invokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Memory and CPU; 768Mi when absent. The Java heap is computed from the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('384Mi')) >= 0").message(Message::Expression("'spec.apache.controller.resources.memory: ' + self.memory + ': the controller does not start with so little; give at least 384Mi'".into())))]
    pub resources: Option<PodResources>,
    /// What is laid over its pod, after `spec.podOverrides`. The container is called `controller`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// The invokers.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invokers {
    /// How many run in mode `apache`.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
    /// The container image, in the layout of openwhisk/invoker, of the same version as that of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Memory and CPU of each invoker itself; 640Mi when absent. The Java heap is computed from the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('384Mi')) >= 0").message(Message::Expression("'spec.apache.invokers.resources.memory: ' + self.memory + ': an invoker does not start with so little; give at least 384Mi'".into())))]
    pub resources: Option<PodResources>,
    /// Memory of all pods of actions of one invoker together: no more are started than fit into it.
    #[serde(default = "two_gibibytes")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.apache.invokers.actionMemory: ' + self + ': no action fits into so little; give at least 256Mi'".into())))]
    pub action_memory: Quantity,
    /// What is laid over their pods, after `spec.podOverrides`. The container is called `invoker`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

impl Default for Invokers {
    fn default() -> Self {
        Self {
            replicas: one(),
            image: None,
            resources: None,
            action_memory: two_gibibytes(),
            pod_overrides: FreeForm::default(),
        }
    }
}

/// A runtime kind.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeKind {
    /// Its name, for example `python:3`.
    #[schemars(
        length(min = 3, max = 64),
        regex(pattern = "^[a-z0-9]+:[A-Za-z0-9._-]+$")
    )]
    pub kind: String,
    /// The image of its pods, which answers `/init` and `/run` on port 8080 and runs as any user.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = "^[a-z0-9][A-Za-z0-9./_:@-]*$")
    )]
    pub image: String,
    /// Whether it is meant by `FAMILY:default`; the first of its family is when none says so.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub default: bool,
}

/// How much a namespace may do.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttles {
    /// Invocations in a minute.
    #[serde(default = "per_minute")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub invocations_per_minute: i32,
    /// Fires of triggers in a minute.
    #[serde(default = "per_minute")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub fires_per_minute: i32,
    /// Invocations under way.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent_invocations: i32,
}

impl Default for Throttles {
    fn default() -> Self {
        Self {
            invocations_per_minute: per_minute(),
            fires_per_minute: per_minute(),
            concurrent_invocations: thousand(),
        }
    }
}

fn one() -> i32 {
    1
}

fn per_minute() -> i32 {
    60_000
}

fn thousand() -> i32 {
    1000
}

fn two_gibibytes() -> Quantity {
    "2Gi".into()
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}
