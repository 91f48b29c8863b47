//! The servers of a cluster, role by role.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{FreeForm, PodResources, Storage};

/// The coordinators.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coordinators {
    /// How many run; one of them leads.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3))]
    pub replicas: i32,
    /// Memory and CPU of each; 384Mi when absent. The Java heap is computed from the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// The brokers.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brokers {
    /// How many run.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: i32,
    /// Memory and CPU of each; 384Mi when absent. Heap, threads and buffers are computed from the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// The routers.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Routers {
    /// How many run.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: i32,
    /// Memory and CPU of each; 256Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// The historicals.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Historicals {
    /// How many run.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 200))]
    pub replicas: i32,
    /// The volume of each, for the segments that it has loaded: all that is asked about has to find room on all of them
    /// together, in as many copies as are asked for.
    pub storage: Storage,
    /// Memory and CPU of each; 384Mi when absent. Heap, threads and buffers are computed from the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// What runs tasks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum WorkerKind {
    /// One process for all tasks, which share its memory.
    #[default]
    Indexer,
    /// A process for each task: one that fails takes no other with it, and each has its share of the memory.
    MiddleManager,
}

/// The workers.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// What runs tasks. It cannot be changed.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(Message::Expression("'spec.workers.kind: ' + self + ': a worker of one kind does not take up the tasks of another; put ' + oldSelf + ' back'".into())))]
    pub kind: WorkerKind,
    /// How many run.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
    /// Tasks that each runs at once. A supervisor needs two for a moment for each of its tasks: one that hands over, and the next.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub capacity: i32,
    /// The volume of each, for what tasks have read and not handed over; 2Gi when absent.
    #[serde(default = "two_gibibytes")]
    pub storage: Storage,
    /// Memory and CPU of each; 640Mi when absent. Heap, threads and buffers are computed from the memory; a middle manager
    /// divides it among its tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// What is laid over their pods, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

impl Default for Coordinators {
    fn default() -> Self {
        Self {
            replicas: one(),
            resources: None,
            pod_overrides: FreeForm::default(),
        }
    }
}

impl Default for Brokers {
    fn default() -> Self {
        Self {
            replicas: one(),
            resources: None,
            pod_overrides: FreeForm::default(),
        }
    }
}

fn one() -> i32 {
    1
}

fn four() -> i32 {
    4
}

/// The volume of a worker where nobody says.
#[must_use]
pub fn two_gibibytes() -> Storage {
    Storage {
        size: "2Gi".into(),
        storage_class: None,
    }
}
