//! To zero pods and back, in an order in which nothing is lost. Pure.
//!
//! The parts stand in levels, each on the one below: Kafka and ZooKeeper; OpenWhisk, HDFS, PostgreSQL and MongoDB; what reads the log, and the gateway. Down goes one
//! level at a time, from above, and only when the one before is gone; up goes one level at a time, from below, and only when
//! what it stands on is there. How far it is stands in the condition Stopped, so that an operator that was restarted goes on
//! where the former one was.

use serde_json::Value;

use super::crd::{ComponentStatus, WaitingOn};
use super::state;
use crate::status::{AVAILABLE, Condition, STOPPED};

/// How many of the levels run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing.
    Nothing,
    /// Kafka, and ZooKeeper.
    Kafka,
    /// OpenWhisk, HDFS, PostgreSQL and MongoDB too.
    OpenWhisk,
    /// Detect, the archive, materialize, the dispatches and Druid too.
    Readers,
    /// The gateway too: everything.
    Everything,
}

impl Level {
    const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Kafka,
        Self::OpenWhisk,
        Self::Readers,
        Self::Everything,
    ];

    fn below(self) -> Self {
        let index = Self::ALL.iter().position(|level| *level == self);
        let below = index.and_then(|index| Self::ALL.get(index.checked_sub(1)?));
        below.copied().unwrap_or(Self::Nothing)
    }

    fn above(self) -> Self {
        let index = Self::ALL.iter().position(|level| *level == self);
        let above = index.and_then(|index| Self::ALL.get(index + 1));
        above.copied().unwrap_or(Self::Everything)
    }

    /// The reason of the condition while so many levels run and others do not.
    fn reason(self) -> &'static str {
        match self {
            Self::Nothing => "KafkaStopped",
            Self::Kafka => "OpenWhiskStopped",
            Self::OpenWhisk => "ReadersStopped",
            Self::Readers => "GatewayStopped",
            Self::Everything => "NotStopped",
        }
    }

    /// The level of which a part of this kind and name is the last one to run.
    fn of(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "KafkaCluster" | "ZooKeeperEnsemble" => Some(Self::Kafka),
            "OpenWhisk" | "HdfsCluster" | "PostgresCluster" | "MongoCluster" => {
                Some(Self::OpenWhisk)
            }
            "EventSource" | "BatchJob" | "DruidCluster" => Some(Self::Readers),
            "StreamJob" if name.ends_with("-gateway") => Some(Self::Everything),
            "StreamJob" => Some(Self::Readers),
            _ => None,
        }
    }

    /// Whether a part of this kind and name has no pods at this level.
    #[must_use]
    pub fn stops(self, kind: &str, name: &str) -> bool {
        Self::of(kind, name).is_some_and(|of| of > self)
    }
}

/// How far it was when it was last looked at.
#[must_use]
pub fn level(wanted: bool, conditions: &[Condition]) -> Level {
    let said = conditions
        .iter()
        .find(|condition| condition.type_ == STOPPED);
    let known = said.and_then(|condition| {
        let is = |level: &&Level| level.reason() == condition.reason;
        let done = condition.status == "True";
        if done {
            return Some(Level::Nothing);
        }
        Level::ALL.iter().find(is).copied()
    });
    match known.unwrap_or(Level::Everything) {
        // The first step needs nothing to be waited for.
        Level::Everything if wanted => Level::Readers,
        known => known,
    }
}

/// Whether those that read the log have read all of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CaughtUp {
    /// They have.
    Yes,
    /// Not yet, or nothing is known.
    No,
    /// Not in the time that they had.
    GivenUp,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// How many levels run from now on.
    pub level: Level,
    /// Whether all is where it is to be.
    pub is_done: bool,
    /// What is waited for.
    pub waits: Option<WaitingOn>,
}

