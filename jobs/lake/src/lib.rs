//! The lake: how events lie in HDFS, how they come to lie there exactly once, and how that is proved.
//!
//! | module | what |
//! |---|---|
//! | [`layout`], [`record`] | names of folders and files; the records that say what counts |
//! | [`commit`] | the archive's protocol, step by step, and what is redone after a crash |
//! | [`rewrite`], [`compact`] | files of a partition replaced by others, through records of their own |
//! | [`retain`] | files that grow old: on fewer disks, erasure-coded, retired |
//! | [`erase`] | what leads to a person taken out |
//! | [`reader`], [`balance`], [`verify`] | what lies in the lake, its gaps and overlaps, and the proof of its content |
//! | [`content`] | a hash of rows that does not depend on their order or on the files they lie in |
//! | [`rows`], [`parquet_file`], [`columns`], [`schema`] | records of Kafka as rows of Parquet files |
//! | [`storage`] | the few operations that the lake needs: HDFS, a local folder, memory |
//!
//! docs/lake.md tells it in prose.

pub mod balance;
pub mod columns;
pub mod commit;
pub mod compact;
pub mod content;
pub mod erase;
pub mod error;
pub mod layout;
pub mod lines;
pub mod parquet_file;
pub mod reader;
pub mod record;
pub mod retain;
pub mod rewrite;
pub mod rows;
pub mod schema;
pub mod storage;
pub mod verify;

pub use error::LakeError;
pub use storage::{Storage, StorageError, StorageFile, StorageKind};
