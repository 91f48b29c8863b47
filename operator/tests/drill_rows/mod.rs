//! Rows of the drill of the lake: what is done to HDFS and ZooKeeper as a whole.

pub mod data_nodes;
pub mod kills;
pub mod restarts;
pub mod volumes;
