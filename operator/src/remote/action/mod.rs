//! Action: actions and sequences inside an OpenWhisk.

mod change;
mod explain;
mod reconcile;
mod remote;
mod resolve;

pub use change::{
    ActionChange, Body, DIGEST_ANNOTATION, KEYS_ANNOTATION, ObservedAction, WantedAction, diff,
    sha256,
};
pub use explain::explain;
pub use reconcile::{Actions, FINALIZER};
pub use remote::{RemoteAction, put_for};
pub use resolve::builtins;
