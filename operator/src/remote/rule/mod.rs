//! Rule: rules inside an OpenWhisk.

mod change;
mod reconcile;
mod remote;

pub use change::{RuleChange, WantedRule, diff};
pub use reconcile::{FINALIZER, WhiskRules};
pub use remote::RemoteRule;
