//! Patroni, which makes one of several servers of PostgreSQL the primary: what its members say, a switchover, its settings.

mod client;
mod http;
mod view;

pub use client::{Endpoint, PatroniApi, PatroniError, USER};
pub use view::{MOST_LAG, Seen, View};
