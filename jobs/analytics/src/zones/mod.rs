//! Borders, closed zones and curfew areas: warned ahead by position, heading and speed. `docs/zones.md` describes
//! the files, the warnings and their limits.

mod curfew;
mod files;
mod index;
mod observe;
mod read;
mod shape;
mod track;

use millrace_contract::Invalid;
use serde::{Deserialize, Serialize};

use crate::episode::Pace;

pub use files::{Files, MOST_FILES, is_hidden};
pub use index::{MOST, Zones};
pub use observe::State;
pub(crate) use observe::observe;

/// The rule's name in alerts of borders.
pub const BORDER: &str = "border";
/// The rule's name in alerts of closed zones.
pub const CLOSED_ZONE: &str = "closed-zone";
/// The rule's name in alerts of curfew areas.
pub const CURFEW: &str = "curfew";
/// The signal of these alerts: seconds until the boundary, or until the curfew begins. No field of telemetry.
pub const SIGNAL: &str = "seconds_to_zone";

/// The section `zones` of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ZoneRules {
    /// Whether zones are watched.
    pub enabled: bool,
    /// So many seconds ahead a driver is warned, where a zone does not say `lead_seconds` itself.
    pub lead_seconds: f64,
    /// An episode ends when the vehicle was outside and on another course for so many seconds.
    pub clear_after_seconds: f64,
    /// After an episode ends no new one begins for the same zone and direction for so many seconds; entering a
    /// zone that was only warned of is told nevertheless.
    pub cooldown_seconds: f64,
}

impl Default for ZoneRules {
    fn default() -> Self {
        Self {
            enabled: true,
            lead_seconds: 30.0,
            clear_after_seconds: 60.0,
            cooldown_seconds: 120.0,
        }
    }
}

impl ZoneRules {
    /// Checks the section; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        for (field, value, range) in [
            ("leadSeconds", self.lead_seconds, read::LEADS),
            ("clearAfterSeconds", self.clear_after_seconds, 5.0..=3600.0),
            ("cooldownSeconds", self.cooldown_seconds, 0.0..=86_400.0),
        ] {
            if !range.contains(&value) {
                let (low, high) = (range.start(), range.end());
                return Err(Invalid::new(
                    format!("{path}.{field}"),
                    value.to_string(),
                    "out of range",
                    format!("choose {low} to {high} seconds"),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            clear_after: self.clear_after_seconds,
            cooldown: self.cooldown_seconds,
        }
    }
}

#[cfg(test)]
mod tests;
