//! The HTTP interfaces of Druid: supervisors, rules, compaction, tasks, SQL.

mod client;
mod error;
mod model;
mod servers;
mod way;

pub use client::DruidClient;
pub use error::DruidError;
pub use model::{FailedTask, Newest, Sampled, Supervisor, SupervisorState};
pub use servers::Servers;
pub use way::{Credentials, DruidAt};
