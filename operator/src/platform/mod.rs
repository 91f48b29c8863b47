//! Platform: a whole environment.

mod build;
pub mod crd;
mod exposure;
mod flow;
mod foreign;
mod profile;
mod reach;
mod reconcile;
mod state;
mod topics;
mod validate;
mod zones;

pub use build::gateway_secret_name;
pub use reconcile::Platforms;
