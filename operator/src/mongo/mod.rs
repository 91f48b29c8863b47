//! MongoCluster: where documents are, MongoDB or another server of its wire protocol.

mod build;
pub mod crd;
pub mod external;
mod reconcile;
pub mod validate;

pub use build::build;
pub use reconcile::Mongo;
pub use validate::ValidatedMongo;

/// The component's name in labels.
pub const COMPONENT: &str = "mongo";
/// Port of the servers.
pub const PORT: i32 = 27017;

/// Name of the Secret by which jobs log in.
#[must_use]
pub fn binding_name(cluster: &str) -> String {
    format!("{cluster}-binding")
}
