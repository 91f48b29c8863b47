//! Apache OpenWhisk: a controller, and invokers that it reaches by Kafka, or in mode `lean` one controller that is the invoker
//! too. Both keep everything in MongoDB and start a pod for each action.

mod build;
mod dereference;
mod files;
mod reconcile;
mod rights;
mod runtimes;
mod settings;
mod status;
mod store;
mod validate;

pub use build::kinds;
pub use dereference::rules;
pub use reconcile::{prepare, reconcile, serves};

/// The name of invokers in labels. The controller has that of the embedded server, whose place it takes.
pub const INVOKER: &str = "openwhisk-invoker";
/// The name of the pods of actions in labels.
pub const ACTION: &str = "openwhisk-action";
/// On the pod of the controller, which no StatefulSet of another mode takes for its own.
pub const ROLE_LABEL: &str = "millrace.dev/openwhisk-role";
/// The value of [`ROLE_LABEL`].
pub const CONTROLLER: &str = "controller";
/// Port of an invoker, where it says that it is there.
pub const INVOKER_PORT: i32 = 8080;
/// Port of the pods of actions: it is part of what images of actions are.
pub const ACTION_PORT: i32 = 8080;

/// Upstream's image of the controller where a resource names none.
const CONTROLLER_IMAGE: &str = "docker.io/openwhisk/controller:2.0.0";
/// Upstream's image of invokers where a resource names none: of the same version.
const INVOKER_IMAGE: &str = "docker.io/openwhisk/invoker:2.0.0";

/// Name of the StatefulSet of the controller.
#[must_use]
pub fn controller_set(openwhisk: &str) -> String {
    format!("{openwhisk}-controller")
}

/// Name of the StatefulSet of the invokers.
#[must_use]
pub fn invoker_set(openwhisk: &str) -> String {
    format!("{openwhisk}-invoker")
}
