//! The operator of Millrace: it turns a few custom resources into a running platform.

pub mod action;
pub mod cli;
pub mod context;
pub mod controller;
pub mod eventsource;
pub mod flow;
pub mod generate;
pub mod job;
pub mod kafka;
pub mod metrics;
mod names;
pub mod openwhisk;
pub mod pki;
pub mod platform;
pub mod pods;
pub mod rbac;
pub mod reconcile;
pub mod registry;
pub mod remote;
pub mod rule;
pub mod run;
pub mod status;
pub mod topic;
pub mod trigger;
pub mod types;
pub mod url;
