//! Lifetimes of which some are not known to their end: pure functions, for the questions of analysts.
//!
//! What has not failed yet, or was seen to before it did, has lived *at least* so long: it is right-censored. Leaving such
//! lifetimes out makes the mean far too small (17,335 km instead of 24,812 km for the shock absorbers in docs/analysts.md),
//! so every estimate here takes them in. What cannot be answered is an error that says why, never infinity.
//!
//! - [`KaplanMeier`]: how many live how long, without any assumption; restricted mean.
//! - [`Weibull`]: mean life, with the assumption that lifetimes follow that distribution.
//! - [`MeanCumulative`]: events per unit of what is repaired and goes on.
//! - [`Rate`], [`MeanBetween`], [`RateRatio`]: events by time or distance, with exact limits.
//! - [`distances`], [`pressure`], [`requests`], [`roads`]: from vehicle events, alerts and odometers to these.

pub mod distances;
mod kaplan_meier;
pub mod pressure;
mod rate;
mod recurrence;
pub mod requests;
pub mod roads;
mod special;
mod weibull;

use millrace_contract::Invalid;

pub use kaplan_meier::{KaplanMeier, Step};
pub use rate::{CONFIDENCE, MeanBetween, Rate, RateRatio};
pub use recurrence::{MeanCumulative, RepairStep, Repaired};
pub use weibull::Weibull;

/// How long something lived, or was seen to live.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lifetime {
    /// In whatever unit all have: kilometres, hours.
    pub length: f64,
    /// How it ended.
    pub end: End,
}

/// How a lifetime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the failure.
    Failed,
    /// Without: it lived at least so long (right-censored).
    Censored,
}

impl Lifetime {
    /// One that ended with the failure.
    #[must_use]
    pub fn failed(length: f64) -> Self {
        Self {
            length,
            end: End::Failed,
        }
    }

    /// One that lasted at least so long.
    #[must_use]
    pub fn censored(length: f64) -> Self {
        Self {
            length,
            end: End::Censored,
        }
    }

    /// Whether it ended with the failure.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.end == End::Failed
    }
}

/// An estimate and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Estimate {
    /// Two-sided limits at [`CONFIDENCE`] for a value above 0: value · exp(±1.96 · error / value), so that the lower one
    /// is above 0, too (Meeker and Escobar, Statistical Methods for Reliability Data, 8.3).
    #[must_use]
    pub fn limits(&self) -> (f64, f64) {
        // The normal quantile of 97.5 %.
        let width = (1.959_963_984_540_054 * self.error / self.value).exp();
        (self.value / width, self.value * width)
    }
}

// Names the first lifetime that is none.
fn check(lifetimes: &[Lifetime]) -> Result<(), Invalid> {
    if lifetimes.is_empty() {
        return Err(Invalid::new(
            "lifetimes",
            "0",
            "there are none",
            "take a longer time or more vehicles",
        ));
    }
    let unfit = |l: &Lifetime| !(l.length >= 0.0 && l.length.is_finite());
    match lifetimes.iter().position(unfit) {
        None => Ok(()),
        Some(at) => Err(Invalid::new(
            format!("lifetimes[{at}].length"),
            lifetimes[at].length.to_string(),
            "not a finite number from 0 on",
            "leave it out, or give the length that was observed",
        )),
    }
}

fn no_failures(lifetimes: &[Lifetime]) -> Invalid {
    Invalid::new(
        "lifetimes",
        format!("{} censored, 0 failed", lifetimes.len()),
        "none has failed: all that is known is that each lived at least so long, and no mean follows from that",
        "observe longer or more units; MeanBetween tells what the mean is above",
    )
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
