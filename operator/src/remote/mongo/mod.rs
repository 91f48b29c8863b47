//! MongoDB from the inside: the replica set, its members, users and passwords.
//!
//! The operator logs in as members do to each other: as `__system` of the database `local`, with the content of the keyfile
//! as its password. So it gets in before there is a set, and before there are users. It speaks to each member for itself,
//! because a set that is half made has no primary to be found.

mod activity;
mod change;
mod client;
mod config;
mod error;
mod observe;
mod remote;
mod store;
mod verifier;

pub use activity::Activity;
pub use change::{Change, MOST_LAG_MS, Wanted, WantedUser, diff, waits};
pub use client::{Login, Session};
pub use error::MongoError;
pub use observe::{Answer, Observed, ObservedMember, ObservedSet, ObservedUser, Right, State};
pub use remote::{RemoteMongo, step_down};
pub use store::Store;
