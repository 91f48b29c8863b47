//! PostgresCluster: PostgreSQL, with its databases and roles; one server, or several of which one takes writes.

pub mod backup;
mod build;
pub mod crd;
mod dereference;
pub mod external;
pub mod files;
mod inside;
pub mod patroni;
mod reconcile;
mod status;
pub mod validate;

pub use build::build;
pub use dereference::Found;
pub use inside::wanted;
pub use reconcile::Postgres;
pub use validate::ValidatedPostgres;

/// The component's name in labels.
pub const COMPONENT: &str = "postgres";
/// Port of the server.
pub const PORT: i32 = 5432;
/// On a cluster: lets a server with an empty volume begin anew. Each new value lets once.
pub const ALLOW_FORMAT: &str = "millrace.dev/allow-format";

/// Name of the Service that leads to the server which takes writes.
#[must_use]
pub fn primary_name(cluster: &str) -> String {
    format!("{cluster}-primary")
}

/// Name of the Secret by which the superuser logs in.
#[must_use]
pub fn superuser_name(cluster: &str) -> String {
    format!("{cluster}-superuser")
}

/// Name of the Secret by which a role logs in. Names of roles hold no dashes, so no two lead to one Secret.
#[must_use]
pub fn role_binding_name(cluster: &str, role: &str) -> String {
    format!("{cluster}-{}-binding", role.replace('_', "-"))
}
