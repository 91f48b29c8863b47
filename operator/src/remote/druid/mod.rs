//! The HTTP interfaces of Druid: supervisors, rules, compaction, tasks, SQL.

mod client;
mod error;
mod model;
pub mod servers;

pub use client::DruidClient;
pub use error::DruidError;
pub use model::{FailedTask, Newest, Sampled, Supervisor, SupervisorState};
