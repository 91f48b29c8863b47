//! DruidIngestion: supervisors inside a Druid.

mod change;
mod consumer;
mod reconcile;
mod reindex;
mod remote;
mod resolve;
mod status;

pub use change::{IngestionChange, Observed, WantedIngestion, diff};
pub use consumer::consumer;
pub use reconcile::{FINALIZER, Ingestions, Trouble};
pub use remote::{IngestionError, RemoteIngestion};
pub use resolve::{addresses, check};
