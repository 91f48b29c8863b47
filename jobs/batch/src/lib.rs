//! The batch jobs: `score`, `analyse`, `reindex`.
//!
//! | module | what |
//! |---|---|
//! | [`score`] | a day of telemetry in the lake to scores of trips, hires and weeks |
//! | [`analyse`] | vehicle events, alerts and odometers in the lake to the answers of analysts' questions |
//! | [`reindex`] | days of the lake into a data source of a Druid |
//! | [`read`] | files of the lake, checked against their records |
//! | [`postgres`] | the way into PostgreSQL |
//! | [`log`] | what is logged, and how |

pub mod analyse;
pub mod dates;
pub mod erase;
pub mod log;
pub mod postgres;
pub mod read;
pub mod reindex;
pub mod score;
