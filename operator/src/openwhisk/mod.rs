//! OpenWhisk: the place where actions run.

mod apache;
mod build;
pub mod crd;
pub mod external;
mod image_actions;
mod reconcile;
mod validate;

pub use apache::{ACTION, ACTION_PORT, CONTROLLER, INVOKER, ROLE_LABEL};
pub use image_actions::IMAGE_ACTION;
pub use reconcile::Whisks;
pub use validate::children;

/// Port of the REST API.
pub const API_PORT: i32 = 3233;

/// Name of the Secret with the connection details of an OpenWhisk.
#[must_use]
pub fn binding_name(openwhisk: &str) -> String {
    format!("{openwhisk}-binding")
}
