//! HDFS from inside, as its NameNodes tell it by HTTP.

mod client;
pub mod directory;
mod jmx;

pub use client::{HdfsError, NameNodeClient};
pub use jmx::{DataNodeView, NameNodeView, State};
