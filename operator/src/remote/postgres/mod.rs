//! PostgreSQL from the inside: databases, roles, what they may, passwords.

mod activity;
mod archive;
mod change;
mod client;
mod error;
mod observe;
mod received;
mod remote;
mod statement;
pub mod verifier;

pub use activity::Activity;
pub use archive::{Archive, Base, Restored};
pub use change::{Change, Read, Wanted, WantedDatabase, WantedRole, diff};
pub(crate) use client::trusting;
pub use client::{Login, Session};
pub use error::PostgresError;
pub use observe::{Observed, ObservedDatabase, ObservedRole};
pub use remote::RemotePostgres;
