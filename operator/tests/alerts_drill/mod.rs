//! The parts of the drill of alert rules: what is founded, how faults are made and seen, and the rows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

pub mod door;
pub mod found;
pub mod repeat;
pub mod row;
pub mod rows;
pub mod rows_druid;
pub mod rows_jobs;
pub mod rows_kafka;
pub mod rows_operator;
pub mod rows_stores;
pub mod scene;
pub mod table;
pub mod timeline;
