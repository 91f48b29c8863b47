//! HDFS from inside, as its NameNodes and JournalNodes tell it by HTTP.

mod client;
pub mod directory;
mod jmx;
pub mod volume;

pub use client::{HdfsError, NameNodeClient};
pub use jmx::{DataNodeView, NameNodeView, State};
