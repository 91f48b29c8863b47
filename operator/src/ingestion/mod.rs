//! DruidIngestion: what Druid reads from a KafkaTopic, and how it keeps it.

pub mod columns;
pub mod crd;
pub mod reindex;
pub mod spec;

pub use columns::{NEWEST, Source};
pub use spec::{Keep, Wanted};
