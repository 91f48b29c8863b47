//! Counts runs, and tells whether the figures differ from those before in anything that matters. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::remote::openwhisk::model::{ActivationResponse, Fire, ListedActivation};
use crate::types::{Activations, LastError, moment};

/// Changes that can wait are written so often at most, in seconds.
const REFRESH: i64 = 300;
/// A rate of errors below this can wait, in percent.
const SMALL: i32 = 10;
/// A rate that is higher by this factor cannot.
const FACTOR: i32 = 3;
/// Characters of an error that are kept, as many as the status takes.
const MESSAGE_MAX: usize = 512;

/// One run that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The activation whose record tells of it.
    pub(super) id: String,
    /// When it began, in milliseconds since 1970.
    start: i64,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It worked, or goes on.
    Well,
    /// Its record says why not.
    Failed,
    /// Nothing was started, for this reason.
    Refused(String),
}

impl Run {
    pub(super) fn failed(&self) -> bool {
        self.outcome != Outcome::Well
    }
}

/// What became of one rule of a fire: a line of the log of the trigger's activation.
#[derive(Deserialize)]
struct Line {
    success: bool,
    rule: String,
    #[serde(rename = "activationId")]
    activation: Option<String>,
    error: Option<String>,
}

/// The lines of a fire, without those of rules that are switched off: on purpose, and no failure.
fn lines(fire: &Fire) -> impl Iterator<Item = Line> {
    fire.logs
        .iter()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .filter(|line| line.success || !line.why().contains("is inactive"))
}

impl Line {
    fn why(&self) -> &str {
        self.error
            .as_deref()
            .unwrap_or("its action was not started")
    }

    /// The server puts its namespace in front of the name.
    fn is_of(&self, rule: &str) -> bool {
        self.rule.rsplit('/').next() == Some(rule)
    }
}

/// Fires alone: an action may have the same name as a trigger, but only an action takes time.
fn of_trigger(fires: &[Fire]) -> impl Iterator<Item = &Fire> {
    fires.iter().filter(|fire| fire.duration.is_none())
}

/// The runs of an action, without fires of a trigger of the same name.
pub(super) fn action_runs(listed: &[ListedActivation]) -> Vec<Run> {
    let of_action = listed.iter().filter(|one| one.duration.is_some());
    of_action
        .map(|one| Run {
            id: one.id.clone(),
            start: one.start,
            outcome: if one.status_code == 0 {
                Outcome::Well
            } else {
                Outcome::Failed
            },
        })
        .collect()
}

/// The fires of a trigger.
pub(super) fn trigger_runs(fires: &[Fire]) -> Vec<Run> {
    of_trigger(fires)
        .map(|fire| {
            let refused: Vec<String> = lines(fire)
                .filter(|line| !line.success)
                .map(|line| format!("rule {}: {}", line.rule, line.why()))
                .collect();
            Run {
                id: fire.id.clone(),
                start: fire.start,
                outcome: if refused.is_empty() {
                    Outcome::Well
                } else {
                    Outcome::Refused(refused.join("; "))
                },
            }
        })
        .collect()
}

/// Whether a rule started anything.
pub(super) fn starts(fires: &[Fire], rule: &str) -> bool {
    of_trigger(fires).any(|fire| lines(fire).any(|line| line.success && line.is_of(rule)))
}

/// What a rule did at the fires of its trigger. `failed` tells of activations of its action that ended whether they failed; one
/// that it does not tell of goes on, or is too long ago.
pub(super) fn rule_runs(fires: &[Fire], rule: &str, failed: &HashMap<String, bool>) -> Vec<Run> {
    of_trigger(fires)
        .flat_map(|fire| lines(fire).map(move |line| (fire, line)))
        .filter(|(_, line)| line.is_of(rule))
        .map(|(fire, line)| {
            let outcome = match &line.activation {
                _ if !line.success => Outcome::Refused(line.why().to_owned()),
                Some(id) if failed.get(id) == Some(&true) => Outcome::Failed,
                _ => Outcome::Well,
            };
            Run {
                id: line.activation.unwrap_or_else(|| fire.id.clone()),
                start: fire.start,
                outcome,
            }
        })
        .collect()
}

/// The figures; nothing when there are no runs. What the last error said is left empty where it has to be asked for.
pub(super) fn count(
    runs: &[Run],
    before: Option<&Activations>,
    now: Timestamp,
) -> Option<Activations> {
    let oldest = runs.iter().map(|run| run.start).min()?;
    let failed = runs.iter().filter(|run| run.failed()).count();
    // Lists begin with the newest: of several at the same moment it is the first.
    let last = runs.iter().rev().filter(|run| run.failed());
    let known = before.and_then(|before| before.last_error.as_ref());
    let last_error = match last.max_by_key(|run| run.start) {
        Some(run) => Some(match (&run.outcome, known) {
            (Outcome::Failed, Some(known)) if known.activation == run.id => known.clone(),
            (outcome, _) => LastError {
                activation: run.id.clone(),
                at: time(run.start),
                message: match outcome {
                    Outcome::Refused(why) => cut(why),
                    Outcome::Well | Outcome::Failed => String::new(),
                },
            },
        }),
        None => known.cloned(),
    };
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    Some(Activations {
        observed: moment(now),
        since: time(oldest),
        count: number(runs.len()),
        failed: number(failed),
        error_rate_percent: number(failed * 100 / runs.len()),
        last_error,
    })
}

fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map(moment)
        .unwrap_or_default()
}

/// Whether nothing has changed that is worth a write now. Only what gets worse is in a hurry: figures that go up and down
/// are written every five minutes at most.
pub(super) fn is_as_before(before: &Activations, now: &Activations) -> bool {
    fn figures(of: &Activations) -> (i32, i32, &str, Option<&str>) {
        let error = of.last_error.as_ref();
        let error = error.map(|error| error.activation.as_str());
        (of.count, of.failed, &of.since, error)
    }
    if figures(before) == figures(now) {
        return true;
    }
    let (was, is) = (before.error_rate_percent, now.error_rate_percent);
    let worse =
        now.failed > 0 && before.failed == 0 || is >= SMALL && is >= was.saturating_mul(FACTOR);
    !worse && age(before, now) < REFRESH
}

fn age(before: &Activations, now: &Activations) -> i64 {
    let time = |of: &Activations| of.observed.parse::<Timestamp>();
    match (time(before), time(now)) {
        (Ok(before), Ok(now)) => now.duration_since(before).as_secs(),
        _ => i64::MAX,
    }
}

/// What an activation that failed said.
pub(super) fn words(response: Option<&ActivationResponse>) -> String {
    let Some(response) = response else {
        return "its record is gone".to_owned();
    };
    match response.result.get("error") {
        Some(Value::String(text)) if !text.trim().is_empty() => cut(text.trim()),
        Some(Value::Null | Value::String(_)) | None => cut(&response.status),
        Some(other) => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
