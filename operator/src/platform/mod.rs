//! Platform: a whole environment.

mod build;
pub mod crd;
mod dereference;
mod exposure;
mod external;
mod flow;
mod foreign;
mod pause;
mod profile;
mod progress;
mod racks;
mod reach;
mod reconcile;
mod state;
mod stop;
mod topics;
mod validate;
mod zones;

pub use build::gateway_secret_name;
pub use flow::detect_group;
pub use reconcile::Platforms;
