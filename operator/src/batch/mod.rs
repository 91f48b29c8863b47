//! BatchJob: a job that runs from time to time, a CronJob of `millrace-batch`.

mod build;
pub mod crd;
mod reconcile;
mod validate;

pub use reconcile::BatchJobs;
pub(crate) use validate::{check_analyse, check_score};

/// The component's name in labels.
pub const COMPONENT: &str = "batch";
/// Memory of a pod where nobody says.
pub const MEMORY: &str = "1Gi";
