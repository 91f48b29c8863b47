//! MongoCluster: where documents are, MongoDB or another server of its wire protocol.

mod build;
pub mod crd;
pub mod external;
mod reconcile;
pub mod replica;
pub mod validate;

pub use build::build;
pub use reconcile::Mongo;
pub use validate::ValidatedMongo;

/// The component's name in labels.
pub const COMPONENT: &str = "mongo";
/// The name of the pods that make dumps in labels: clients must not be led to them.
pub const BACKUP_COMPONENT: &str = "mongo-backup";
/// Port of the servers.
pub const PORT: i32 = 27017;
/// On a cluster: lets a replica set whose volumes are all empty begin anew. Each new value lets once.
pub const ALLOW_FORMAT: &str = "millrace.dev/allow-format";
/// The user of jobs and actions.
pub const JOBS: &str = "jobs";

/// Name of the Secret by which jobs log in.
#[must_use]
pub fn binding_name(cluster: &str) -> String {
    format!("{cluster}-binding")
}

/// Name of the Secret by which a user logs in.
#[must_use]
pub fn user_binding_name(cluster: &str, user: &str) -> String {
    match user {
        JOBS => binding_name(cluster),
        _ => format!("{cluster}-{user}-binding"),
    }
}
