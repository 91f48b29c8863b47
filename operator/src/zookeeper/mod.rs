//! ZooKeeperEnsemble: Apache ZooKeeper, by which NameNodes decide which of them is active.

mod build;
pub mod crd;
mod files;
pub mod gate;
mod reconcile;
pub mod validate;

pub use build::build;
pub use files::{METRICS, READY};
pub use reconcile::ZooKeepers;
pub use validate::ValidatedZooKeeper;

/// The component's name in labels.
pub const COMPONENT: &str = "zookeeper";
/// Port for clients, and for four-letter words.
pub const CLIENT_PORT: i32 = 2181;
/// Port by which servers follow their leader.
pub const PEER_PORT: i32 = 2888;
/// Port by which servers elect their leader.
pub const ELECTION_PORT: i32 = 3888;

/// Name of the Secret with the connection details of an ensemble.
#[must_use]
pub fn binding_name(ensemble: &str) -> String {
    format!("{ensemble}-binding")
}
