//! DruidCluster: Apache Druid, which answers questions about events in SQL while they come in.

mod asked;
pub mod build;
pub mod crd;
mod dereference;
mod files;
pub mod gate;
mod inside;
pub mod memory;
mod metrics;
mod reconcile;
mod roles;
mod rolling;
mod security;
mod start;
mod status;
pub mod validate;
pub mod view;

pub use files::{FILES, KAFKA_SECRETS};
pub use metrics::METRICS;
pub use reconcile::Druids;
pub use roles::{Node, Role, RoleKind};
pub use security::{FoundSecurity, Passwords, Security, users_name};
pub use validate::ValidatedDruid;

/// The component's name in labels.
pub const COMPONENT: &str = "druid";
/// On the pods: what they do, see [`RoleKind::name`].
pub const ROLE_LABEL: &str = "millrace.dev/druid-role";

/// Port of a coordinator, which is the overlord too.
pub const COORDINATOR_PORT: i32 = 8081;
/// Port of a broker.
pub const BROKER_PORT: i32 = 8082;
/// Port of a historical.
pub const HISTORICAL_PORT: i32 = 8083;
/// Port of a worker.
pub const WORKER_PORT: i32 = 8091;
/// Port of the first task of a middle manager; each further one has the next.
pub const TASK_PORT: i32 = 8100;
/// Port of a router.
pub const ROUTER_PORT: i32 = 8888;

/// Whom files in HDFS belong to.
pub const HDFS_USER: &str = "druid";

/// In the binding of a Druid: the Secrets whose entries its servers have below [`KAFKA_SECRETS`], separated by commas.
pub const HAS_KAFKA_SECRETS: &str = "kafka-secrets";

/// Name of the Secret with the connection details of a cluster.
#[must_use]
pub fn binding_name(cluster: &str) -> String {
    format!("{cluster}-binding")
}
