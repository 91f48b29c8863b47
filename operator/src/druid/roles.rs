//! The servers of a cluster: roles, pods, volumes. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::crd::WorkerKind;
use super::memory::{Memory, Needs};
use super::{BROKER_PORT, COORDINATOR_PORT, HISTORICAL_PORT, ROUTER_PORT, WORKER_PORT};
use crate::reconcile::Owner;
use crate::types::{FreeForm, PodResources, Storage};

/// What a server does, in the order in which upgrades restart them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RoleKind {
    /// Answers for segments that were handed over.
    Historical,
    /// Runs tasks.
    Worker,
    /// Answers questions.
    Broker,
    /// Passes on what it is asked.
    Router,
    /// Says who does what; the overlord too.
    Coordinator,
}

impl RoleKind {
    /// Its name, in labels and in names of objects.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Historical => "historical",
            Self::Worker => "worker",
            Self::Broker => "broker",
            Self::Router => "router",
            Self::Coordinator => "coordinator",
        }
    }

    /// The field of the spec that asks for it.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Historical => "spec.historicals",
            Self::Worker => "spec.workers",
            Self::Broker => "spec.brokers",
            Self::Router => "spec.routers",
            Self::Coordinator => "spec.coordinators",
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(self) -> i32 {
        match self {
            Self::Historical => HISTORICAL_PORT,
            Self::Worker => WORKER_PORT,
            Self::Broker => BROKER_PORT,
            Self::Router => ROUTER_PORT,
            Self::Coordinator => COORDINATOR_PORT,
        }
    }

    /// Where it says by HTTP whether it is ready: historicals when they have loaded what they had, brokers when they know who
    /// answers for what.
    #[must_use]
    pub fn ready_at(self) -> &'static str {
        match self {
            Self::Historical => "/druid/historical/v1/readiness",
            Self::Broker => "/druid/broker/v1/readiness",
            Self::Worker | Self::Router | Self::Coordinator => "/status/health",
        }
    }

    /// Whether clients reach any of them by one Service.
    #[must_use]
    pub fn has_service(self) -> bool {
        matches!(self, Self::Broker | Self::Router | Self::Coordinator)
    }

    /// Whether it reads or writes segments where they are kept for good.
    #[must_use]
    pub fn uses_deep_storage(self) -> bool {
        matches!(self, Self::Historical | Self::Worker)
    }

    /// Memory where nobody says.
    #[must_use]
    pub fn memory(self) -> &'static str {
        match self {
            Self::Historical | Self::Broker | Self::Coordinator => "384Mi",
            Self::Worker => "640Mi",
            Self::Router => "256Mi",
        }
    }

    /// What a process of it needs of its memory.
    #[must_use]
    pub fn needs(self) -> Needs {
        let (heap, queries) = match self {
            Self::Historical | Self::Broker => (96, true),
            Self::Worker => (128, true),
            Self::Router => (48, false),
            Self::Coordinator => (96, false),
        };
        Needs { heap, queries }
    }

    /// Name of the StatefulSet of a cluster.
    #[must_use]
    pub fn set(self, cluster: &str) -> String {
        format!("{cluster}-{}", self.name())
    }
}

/// How workers run tasks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tasks {
    /// One process for all, or one for each.
    pub kind: WorkerKind,
    /// How many at once.
    pub capacity: i32,
    /// The memory of each, where each is a process.
    pub each: Option<Memory>,
}

/// The servers that do the same: one StatefulSet.
#[derive(Clone, Debug)]
pub struct Role {
    /// What they do.
    pub kind: RoleKind,
    /// Name of the StatefulSet, which the pods are called after.
    pub set: String,
    /// How many there are to be.
    pub replicas: i32,
    /// The volume of each, if it has one.
    pub storage: Option<Storage>,
    /// The claim templates that the live StatefulSet has; they cannot be changed.
    pub live_templates: Vec<PersistentVolumeClaim>,
    /// Memory and CPU of each.
    pub resources: PodResources,
    /// How its process divides the memory.
    pub memory: Memory,
    /// How it runs tasks; workers only.
    pub tasks: Option<Tasks>,
    /// What is laid over the pods, with the field where it stands, in this order.
    pub pod_overrides: Vec<(String, FreeForm)>,
}

/// A server.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its pod.
    pub pod: String,
    /// Its DNS name.
    pub host: String,
}

impl Role {
    /// The servers that are to be there.
    #[must_use]
    pub fn nodes(&self, owner: &Owner) -> Vec<Node> {
        let (name, namespace) = (&owner.name, &owner.namespace);
        (0..self.replicas)
            .map(|ordinal| {
                let pod = format!("{}-{ordinal}", self.set);
                // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
                let host = format!("{pod}.{name}-nodes.{namespace}.svc");
                Node { pod, host }
            })
            .collect()
    }

    /// Name of the ConfigMap with the files of the servers.
    #[must_use]
    pub fn files_name(&self) -> String {
        format!("{}-files", self.set)
    }
}
