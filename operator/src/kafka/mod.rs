//! KafkaCluster: an Apache Kafka.

mod authority;
pub mod build;
pub mod certificates;
pub mod crd;
mod dereference;
pub mod disk;
pub mod external;
mod files;
pub mod gate;
pub mod inside;
pub mod membership;
pub mod metadata_version;
pub mod moves;
mod nodes;
pub mod placement;
pub mod reach;
mod reconcile;
mod rolling;
mod status;
pub mod throttle;
pub mod validate;
pub mod view;
pub mod volume;

pub use files::METRICS;
pub use nodes::{Node, NodeVolume, Pool};
pub use reconcile::Kafka;
pub use validate::ValidatedKafka;

/// The component's name in labels.
pub const COMPONENT: &str = "kafka";
/// Port for clients without TLS.
pub const CLIENT_PORT: i32 = 9092;
/// Port for the controllers.
pub const CONTROLLER_PORT: i32 = 9093;

/// Port on which nodes with certificates, and the operator, talk to brokers.
pub const INTERNAL_PORT: i32 = 9091;
/// Port for clients that log in.
pub const SECURE_PORT: i32 = 9094;
/// Port for clients outside Kubernetes.
pub const EXTERNAL_PORT: i32 = 9095;

/// On the pods of a pool: its name.
pub const POOL_LABEL: &str = "millrace.dev/pool";
/// On the pods of a pool of brokers.
pub const BROKER_LABEL: &str = "millrace.dev/kafka-broker";
/// On the pods of a pool of controllers.
pub const CONTROLLER_LABEL: &str = "millrace.dev/kafka-controller";

/// On a cluster: lets the controller with the lowest id found the cluster anew on an empty volume. Each new value lets it
/// once.
pub const ALLOW_FORMAT: &str = "millrace.dev/allow-format";

/// On a cluster: ids of the nodes whose replicas are to move elsewhere, separated by commas.
pub const DRAIN: &str = "millrace.dev/drain";
/// On a cluster: spreads replicas over all brokers. Each new value asks once.
pub const REBALANCE: &str = "millrace.dev/rebalance";
/// On a cluster: the pod whose volumes are to be replaced by new ones.
pub const REPLACE_VOLUME: &str = "millrace.dev/replace-volume";

/// Name of the Secret with the connection details of a cluster, for its clients.
#[must_use]
pub fn binding_name(cluster: &str) -> String {
    format!("{cluster}-binding")
}

/// Name of the Secret with the operator's own way into a cluster.
#[must_use]
pub fn admin_name(cluster: &str) -> String {
    format!("{cluster}-admin")
}
