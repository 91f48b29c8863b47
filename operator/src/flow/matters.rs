//! Whether what was seen differs from what the status says in anything that matters, and how exactly it is told. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::platform::crd::{FlowStage, FlowStatus, StageName};

/// Times below are as good as none, in seconds.
const SHORT: i64 = 10;
/// Two numbers that differ by less than this factor are as good as the same.
const FACTOR: i64 = 3;
/// Offsets alone are written so often at most, in seconds: they move all the time.
const REFRESH: i64 = 300;
/// An answer whose newest event is older than the last canary by no more is as good as one of now, in seconds: from there on
/// the rule MillraceAnswersOld counts.
pub(crate) const LATE: i64 = 120;
/// A consumer whose oldest record waits for longer is behind, in seconds: from there on the rule MillraceLag counts.
pub(crate) const BEHIND: i64 = 60;
/// A canary that takes longer to pass a stage is slow, in seconds: from there on the rule MillraceCanarySlow counts.
pub(crate) const SLOW: i64 = 30;
/// Where no canaries are sent, vehicles are taken to send something so often, in seconds.
const USUAL: i64 = 60;

/// Whole seconds.
pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Down to 1, 2 or 5 times a power of ten.
pub(super) fn rounded(number: i64) -> i64 {
    let mut power = 1_i64;
    let mut best = 0;
    loop {
        for step in [1, 2, 5] {
            match power.checked_mul(step) {
                Some(next) if next <= number => best = next,
                _ => return best,
            }
        }
        match power.checked_mul(10) {
            Some(next) => power = next,
            None => return best,
        }
    }
}

/// The same, but what is above a limit of a rule stays above it: rounded down, the alert would come late.
pub(super) fn rounded_beyond(number: i64, limit: i64) -> i64 {
    let least = if number > limit { limit + 1 } else { 0 };
    rounded(number).max(least)
}

/// Whether nothing has changed that matters. `usual` is how long records wait in each stage on purpose, in seconds.
pub(super) fn is_as_before(
    before: &FlowStatus,
    now: &FlowStatus,
    usual: &[i64],
    canary_every: Option<Duration>,
) -> bool {
    let canary = |flow: &FlowStatus| {
        let canary = flow.canary.as_ref();
        canary.map(|canary| (canary.stuck_at, canary.every_seconds))
    };
    let new = LATE.saturating_add(canary_every.map_or(USUAL, seconds));
    let stages = before.stages.iter().zip(&now.stages);
    before.stages.len() == now.stages.len()
        && canary(before) == canary(now)
        && stages
            .clone()
            .zip(usual)
            .all(|((before, now), usual)| is_same(before, now, SHORT.saturating_add(*usual), new))
        && !(is_old(before, now)
            && stages
                .clone()
                .any(|(a, b)| moved(a, b, before, now, canary_every)))
}

fn is_same(before: &FlowStage, now: &FlowStage, short: i64, new: i64) -> bool {
    let of = |stage: &FlowStage| (stage.stage, stage.topic.clone(), stage.group.clone());
    of(before) == of(now)
        && before.message.is_some() == now.message.is_some()
        && near(before.lag_seconds, now.lag_seconds, short)
        && near(before.canary_seconds, now.canary_seconds, short)
        // No rule is about how long records wait for the archive. An alert must not come late, or stay, for want of a writing.
        && (now.stage == StageName::Archived
            || (before.lag_seconds > Some(BEHIND)) == (now.lag_seconds > Some(BEHIND))
                && (before.canary_seconds > Some(SLOW)) == (now.canary_seconds > Some(SLOW)))
        && as_old(before.newest_seconds, now.newest_seconds, new)
        // How many wait for a moment only does not matter. Vehicles that are away are not told how long.
        && (is_short(before.lag_seconds, short) && is_short(now.lag_seconds, short)
            || near(before.lag_records, now.lag_records, 0))
}

fn is_short(seconds: Option<i64>, short: i64) -> bool {
    seconds.is_some_and(|seconds| seconds < short)
}

fn near(before: Option<i64>, now: Option<i64>, small: i64) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            let (less, more) = (before.min(now), before.max(now));
            more < small || more < less.saturating_mul(FACTOR) || less == more
        }
        (None, None) => true,
        _ => false,
    }
}

/// Whether answers are as late as before, or as little.
fn as_old(before: Option<i64>, now: Option<i64>, new: i64) -> bool {
    let late = |age: Option<i64>| age > Some(new);
    late(before) == late(now) && near(before, now, new.saturating_add(1))
}

fn age(before: &FlowStatus, now: &FlowStatus) -> i64 {
    let time = |flow: &FlowStatus| flow.observed.parse::<Timestamp>();
    match (time(before), time(now)) {
        (Ok(before), Ok(now)) => now.duration_since(before).as_secs(),
        _ => i64::MAX,
    }
}

fn is_old(before: &FlowStatus, now: &FlowStatus) -> bool {
    age(before, now) >= REFRESH
}

/// Whether records came that were no canaries.
fn moved(
    stage_before: &FlowStage,
    stage_now: &FlowStage,
    before: &FlowStatus,
    now: &FlowStatus,
    canary_every: Option<Duration>,
) -> bool {
    let (Some(from), Some(to)) = (stage_before.end_offset, stage_now.end_offset) else {
        return false;
    };
    let canaries = match canary_every {
        Some(every) if stage_now.stage <= StageName::Served => {
            age(before, now) / seconds(every).max(1) + 1
        }
        _ => 0,
    };
    to < from || to - from > canaries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_down() {
        for (number, to) in [
            (0, 0),
            (1, 1),
            (4, 2),
            (9, 5),
            (10, 10),
            (499, 200),
            (i64::MAX, 5_000_000_000_000_000_000),
        ] {
            assert_eq!(rounded(number), to, "{number}");
        }
        for (number, to) in [(60, 50), (61, 61), (99, 61), (100, 100)] {
            assert_eq!(rounded_beyond(number, 60), to, "{number}");
        }
    }
}
