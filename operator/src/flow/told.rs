//! The status out of what was seen. It is left as it is while nothing has changed that matters, so that a platform through
//! which records flow evenly, or none, is not written about. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::matters::{BEHIND, SLOW, is_as_before, rounded, rounded_beyond, seconds};
use super::{Seen, StageSeen};
use crate::platform::crd::{FlowCanary, FlowStage, FlowStatus, StageName};

/// What the status says of the flow from now on.
#[must_use]
pub fn told(
    before: Option<&FlowStatus>,
    seen: &Seen,
    canary_every: Option<Duration>,
) -> FlowStatus {
    let mut now = of(seen);
    // How long records wait in each stage on purpose, in seconds.
    let usual = |stage: &StageSeen| seconds(stage.watched.usual);
    let usual: Vec<i64> = seen.stages.iter().map(usual).collect();
    if let Some(before) = before.filter(|_| canary_every.is_some()) {
        keep_canary(before, &mut now, &usual);
    }
    if let Some(canary) = &mut now.canary {
        canary.every_seconds = canary_every.map(seconds);
    }
    match before {
        Some(before) if is_as_before(before, &now, &usual, canary_every) => before.clone(),
        _ => now,
    }
}

fn of(seen: &Seen) -> FlowStatus {
    FlowStatus {
        observed: text(seen.at),
        stages: seen.stages.iter().map(|one| stage(one, seen.at)).collect(),
        canary: seen.canary.as_ref().map(|canary| FlowCanary {
            id: canary.id.clone(),
            sent: text(canary.sent),
            stuck_at: canary.stuck_at,
            every_seconds: None,
        }),
    }
}

/// Until a canary of this operator's own is through, that of the one before counts.
fn keep_canary(before: &FlowStatus, now: &mut FlowStatus, usual: &[i64]) {
    let is_kept = |canary: &&FlowCanary| canary.stuck_at.is_none();
    let Some(canary) = before.canary.as_ref().filter(is_kept) else {
        return;
    };
    if now
        .canary
        .as_ref()
        .is_some_and(|now| now.stuck_at.is_some())
    {
        return;
    }
    let is_new = now.canary.is_some();
    if !is_new {
        now.canary = Some(canary.clone());
    }
    for (stage, usual) in now.stages.iter_mut().zip(usual) {
        if is_new && (*usual == 0 || stage.canary_seconds.is_some()) {
            continue;
        }
        let same = |other: &&FlowStage| (other.stage, &other.group) == (stage.stage, &stage.group);
        stage.canary_seconds = before
            .stages
            .iter()
            .find(same)
            .and_then(|s| s.canary_seconds);
    }
}

/// Of records that wait on purpose it matters from when the oldest is: the topic's retention must not reach it.
fn oldest_waiting(seen: &StageSeen, at: Timestamp) -> Option<String> {
    let waits = seen.watched.stage == StageName::Archived && seen.lag > Some(0);
    let time = seen.lag_time.filter(|_| waits)?;
    Some(text(at.checked_sub(time).ok()?))
}

fn stage(seen: &StageSeen, at: Timestamp) -> FlowStage {
    FlowStage {
        stage: seen.watched.stage,
        topic: seen.watched.topic.clone(),
        group: seen.watched.group.clone(),
        end_offset: seen.end,
        committed_offset: seen.committed,
        lag_records: seen.lag.map(rounded),
        lag_seconds: seen
            .lag_time
            .map(|time| rounded_beyond(seconds(time), BEHIND)),
        oldest_waiting: oldest_waiting(seen, at),
        // The alert compares it with the time between two canaries: rounded down, it would come late.
        newest_seconds: seen.newest.map(seconds),
        canary_seconds: seen.canary.map(|time| rounded_beyond(seconds(time), SLOW)),
        message: seen
            .problem
            .as_ref()
            .map(|problem| problem.chars().take(1024).collect()),
    }
}

fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What is told of a canary that is stuck: what is waited for, and why, with the cure.
#[must_use]
pub fn stuck(flow: &FlowStatus, platform: &str, limit: i32) -> Option<(String, String)> {
    let canary = flow.canary.as_ref()?;
    let stage = canary.stuck_at?;
    let at = flow
        .stages
        .iter()
        .find(|other| other.stage == stage && other.canary_seconds.is_none());
    let group = at
        .and_then(|at| at.group.as_ref())
        .map(|group| format!(" (group {group})"))
        .unwrap_or_default();
    let known = at.and_then(|at| at.message.as_ref());
    let look = match stage {
        StageName::Produced => format!("see StreamJob {platform}-gateway and the Kafka behind it"),
        StageName::Detected => format!("see StreamJob {platform}-detect"),
        StageName::Archived => format!("see StreamJob {platform}-archive and the HDFS behind it"),
        StageName::Loaded => {
            format!("see StreamJob {platform}-materialize and the MongoDB behind it")
        }
        StageName::Served => format!(
            "see DruidIngestion {platform}-{} and the Druid behind it",
            at.map_or("telemetry", |at| at.topic.as_str())
        ),
        StageName::Told => format!("see the EventSources of {platform} and their actions"),
        StageName::Notified => format!("see StreamJob {platform}-gateway"),
    };
    let because = known
        .map(|message| format!("; {message}"))
        .unwrap_or_default();
    Some((
        format!("stage {}{group}", stage.as_str()),
        format!(
            "spec.flow.stuckSeconds: {limit}: the canary of {} has not passed in that time{because}; {look}",
            canary.sent
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{CanarySeen, Watched};
    use jiff::SignedDuration;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn seen(seconds: i64, end: i64, lag: i64, lag_seconds: u64, canary_millis: u64) -> Seen {
        let stage = |stage, group: Option<&str>| StageSeen {
            watched: Watched {
                stage,
                topic: "telemetry".into(),
                group: group.map(Into::into),
                leads_to_vehicles: true,
                usual: Duration::ZERO,
            },
            end: Some(end),
            committed: None,
            lag: None,
            lag_time: None,
            newest: None,
            canary: Some(Duration::from_millis(canary_millis)),
            problem: None,
        };
        let detected = StageSeen {
            committed: Some(end - lag),
            lag: Some(lag),
            lag_time: Some(Duration::from_secs(lag_seconds)),
            ..stage(StageName::Detected, Some("detect"))
        };
        Seen {
            at: at(seconds),
            has_gateway: true,
            stages: vec![stage(StageName::Produced, None), detected],
            canary: Some(CanarySeen {
                id: format!("millrace-canary:{seconds}"),
                sent: at(seconds - 5),
                stuck_at: None,
            }),
        }
    }

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn an_idle_platform_is_written_about_once() {
        let first = told(None, &seen(100, 7, 0, 0, 400), MINUTE);
        // Each minute a canary: the topic grows by it, and nothing else happens for a day.
        for minute in 1..1440 {
            let next = seen(
                100 + 60 * minute,
                7 + minute,
                0,
                0,
                400 + 600 * (minute as u64 % 3),
            );
            assert_eq!(told(Some(&first), &next, MINUTE), first, "{minute}");
        }
    }

    #[test]
    fn an_operator_that_was_restarted_writes_nothing() {
        let first = told(None, &seen(100, 7, 0, 0, 400), MINUTE);
        let mut fresh = seen(130, 8, 0, 0, 0);
        fresh.canary = None;
        fresh
            .stages
            .iter_mut()
            .for_each(|stage| stage.canary = None);
        assert_eq!(told(Some(&first), &fresh, MINUTE), first);
        assert_ne!(told(Some(&first), &fresh, None), first, "switched off");
    }

    #[test]
    fn a_flow_without_a_jam_is_written_about_now_and_then() {
        let first = told(None, &seen(0, 1_000, 3, 1, 400), MINUTE);
        assert_eq!(
            told(Some(&first), &seen(299, 60_000, 90, 2, 900), MINUTE),
            first
        );
        let later = told(Some(&first), &seen(300, 61_000, 40, 1, 400), MINUTE);
        assert_eq!(later.stages[0].end_offset, Some(61_000));
    }

    #[test]
    fn a_jam_is_written_about_at_once_and_as_it_grows() {
        let first = told(None, &seen(0, 1_000, 0, 0, 400), MINUTE);
        let jam = told(Some(&first), &seen(15, 2_000, 1_000, 14, 400), MINUTE);
        assert_eq!(jam.stages[1].lag_seconds, Some(10));
        assert_eq!(jam.stages[1].lag_records, Some(1_000));
        assert_eq!(
            told(Some(&jam), &seen(30, 2_500, 1_500, 29, 400), MINUTE),
            jam
        );
        let more = told(Some(&jam), &seen(60, 4_000, 3_500, 59, 400), MINUTE);
        assert_eq!(more.stages[1].lag_seconds, Some(50));
        let over = told(Some(&more), &seen(75, 4_000, 0, 0, 400), MINUTE);
        assert_eq!(over.stages[1].lag_seconds, Some(0));
    }

    #[test]
    fn a_limit_of_a_rule_is_written_about_at_once() {
        let nearly = told(None, &seen(0, 1_000, 9, 59, 30_000), MINUTE);
        for (lag, canary) in [(60, 30_999), (61, 30_000), (59, 31_000)] {
            let next = seen(15, 1_000, 9, lag, canary);
            let is_beyond = lag > 60 || canary >= 31_000;
            assert_eq!(told(Some(&nearly), &next, MINUTE) != nearly, is_beyond);
        }
        let late = told(None, &seen(0, 1_000, 9, 99, 45_000), MINUTE);
        let stage = &late.stages[1];
        assert_eq!(
            (stage.lag_seconds, stage.canary_seconds),
            (Some(61), Some(31))
        );
        assert_ne!(
            told(Some(&late), &seen(15, 1_000, 9, 60, 45_000), MINUTE),
            late
        );
    }

    #[test]
    fn a_stuck_canary_is_told_with_its_stage() {
        let first = told(None, &seen(0, 1_000, 0, 0, 400), MINUTE);
        let mut jam = seen(400, 1_000, 0, 0, 400);
        jam.stages[1].canary = None;
        jam.canary.as_mut().unwrap().stuck_at = Some(StageName::Detected);
        let now = told(Some(&first), &jam, MINUTE);
        let (what, why) = stuck(&now, "p", 300).unwrap();
        assert_eq!(what, "stage detected (group detect)");
        assert_eq!(
            why,
            "spec.flow.stuckSeconds: 300: the canary of 1970-01-01T00:06:35Z has not passed in that time; see StreamJob p-detect"
        );
        assert_eq!(stuck(&first, "p", 300), None);
        let same = told(Some(&now), &jam, MINUTE);
        assert_eq!(same, now);
    }

    #[test]
    fn records_that_wait_on_purpose_are_not_written_about() {
        let at_archive = |seconds: i64, lag: i64, waited: u64| {
            let mut seen = seen(seconds, 1_000, lag, waited, 400);
            let watched = &mut seen.stages[1].watched;
            (watched.stage, watched.usual) = (StageName::Archived, Duration::from_secs(300));
            seen
        };
        let first = told(None, &at_archive(0, 0, 0), MINUTE);
        assert_eq!(first.stages[1].oldest_waiting, None);
        for (seconds, lag, waited) in [(60, 500, 60), (200, 900, 200), (280, 1_000, 299)] {
            let next = at_archive(seconds, lag, waited);
            assert_eq!(told(Some(&first), &next, MINUTE), first, "{seconds}");
        }
        // The storage is away.
        let late = told(Some(&first), &at_archive(1_100, 1_000, 1_000), MINUTE);
        let archived = &late.stages[1];
        assert_eq!(
            (archived.lag_records, archived.lag_seconds),
            (Some(1_000), Some(1_000))
        );
        assert_eq!(
            archived.oldest_waiting.as_deref(),
            Some("1970-01-01T00:01:40Z")
        );
    }

    #[test]
    fn answers_that_grow_old_are_written_about() {
        let answers = |seconds: i64, age: u64| {
            let mut seen = seen(seconds, 1_000, 0, 0, 400);
            let served = &mut seen.stages[1];
            served.watched.stage = StageName::Served;
            served.newest = Some(Duration::from_secs(age));
            seen
        };
        let first = told(None, &answers(0, 3), MINUTE);
        assert_eq!(told(Some(&first), &answers(60, 70), MINUTE), first);
        let old = told(Some(&first), &answers(300, 220), MINUTE);
        assert_eq!(old.stages[1].newest_seconds, Some(220));
        assert_eq!(told(Some(&old), &answers(400, 320), MINUTE), old);
        let back = told(Some(&old), &answers(500, 2), MINUTE);
        assert_eq!(back.stages[1].newest_seconds, Some(2));
        // What is late now and was not is written, however near the two are.
        let nearly = told(None, &answers(0, 180), MINUTE);
        let late = told(Some(&nearly), &answers(60, 181), MINUTE);
        assert_eq!(late.stages[1].newest_seconds, Some(181));

        // Between two canaries that are ten minutes apart the newest event of an idle platform is as old as that.
        let seldom = Some(Duration::from_secs(600));
        let first = told(None, &answers(0, 3), seldom);
        assert_eq!(first.canary.as_ref().unwrap().every_seconds, Some(600));
        for (seconds, age) in [(60, 63), (290, 293), (590, 593), (680, 683)] {
            let next = answers(seconds, age);
            assert_eq!(told(Some(&first), &next, seldom), first, "{age}");
        }
        let old = told(Some(&first), &answers(1_100, 1_103), seldom);
        assert_eq!(old.stages[1].newest_seconds, Some(1_103));
        // Another time between them is written at once: the alert depends on it.
        let often = told(Some(&first), &answers(60, 63), MINUTE);
        assert_eq!(often.canary.unwrap().every_seconds, Some(60));
    }

    #[test]
    fn what_cannot_be_read_is_said_once() {
        let mut away = seen(0, 0, 0, 0, 0);
        for stage in &mut away.stages {
            (stage.end, stage.lag, stage.lag_time) = (None, None, None);
            stage.problem = Some("Kafka is away".into());
        }
        let first = told(None, &away, MINUTE);
        assert_eq!(first.stages[0].message.as_deref(), Some("Kafka is away"));
        away.at = at(900);
        away.stages[0].problem = Some("Kafka does not answer".into());
        assert_eq!(told(Some(&first), &away, MINUTE), first);
    }
}
