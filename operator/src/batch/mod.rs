//! BatchJob: a job that runs from time to time, a CronJob of `millrace-batch`, or of `millrace-ballista` with executors beside it.

mod ballista;
mod build;
pub mod crd;
mod reconcile;
mod validate;

pub use reconcile::BatchJobs;
pub(crate) use validate::{check_analyse, check_score};

/// The component's name in labels.
pub const COMPONENT: &str = "batch";
/// That of scheduler and executors of engine ballista.
pub const BALLISTA: &str = "ballista";
/// Port of the scheduler.
pub const SCHEDULER_PORT: i32 = 50050;
/// Port of executors.
pub const EXECUTOR_PORT: i32 = 50051;
/// Memory of a pod where nobody says.
pub const MEMORY: &str = "1Gi";