/// Decides on the next step by what the parts say of themselves.
#[must_use]
pub fn next(wanted: bool, level: Level, parts: &[&Value], caught_up: CaughtUp) -> Next {
    let step = |level, is_done, waits| Next {
        level,
        is_done,
        waits,
    };
    if wanted {
        let left = parts.iter().find(|body| {
            let (kind, name) = names(body);
            level.stops(kind, name) && !is_gone(body)
        });
        if let Some(left) = left {
            return step(level, false, Some(waits_for(left, "is still stopping")));
        }
        if level == Level::Readers && caught_up == CaughtUp::No {
            let waits = WaitingOn {
                component: "stage detected, archived, told".into(),
                reason: "spec.stopped: true: records wait in the log; what reads it goes on until they are through".into(),
            };
            return step(level, false, Some(waits));
        }
        return match level {
            Level::Nothing => step(level, true, None),
            level => step(level.below(), false, None),
        };
    }
    let away = parts.iter().find(|body| {
        let (kind, name) = names(body);
        Level::of(kind, name).is_some_and(|of| of <= level) && !state::component(body).ready
    });
    match (level, away) {
        (Level::Everything, _) => step(level, true, None),
        (level, Some(away)) => step(level, false, Some(waits_for(away, "is starting"))),
        (level, None) => step(level.above(), false, None),
    }
}

fn names(body: &Value) -> (&str, &str) {
    let (kind, name) = (&body["kind"], &body["metadata"]["name"]);
    (
        kind.as_str().unwrap_or_default(),
        name.as_str().unwrap_or_default(),
    )
}

fn waits_for(body: &Value, what: &str) -> WaitingOn {
    let ComponentStatus {
        name,
        kind,
        message,
        ..
    } = state::component(body);
    WaitingOn {
        component: format!("{kind} {name}"),
        reason: crate::status::told(&format!("{what}: {message}")),
    }
}

/// Whether it says of its present spec that it has no pods left.
fn is_gone(body: &Value) -> bool {
    let conditions = body["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == STOPPED
            && condition["status"] == "True"
            && condition["observedGeneration"] == body["metadata"]["generation"]
    })
}

