//! Trigger: triggers inside an OpenWhisk.

mod change;
mod reconcile;
mod remote;

pub use change::{TriggerChange, WantedTrigger, diff};
pub use reconcile::{FINALIZER, Triggers};
pub use remote::RemoteTrigger;
