//! The REST API of OpenWhisk, as the real server speaks it and the embedded one after it, and what all resources that
//! live in an OpenWhisk have in common.

pub mod activations;
mod bound;
mod client;
pub mod entity;
mod entity_error;
mod error;
pub mod invokers;
mod model;
pub mod order;
mod parameters;
pub mod subjects;
pub mod volume;

pub use bound::{Difference, annotation_text, key_values, parameter_differences};
pub use client::WhiskClient;
pub use entity_error::EntityError;
pub use error::{Class, WhiskError};
pub use model::{
    ActionPut, ActionRecord, Activation, ActivationResponse, Exec, Fire, Invocation, Invoked,
    KeyValue, Limits, ListedActivation, Reference, RulePut, RuleRecord, TriggerPut, TriggerRecord,
};
pub use parameters::parameters;
