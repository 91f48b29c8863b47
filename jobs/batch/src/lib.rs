//! The batch jobs: `score`, `analyse`.
//!
//! | module | what |
//! |---|---|
//! | [`score`] | a day of telemetry in the lake to scores of trips, hires and weeks |
//! | [`analyse`] | vehicle events, alerts and odometers in the lake to the answers of analysts' questions |
//! | [`read`] | files of the lake, checked against their records |
//! | [`postgres`] | the way into PostgreSQL |

pub mod analyse;
pub mod erase;
pub mod postgres;
pub mod read;
pub mod score;
