//! The way of a canary through the stages. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{CanarySeen, Watched};
use crate::platform::crd::StageName;
use crate::remote::kafka::Waiting;

/// The vehicle that canaries are of, as the gateway has it.
pub const VEHICLE: &str = "millrace-canary";

/// Where a stage is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Where the topic's partitions end.
    pub ends: BTreeMap<i32, i64>,
    /// What the group has committed.
    pub committed: BTreeMap<i32, i64>,
    /// What waits for the group.
    pub waiting: BTreeMap<i32, Waiting>,
    /// Whether the gateway has read what is in the topic.
    pub is_read: bool,
    /// The time of the newest canary that answers count, in milliseconds of the epoch.
    pub answered: Option<i64>,
}

/// A canary on its way.
#[derive(Clone, Debug)]
pub struct Canary {
    /// Its number.
    pub sequence: u64,
    /// When it was sent, or when that was first tried.
    pub sent: Timestamp,
    /// Partition and offset, as soon as it is stored.
    pub stored: Option<(i32, i64)>,
    /// The time of its event.
    pub time: Timestamp,
    /// What it took to pass each stage.
    pub passed: Vec<Option<Duration>>,
    /// Where the alerts ended when detection had passed it: what it might have led to is before that.
    mark: Option<BTreeMap<i32, i64>>,
}

impl Canary {
    /// One that is about to be sent through so many stages.
    #[must_use]
    pub fn new(sequence: u64, sent: Timestamp, stages: usize) -> Self {
        Self {
            sequence,
            sent,
            stored: None,
            time: sent,
            passed: vec![None; stages],
            mark: None,
        }
    }

    /// Takes in where the stages are. A stage of which nothing is known passes nothing.
    pub fn advance(&mut self, stages: &[Watched], progress: &[Option<Progress>], now: Timestamp) {
        let took = Duration::try_from(now.duration_since(self.sent)).unwrap_or_default();
        for (index, (watched, progress)) in stages.iter().zip(progress).enumerate() {
            let done = match (self.passed.get(index), progress) {
                (Some(None), Some(progress)) => self.passes(watched, stages, progress),
                _ => false,
            };
            if done && let Some(passed) = self.passed.get_mut(index) {
                *passed = Some(took);
            }
            // The alerts are looked at after detection, in the same look: none that it led to can be missing.
            if watched.stage == StageName::Told
                && self.mark.is_none()
                && self.has_passed(stages, |before| before.stage == StageName::Detected)
                && let Some(progress) = progress
            {
                self.mark = Some(progress.ends.clone());
                if self.told(progress)
                    && let Some(passed) = self.passed.get_mut(index)
                {
                    *passed = Some(took);
                }
            }
        }
    }

    fn passes(&self, watched: &Watched, stages: &[Watched], progress: &Progress) -> bool {
        let Some((partition, offset)) = self.stored else {
            return false;
        };
        match watched.stage {
            StageName::Produced => true,
            StageName::Detected | StageName::Archived | StageName::Loaded => {
                let committed = progress.committed.get(&partition);
                let waits = progress.waiting.get(&partition);
                // The second when retention has removed it before it was read.
                committed.is_some_and(|next| *next > offset)
                    || waits.is_some_and(|record| record.offset > offset)
            }
            StageName::Served => {
                let answered = progress.answered;
                let unread = progress.committed.get(&partition);
                let removed = unread.is_some_and(|next| *next <= offset)
                    && progress
                        .waiting
                        .get(&partition)
                        .is_some_and(|record| record.offset > offset);
                removed || answered.is_some_and(|newest| newest >= self.time.as_millisecond())
            }
            StageName::Told => self.told(progress),
            StageName::Notified => {
                progress.is_read && self.has_passed(stages, |before| before.leads_to_vehicles)
            }
        }
    }

    fn told(&self, progress: &Progress) -> bool {
        let Some(mark) = &self.mark else {
            return false;
        };
        let is_before = |(partition, record): (&i32, &Waiting)| {
            mark.get(partition).is_some_and(|end| record.offset < *end)
        };
        !progress.waiting.iter().any(is_before)
    }

