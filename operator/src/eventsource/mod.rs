//! EventSource: records of a topic to an action or a trigger.

mod build;
mod claim;
pub mod crd;
mod filter;
mod reconcile;
mod validate;

pub use reconcile::EventSources;
