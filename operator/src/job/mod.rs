//! StreamJob: a long-running job.

mod build;
pub mod crd;
mod deployment;
mod directory;
pub mod lake;
mod maintenance;
mod reconcile;
mod service;
mod validate;

pub use deployment::{
    DeploymentState, Program, deployment, deployment_state, deployment_trouble, disruption_budget,
    serves,
};
pub(crate) use deployment::{environment, pod_labels};
pub use reconcile::Jobs;
pub(crate) use reconcile::tell;
pub use service::internal_name;
pub use validate::documents;

/// Port for HTTP of a job that serves.
pub const HTTP_PORT: i32 = 8080;
/// Port for MQTT of a job that serves.
pub const MQTT_PORT: i32 = 1883;
/// Port for HTTPS of a job that serves and has a certificate.
pub const HTTPS_PORT: i32 = 8443;
/// Port of a Service for HTTPS.
pub const HTTPS_SERVICE_PORT: i32 = 443;
/// Port for MQTT over TLS of a job that serves and has a certificate.
pub const MQTTS_PORT: i32 = 8883;
/// Name of the directory below the bindings in which a job finds its certificate.
pub const TLS_BINDING: &str = "tls";
/// Port of health and metrics of every job.
pub const METRICS_PORT: i32 = 9090;
/// Memory of a pod where nobody says.
pub const MEMORY: &str = "128Mi";
/// Seconds that a pod has to end what it does, where the job does not say.
pub const GRACE_SECONDS: i64 = 30;
/// Where a job's configuration is mounted.
pub const CONFIG_DIR: &str = "/etc/millrace";