    fn has_passed(&self, stages: &[Watched], which: impl Fn(&Watched) -> bool) -> bool {
        stages
            .iter()
            .zip(&self.passed)
            .filter(|(watched, _)| which(watched))
            .all(|(_, passed)| passed.is_some())
    }

    /// Whether it has passed all stages but those in which records wait on purpose.
    #[must_use]
    pub fn is_through(&self, stages: &[Watched]) -> bool {
        self.has_passed(stages, |stage| stage.usual.is_zero())
    }

    /// Whether it has passed those too.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.passed.iter().all(Option::is_some)
    }

    /// The first stage that it has not passed in the time that it may take there.
    #[must_use]
    pub fn stuck_at(
        &self,
        stages: &[Watched],
        now: Timestamp,
        after: Duration,
    ) -> Option<StageName> {
        let took = Duration::try_from(now.duration_since(self.sent)).unwrap_or_default();
        let late = stages
            .iter()
            .zip(&self.passed)
            .find(|(watched, passed)| passed.is_none() && took > after + watched.usual);
        late.map(|(watched, _)| watched.stage)
    }

    /// What is told of it.
    #[must_use]
    pub fn seen(&self, stuck_at: Option<StageName>) -> CanarySeen {
        CanarySeen {
            id: format!("{VEHICLE}:{}", self.sequence),
            sent: self.sent,
            stuck_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn stages() -> Vec<Watched> {
        [
            (StageName::Produced, None, true),
            (StageName::Detected, Some("detect"), true),
            (StageName::Told, Some("dispatch-warnings"), true),
            (StageName::Told, Some("dispatch-mail"), false),
            (StageName::Notified, None, false),
        ]
        .map(|(stage, group, leads_to_vehicles)| Watched {
            stage,
            topic: "t".into(),
            group: group.map(Into::into),
            leads_to_vehicles,
            usual: Duration::ZERO,
        })
        .into()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn record(offset: i64) -> Waiting {
        Waiting {
            offset,
            timestamp: 0,
        }
    }

    /// Detection at `detect` of partition 2; the alerts of partition 0 end at 10, and the two groups wait for a record.
    fn progress(detect: i64, warnings: Option<i64>, mail: Option<i64>) -> Vec<Option<Progress>> {
        let told = |waits: Option<i64>| {
            Some(Progress {
                ends: BTreeMap::from([(0, 10)]),
                waiting: waits
                    .map(|offset| (0, record(offset)))
                    .into_iter()
                    .collect(),
                ..Progress::default()
            })
        };
        let detected = Progress {
            committed: BTreeMap::from([(2, detect)]),
            ..Progress::default()
        };
        let read = Progress {
            is_read: true,
            ..Progress::default()
        };
        vec![
            Some(Progress::default()),
            Some(detected),
            told(warnings),
            told(mail),
            Some(read),
        ]
    }

    fn seconds(canary: &Canary) -> Vec<Option<u64>> {
        canary
            .passed
            .iter()
            .map(|p| p.map(|d| d.as_secs()))
            .collect()
    }

    #[test]
    fn it_passes_one_stage_after_the_other() {
        let (all, mut canary) = (stages(), Canary::new(0, at(0), 5));
        canary.advance(&all, &progress(9, None, None), at(1));
        assert_eq!(seconds(&canary), [None; 5], "not stored yet");
        canary.stored = Some((2, 7));
        canary.advance(&all, &progress(7, None, None), at(2));
        assert_eq!(seconds(&canary), [Some(2), None, None, None, None]);
        // An alert at 9 was there when detection passed: it is waited for. One at 10 came later.
        canary.advance(&all, &progress(8, Some(9), Some(9)), at(3));
        assert_eq!(seconds(&canary), [Some(2), Some(3), None, None, None]);
        canary.advance(&all, &progress(8, Some(10), Some(9)), at(4));
        assert_eq!(
            seconds(&canary),
            [Some(2), Some(3), Some(4), None, Some(4)],
            "mail keeps no vehicle waiting"
        );
        assert!(!canary.is_through(&all));
        canary.advance(&all, &progress(8, None, None), at(5));
        assert!(canary.is_through(&all) && canary.is_done());
        assert_eq!(seconds(&canary)[2], Some(4), "what has passed has passed");
    }

    #[test]
    fn all_at_once_when_nothing_waits() {
        let (all, mut canary) = (stages(), Canary::new(0, at(0), 5));
        canary.stored = Some((2, 7));
        canary.advance(&all, &progress(8, None, None), at(1));
        assert!(canary.is_through(&all), "{canary:?}");
    }

    #[test]
    fn nobody_waits_for_a_stage_that_takes_its_time() {
        for stage in [StageName::Archived, StageName::Loaded] {
            nobody_waits_for(stage);
        }
    }

    fn nobody_waits_for(stage: StageName) {
        let mut all = stages();
        all.truncate(2);
        let mut slow = all[1].clone();
        (slow.stage, slow.usual) = (stage, Duration::from_secs(300));
        all.push(slow);
        let mut canary = Canary::new(0, at(0), 3);
        canary.stored = Some((2, 7));
        let at_offsets = |detect: i64, archive: i64| {
            let committed = |offset| {
                Some(Progress {
                    committed: BTreeMap::from([(2, offset)]),
                    ..Progress::default()
                })
            };
            vec![
                Some(Progress::default()),
                committed(detect),
                committed(archive),
            ]
        };
        canary.advance(&all, &at_offsets(8, 7), at(2));
        assert!(canary.is_through(&all) && !canary.is_done());
        let limit = Duration::from_secs(30);
        assert_eq!(canary.stuck_at(&all, at(330), limit), None);
        assert_eq!(canary.stuck_at(&all, at(331), limit), Some(stage));
        canary.advance(&all, &at_offsets(8, 8), at(340));
        assert!(canary.is_done());
        assert_eq!(seconds(&canary), [Some(2), Some(2), Some(340)]);
    }

    #[test]
    fn it_is_served_when_answers_count_it() {
        let mut all = stages();
        all.truncate(1);
        all.push(Watched {
            stage: StageName::Served,
            ..all[0].clone()
        });
        let mut canary = Canary::new(0, at(100), 2);
        (canary.stored, canary.time) = (Some((2, 7)), at(101));
        let answered = |ms: Option<i64>| {
            let served = Progress {
                answered: ms,
                ..Progress::default()
            };
            vec![Some(Progress::default()), Some(served)]
        };
        for (ms, passes) in [(None, false), (Some(100_999), false), (Some(101_000), true)] {
            canary.advance(&all, &answered(ms), at(103));
            assert_eq!(canary.is_done(), passes, "{ms:?}");
        }
    }

    #[test]
    fn a_canary_that_retention_removed_has_passed() {
        let (all, mut canary) = (stages(), Canary::new(0, at(0), 5));
        canary.stored = Some((2, 7));
        let mut progress = progress(3, None, None);
        if let Some(detected) = &mut progress[1] {
            detected.waiting = BTreeMap::from([(2, record(90))]);
        }
        canary.advance(&all, &progress, at(1));
        assert_eq!(seconds(&canary)[1], Some(1));
    }

    #[test]
    fn the_first_open_stage_is_named_when_it_takes_too_long() {
        let all = stages();
        let mut canary = Canary::new(0, at(0), 5);
        let limit = Duration::from_secs(30);
        assert_eq!(canary.stuck_at(&all, at(30), limit), None);
        assert_eq!(
            canary.stuck_at(&all, at(31), limit),
            Some(StageName::Produced)
        );
        canary.stored = Some((2, 7));
        canary.advance(&all, &progress(7, None, None), at(40));
        assert_eq!(
            canary.stuck_at(&all, at(41), limit),
            Some(StageName::Detected)
        );
        // Nothing is known of detection: it is not passed.
        let mut unknown = progress(8, None, None);
        unknown[1] = None;
        canary.advance(&all, &unknown, at(42));
        assert_eq!(
            canary.stuck_at(&all, at(43), limit),
            Some(StageName::Detected)
        );
    }
}
