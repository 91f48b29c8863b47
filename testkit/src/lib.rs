//! Real servers as local processes, for the tiers of tests that need them.
//!
//! A server that cannot be had here is left out with a line that says why; where `MILLRACE_REQUIRE=1`
//! is set (as continuous integration does) that is an error instead, so that nothing is skipped unseen.
//! Every server listens on loopback only, keeps its files in a temporary directory and ends with its value.

mod apiserver;
mod documents;
mod druid;
mod hdfs;
mod kafka;
mod npm;
mod place;
mod platform;
mod postgres;
mod process;
mod prometheus;
mod python;
mod registry;
mod volume;

pub use apiserver::ApiServer;
pub use documents::DocumentStore;
pub use druid::{Druid, druid};
pub use hdfs::{Hdfs, HdfsPlan, hadoop, zookeeper};
pub use kafka::Kafka;
pub use npm::npm;
pub use place::{cache_dir, data_dir, golden_dir, left_out, repository_root};
pub use platform::{Platform, fresh};
pub use postgres::{PostgresPod, postgres};
pub use process::{Server, exporting_at, free_port, own_loopback, wait_for_port};
pub use prometheus::prometheus;
pub use python::python;
pub use registry::Registry;
pub use volume::Volume;
