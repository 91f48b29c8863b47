//! StreamJob: a long-running job.

mod build;
pub mod crd;
mod deployment;
mod reconcile;
mod validate;

pub use deployment::{DeploymentState, Program, deployment, deployment_state, serves};
pub use reconcile::Jobs;
pub(crate) use reconcile::tell;

/// Port for HTTP of a job that serves.
pub const HTTP_PORT: i32 = 8080;
/// Port for MQTT of a job that serves.
pub const MQTT_PORT: i32 = 1883;
/// Port of health and metrics of every job.
pub const METRICS_PORT: i32 = 9090;
/// Where a job's configuration is mounted.
pub const CONFIG_DIR: &str = "/etc/millrace";
