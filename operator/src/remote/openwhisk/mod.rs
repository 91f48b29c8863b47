//! The REST API of OpenWhisk, as the real server speaks it and the embedded one after it.

mod client;
mod error;
mod model;

pub use client::WhiskClient;
pub use error::{Class, WhiskError};
pub use model::{
    ActionPut, ActionRecord, Activation, ActivationResponse, Exec, Invocation, Invoked, KeyValue,
    Limits,
};
