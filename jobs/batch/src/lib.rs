//! The batch jobs: `score`.
//!
//! | module | what |
//! |---|---|
//! | [`score`] | a day of telemetry in the lake to scores of trips, hires and weeks |
//! | [`postgres`] | the way into PostgreSQL |

pub mod postgres;
pub mod score;