/// Says how far it is; says nothing when everything runs and nobody asked for anything else.
pub fn tell(conditions: &mut Vec<Condition>, wanted: bool, next: &Next, generation: Option<i64>) {
    if !wanted && next.level == Level::Everything {
        conditions.retain(|condition| condition.type_ != STOPPED);
        return;
    }
    let waits = next.waits.as_ref().map_or_else(String::new, |waits| {
        format!("; {}: {}", waits.component, waits.reason)
    });
    let done = wanted && next.is_done;
    let (reason, text) = if done {
        (
            "Stopped",
            "spec.stopped is true: there are no pods; volumes, topics and keys stay".to_owned(),
        )
    } else if wanted {
        (
            next.level.reason(),
            format!("spec.stopped is true: on the way to zero{waits}"),
        )
    } else {
        (
            next.level.reason(),
            format!("spec.stopped is no longer true: on the way back{waits}"),
        )
    };
    crate::status::set_condition(conditions, STOPPED, done, reason, &text, generation);
    if done {
        let told = "spec.stopped is true";
        crate::status::set_condition(conditions, AVAILABLE, false, "Stopped", told, generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::is_true;
    use serde_json::json;

    const ALL: [(&str, &str); 12] = [
        ("KafkaCluster", "p-kafka"),
        ("ZooKeeperEnsemble", "p-zookeeper"),
        ("OpenWhisk", "p-whisk"),
        ("HdfsCluster", "p-hdfs"),
        ("PostgresCluster", "p-postgres"),
        ("MongoCluster", "p-mongo"),
        ("StreamJob", "p-materialize"),
        ("StreamJob", "p-detect"),
        ("DruidCluster", "p-druid"),
        ("StreamJob", "p-archive"),
        ("EventSource", "p-warnings"),
        ("StreamJob", "p-gateway"),
    ];

    /// Parts that are as the level asks, except those named, which are on their way.
    fn parts(level: Level, late: &[&str]) -> Vec<Value> {
        ALL.iter()
            .map(|(kind, name)| {
                let stopped = level.stops(kind, name) != late.contains(name);
                let text = |is: bool| if is { "True" } else { "False" };
                json!({"kind": kind, "metadata": {"name": name, "generation": 3}, "status": {"conditions": [
                    {"type": "Available", "status": text(!stopped), "observedGeneration": 3, "message": "m"},
                    {"type": "Stopped", "status": text(stopped), "observedGeneration": 3}]}})
            })
            .collect()
    }

    fn decide(wanted: bool, level: Level, late: &[&str], caught_up: CaughtUp) -> Next {
        let parts = parts(level, late);
        next(wanted, level, &parts.iter().collect::<Vec<_>>(), caught_up)
    }

    /// The levels that are gone through until nothing changes any more.
    fn way(wanted: bool, from: Level) -> Vec<Level> {
        let mut levels = vec![from];
        loop {
            let at = *levels.last().unwrap();
            let next = decide(wanted, at, &[], CaughtUp::Yes);
            if next.is_done {
                return levels;
            }
            assert_ne!(next.level, at, "{next:?}");
            levels.push(next.level);
        }
    }

    #[test]
    fn down_from_above_and_up_from_below() {
        use Level::{Everything, Kafka, Nothing, OpenWhisk, Readers};
        assert_eq!(way(true, Readers), [Readers, OpenWhisk, Kafka, Nothing]);
        assert_eq!(
            way(false, Nothing),
            [Nothing, Kafka, OpenWhisk, Readers, Everything]
        );
        assert_eq!(
            way(false, Kafka),
            [Kafka, OpenWhisk, Readers, Everything],
            "half way"
        );
    }

    #[test]
    fn nothing_that_stands_on_another_outlives_it() {
        for (level, late, waits) in [
            (Level::Readers, "p-gateway", "StreamJob p-gateway"),
            (Level::OpenWhisk, "p-detect", "StreamJob p-detect"),
            (Level::OpenWhisk, "p-warnings", "EventSource p-warnings"),
            (Level::Kafka, "p-whisk", "OpenWhisk p-whisk"),
            (Level::Nothing, "p-kafka", "KafkaCluster p-kafka"),
        ] {
            let next = decide(true, level, &[late], CaughtUp::Yes);
            assert_eq!((next.level, next.is_done), (level, false));
            assert_eq!(next.waits.unwrap().component, waits);
        }
        for (level, late) in [
            (Level::Kafka, "p-kafka"),
            (Level::OpenWhisk, "p-whisk"),
            (Level::Readers, "p-detect"),
        ] {
            let next = decide(false, level, &[late], CaughtUp::Yes);
            assert_eq!((next.level, next.is_done), (level, false));
        }
    }

    #[test]
    fn readers_go_when_they_have_caught_up_or_had_their_time() {
        let at = |caught_up| decide(true, Level::Readers, &[], caught_up).level;
        assert_eq!(at(CaughtUp::No), Level::Readers);
        assert_eq!(at(CaughtUp::Yes), Level::OpenWhisk);
        assert_eq!(at(CaughtUp::GivenUp), Level::OpenWhisk);
    }

    #[test]
    fn how_far_it_is_is_read_back() {
        let mut conditions = Vec::new();
        assert_eq!(level(false, &conditions), Level::Everything);
        assert_eq!(
            level(true, &conditions),
            Level::Readers,
            "the gateway goes at once"
        );
        for wanted in [true, false] {
            for at in [
                Level::Nothing,
                Level::Kafka,
                Level::OpenWhisk,
                Level::Readers,
            ] {
                let step = Next {
                    level: at,
                    is_done: false,
                    waits: None,
                };
                tell(&mut conditions, wanted, &step, Some(1));
                assert_eq!(level(wanted, &conditions), at);
                assert!(!is_true(&conditions, STOPPED));
            }
        }
        let done = Next {
            level: Level::Nothing,
            is_done: true,
            waits: None,
        };
        tell(&mut conditions, true, &done, Some(1));
        assert!(is_true(&conditions, STOPPED));
        assert_eq!(level(true, &conditions), Level::Nothing);
        assert_eq!(
            level(false, &conditions),
            Level::Nothing,
            "from there it comes back"
        );
        let back = Next {
            level: Level::Everything,
            ..done
        };
        tell(&mut conditions, false, &back, Some(1));
        assert!(conditions.iter().all(|c| c.type_ != STOPPED));
    }

    #[test]
    fn what_is_said_of_an_older_spec_does_not_count() {
        let mut parts = parts(Level::Nothing, &[]);
        parts[0]["metadata"]["generation"] = json!(4);
        let parts: Vec<&Value> = parts.iter().collect();
        assert!(!next(true, Level::Nothing, &parts, CaughtUp::Yes).is_done);
    }
}
