//! What moves in a platform by itself: records on their way, and parts on their way to zero and back.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::Value;

use super::crd::{Platform, PlatformStatus, WaitingOn};
use super::stop::{self, CaughtUp, Level};
use super::validate::ValidatedPlatform;
use super::{flow, reach};
use crate::flow::{Seen, StageSeen};
use crate::status::{AVAILABLE, Condition, PROGRESSING, STOPPED, set_condition};

/// So long those that read the log may take to catch up before they are stopped all the same: what they have not read
/// stays in the log, and they go on with it when they are back.
const CATCH_UP: SignedDuration = SignedDuration::from_mins(10);

/// What a look at it came to.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether it has to be looked at again soon, in seconds.
    pub again: Option<u64>,
    /// What is wrong: reason and message.
    pub trouble: Option<(&'static str, String)>,
}

/// Puts into the status where records wait and how far parts are on their way to zero.
pub fn look(
    object: &Platform,
    platform: &ValidatedPlatform,
    bodies: &[&Value],
    status: &mut PlatformStatus,
) -> Progress {
    let kafka = reach::kafka(platform, bodies)
        .filter(|_| platform.gateway.is_some() && platform.level > Level::Nothing);
    let mut progress = Progress::default();
    let mut seen = None;
    match kafka {
        // What was known of it is not forgotten while it is stopped.
        None if platform.level == Level::Nothing => {}
        None => status.flow = None,
        Some(kafka) => {
            progress.again = Some(20);
            let wanted = flow::wanted(platform, kafka);
            let canary_every = wanted.canary_every;
            let key = format!("{} {}", platform.owner.key(), platform.owner.uid);
            seen = crate::flow::watch(&key, wanted);
            if let Some(seen) = &seen {
                let told = crate::flow::told(status.flow.as_ref(), seen, canary_every);
                status.flow = Some(told);
            }
        }
    }
    let wanted = object.spec.stopped;
    if wanted || platform.level < Level::Everything {
        move_on(object, platform, bodies, seen.as_ref(), status);
        progress.again = Some(if is_settled(status) { 60 } else { 5 });
        return progress;
    }
    let limit = platform.flow.stuck_seconds;
    let stuck = status.flow.as_ref();
    let stuck = stuck.and_then(|flow| crate::flow::stuck(flow, &object.name_any(), limit));
    progress.trouble = stuck.map(|(component, reason)| {
        let told = format!("{component}: {reason}");
        status.waiting_on.push(WaitingOn { component, reason });
        ("CanaryStuck", told)
    });
    progress
}

fn is_settled(status: &PlatformStatus) -> bool {
    crate::status::is_true(&status.conditions, STOPPED)
}

fn move_on(
    object: &Platform,
    platform: &ValidatedPlatform,
    bodies: &[&Value],
    seen: Option<&Arc<Seen>>,
    status: &mut PlatformStatus,
) {
    let (wanted, generation) = (object.spec.stopped, object.metadata.generation);
    let reads = flow::stages(platform)
        .iter()
        .any(|stage| stage.group.is_some());
    let caught_up = caught_up(
        reads,
        seen.map(Arc::as_ref),
        &status.conditions,
        Timestamp::now(),
    );
    let next = stop::next(wanted, platform.level, bodies, caught_up);
    if wanted {
        // That parts which are to be gone are not there is no news.
        status.waiting_on = next.waits.iter().cloned().collect();
        let (reason, progresses) = if next.is_done {
            ("Stopped", false)
        } else {
            ("Stopping", true)
        };
        let told = "spec.stopped is true";
        let conditions = &mut status.conditions;
        set_condition(conditions, AVAILABLE, false, reason, told, generation);
        set_condition(
            conditions,
            PROGRESSING,
            progresses,
            reason,
            told,
            generation,
        );
    } else if let Some(waits) = &next.waits {
        let known = |other: &WaitingOn| other.component == waits.component;
        if !status.waiting_on.iter().any(known) {
            status.waiting_on.push(waits.clone());
        }
    }
    stop::tell(&mut status.conditions, wanted, &next, generation);
}

fn caught_up(
    reads: bool,
    seen: Option<&Seen>,
    conditions: &[Condition],
    now: Timestamp,
) -> CaughtUp {
    if !reads {
        return CaughtUp::Yes;
    }
    // Looked at since the gateway takes nothing more: nothing can come after.
    let is_through = seen.is_some_and(|seen| {
        let groups = seen
            .stages
            .iter()
            .filter(|stage| stage.watched.group.is_some());
        // The archive has read records that wait on purpose, and commits them when it stops.
        let on_purpose = |stage: &StageSeen| {
            let usual = stage.watched.usual;
            !usual.is_zero() && stage.lag_time.is_some_and(|waited| waited <= usual)
        };
        !seen.has_gateway
            && groups
                .into_iter()
                .all(|stage| stage.lag == Some(0) || on_purpose(stage))
    });
    if is_through {
        return CaughtUp::Yes;
    }
    let since = conditions
        .iter()
        .find(|condition| condition.type_ == STOPPED)
        .and_then(|condition| condition.last_transition_time.parse::<Timestamp>().ok());
    match since {
        Some(since) if now.duration_since(since) > CATCH_UP => CaughtUp::GivenUp,
        _ => CaughtUp::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Watched;
    use crate::platform::crd::StageName;

    fn seen(has_gateway: bool, lag: Option<i64>) -> Seen {
        let stage = |group: Option<&str>, lag| StageSeen {
            watched: Watched {
                stage: StageName::Detected,
                topic: "telemetry".into(),
                group: group.map(Into::into),
                leads_to_vehicles: true,
                usual: std::time::Duration::ZERO,
            },
            end: Some(7),
            committed: None,
            lag,
            lag_time: None,
            newest: None,
            canary: None,
            problem: None,
        };
        Seen {
            at: Timestamp::UNIX_EPOCH,
            has_gateway,
            stages: vec![stage(None, None), stage(Some("detect"), lag)],
            canary: None,
        }
    }

    #[test]
    fn readers_have_caught_up_when_nothing_waits_after_the_gateway_is_gone() {
        let at = |seen: Option<Seen>| caught_up(true, seen.as_ref(), &[], Timestamp::UNIX_EPOCH);
        assert_eq!(at(None), CaughtUp::No);
        assert_eq!(at(Some(seen(true, Some(0)))), CaughtUp::No);
        assert_eq!(at(Some(seen(false, Some(1)))), CaughtUp::No);
        assert_eq!(
            at(Some(seen(false, None))),
            CaughtUp::No,
            "nothing is known"
        );
        assert_eq!(at(Some(seen(false, Some(0)))), CaughtUp::Yes);
        let archive = |waited: u64| {
            let mut seen = seen(false, Some(9));
            seen.stages[1].watched.usual = std::time::Duration::from_secs(300);
            seen.stages[1].lag_time = Some(std::time::Duration::from_secs(waited));
            seen
        };
        assert_eq!(at(Some(archive(299))), CaughtUp::Yes, "its last commit");
        assert_eq!(at(Some(archive(301))), CaughtUp::No);
        let none = caught_up(false, None, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(none, CaughtUp::Yes, "nobody reads");
    }

    #[test]
    fn they_have_so_long() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, STOPPED, false, "GatewayStopped", "", None);
        let since: Timestamp = conditions[0].last_transition_time.parse().unwrap();
        let after = |minutes| {
            let now = since + SignedDuration::from_mins(minutes);
            caught_up(true, None, &conditions, now)
        };
        assert_eq!(after(10), CaughtUp::No);
        assert_eq!(after(11), CaughtUp::GivenUp);
    }
}
