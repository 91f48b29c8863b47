//! Action: code in an OpenWhisk.

pub mod crd;
