//! EventSource: records of a topic to an action.

mod build;
pub mod crd;
mod reconcile;
mod validate;

pub use reconcile::EventSources;
