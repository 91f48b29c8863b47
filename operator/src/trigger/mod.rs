//! Trigger: a named channel of events in an OpenWhisk.

pub mod crd;
