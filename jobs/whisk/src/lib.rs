//! The embedded OpenWhisk: the REST API of Apache OpenWhisk in one process.
//!
//! Answers have the shape of the real server's. Actions are files that speak the ActionLoop
//! protocol; they run as warm children of this process, each in an isolation of its own
//! ([`pool`]), or bring an image, and run as pods of Kubernetes ([`pods`]). Entities and activations are files ([`store`]).

pub mod action;
pub mod activation;
pub mod api;
pub mod auth;
pub mod invoke;
pub mod kinds;
pub mod link;
pub mod metrics;
pub mod name;
pub mod package;
pub mod pods;
pub mod pool;
pub mod proxy;
pub mod put;
pub mod runs;
pub mod serve;
pub mod settings;
pub mod store;
pub mod throttle;
