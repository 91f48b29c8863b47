//! Rules and trends over telemetry, and lifetimes for analysts, as pure functions. No I/O.
//!
//! A [`Detector`] takes one event and what is known of its vehicle, and gives the alerts it raises:
//! ```
//! use millrace_analytics::{Detector, Rules, VehicleState, Zones};
//! use millrace_contract::Telemetry;
//!
//! let now = jiff::Timestamp::now();
//! let detector = Detector::new(Rules::default(), Zones::default())?;
//! let mut state = VehicleState::default();
//! let mut event = Telemetry::new("car-1", 0, now);
//! event.coolant_temperature = Some(90.0);
//! assert!(detector.observe(&mut state, &event, now).is_empty());
//! # Ok::<(), millrace_contract::Invalid>(())
//! ```

pub mod charging_failure;
mod check;
pub mod check_engine;
pub mod coolant_not_warming;
pub mod custom;
mod detector;
pub mod driving;
mod episode;
mod finding;
pub mod fuel_low;
mod order;
pub mod overheating;
mod rules;
pub mod survival;
#[cfg(test)]
mod testing;
pub mod tyres;
mod window;
pub mod zones;

pub use custom::CustomRule;
pub use detector::{Detector, VehicleState};
pub(crate) use finding::Finding;
pub use rules::Rules;
pub use zones::Zones;
