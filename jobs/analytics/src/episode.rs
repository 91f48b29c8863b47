//! Episodes: from when on something is wrong, how bad it became, and when it is over.
//!
//! All rules share this life cycle. The first judgement opens an episode (its *onset*); a graver one escalates it
//! under the same id; it ends when the vehicle was judged *clear* for `clear_after` seconds, or was silent for
//! [`SILENCE`]; and after its end no new one opens for `cooldown` seconds, unless it is graver than that one was.

use jiff::Timestamp;
use millrace_contract::Severity;
use millrace_contract::alert::episode_id;
use serde::{Deserialize, Serialize};

/// An episode ends when nothing was heard of its signal for this long, in seconds: the next drive, perhaps of
/// somebody else, is told again.
pub(crate) const SILENCE: f64 = 4.0 * 3600.0;

/// How fast episodes end and follow each other, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// So long it must be clear before an episode ends; 0 ends it with the first clear reading.
    pub clear_after: f64,
    /// So long after the end of an episode no new one opens that is no graver.
    pub cooldown: f64,
}

/// What one reading says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Something is wrong.
    Wrong(Severity),
    /// Not wrong enough to open an episode, not good enough to end one (hysteresis).
    Between,
    /// Nothing is wrong.
    Clear,
}

/// An episode was opened, or became graver: there is an alert to raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raised {
    /// When the episode began; see [`Raised::id`].
    pub onset: Timestamp,
    /// The newest time known to the episode, which is the alert's event time.
    pub time: Timestamp,
}

impl Raised {
    /// The id of the episode. `subject` tells apart what may be wrong at once under one rule: a wheel, a zone;
    /// empty for the vehicle as a whole.
    pub fn id(&self, vehicle: &str, rule: &str, subject: &str) -> String {
        if subject.is_empty() {
            episode_id(vehicle, rule, self.onset)
        } else {
            episode_id(vehicle, &format!("{rule}/{subject}"), self.onset)
        }
    }
}

/// Follows the episodes of one rule, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Episode {
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
    /// When the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    /// The gravest severity that was told in it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Severity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Open {
    onset: Timestamp,
    severity: Severity,
    /// The last time at which it was not clear.
    bad: Timestamp,
    /// The newest time at which it was judged.
    seen: Timestamp,
}

impl Episode {
    /// Takes a verdict; tells when an alert of its severity is due. Each severity is due once an episode, and
    /// never after a graver one.
    pub fn judge(&mut self, time: Timestamp, verdict: Verdict, pace: Pace) -> Option<Raised> {
        if let Some(open) = &mut self.open {
            let silent = since(time, open.seen) >= SILENCE;
            if !silent && verdict != Verdict::Clear {
                open.bad = open.bad.max(time);
            }
            if silent || since(time, open.bad) >= pace.clear_after && verdict == Verdict::Clear {
                self.ended = Some(if silent { open.seen } else { time });
                self.told = Some(open.severity);
                self.open = None;
            } else {
                open.seen = open.seen.max(time);
            }
        }
        let Verdict::Wrong(severity) = verdict else {
            return None;
        };
        match &mut self.open {
            Some(open) if open.severity >= severity => None,
            Some(open) => {
                open.severity = severity;
                Some(Raised {
                    onset: open.onset,
                    time: open.seen,
                })
            }
            None => {
                let graver = self.told.is_some_and(|told| severity > told);
                if !graver && self.ended.is_some_and(|e| since(time, e) < pace.cooldown) {
                    return None;
                }
                self.ended = None;
                self.told = None;
                self.open = Some(Open {
                    onset: time,
                    severity,
                    bad: time,
                    seen: time,
                });
                Some(Raised { onset: time, time })
            }
        }
    }

    /// Whether an episode is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether nothing is remembered: no episode is open, and no cool-down is waited for.
    pub fn is_idle(&self) -> bool {
        self.open.is_none() && self.ended.is_none()
    }
}

/// Seconds from `earlier` to `later`, below 0 when they are the other way round.
pub(crate) fn since(later: Timestamp, earlier: Timestamp) -> f64 {
    (later.as_microsecond() - earlier.as_microsecond()) as f64 / 1e6
}

#[cfg(test)]
mod tests;
