//! How a vehicle was driven: readings to seconds, seconds to trips, trips to scores.
//!
//! The definition is written down in docs/scores.md, so that anybody can compute the same elsewhere; a test does, in SQL.

mod score;
mod second;
mod trip;

pub use score::{Parts, Score, score};
pub use second::Reading;
pub use trip::{Driving, Exposure, Trip, VehicleDriving};
