//! Platform: a whole environment.

mod build;
pub mod crd;
mod profile;
mod reconcile;
mod state;
mod topics;
mod validate;

pub use reconcile::Platforms;
