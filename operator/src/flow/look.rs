//! One look at the flow: Kafka and the gateway are asked in the order of the flow, so that what passes a stage during the
//! questions is met at the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::canary::{Canary, Progress};
use super::gateway::GatewayClient;
use super::served::Answers;
use super::{Seen, StageSeen, Wanted, Watched};
use crate::platform::crd::StageName;
use crate::remote::kafka::{Isolation, KafkaError};

/// What is remembered from look to look.
#[derive(Debug)]
pub struct Looker {
    gateway: GatewayClient,
    answers: Answers,
    next_sequence: u64,
    /// The stages that the canaries were sent through.
    stages: Vec<Watched>,
    /// The one on its way.
    flying: Option<Canary>,
    /// The last that passed all stages in which no record waits on purpose.
    through: Option<Canary>,
    /// One that passed these, and is waited for at the others.
    slow: Option<Canary>,
    /// The last that passed those too.
    landed: Option<Canary>,
}

impl Looker {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self {
            gateway: GatewayClient::new()?,
            answers: Answers::default(),
            next_sequence: 0,
            stages: Vec::new(),
            flying: None,
            through: None,
            slow: None,
            landed: None,
        })
    }

    /// For how long a canary has been on its way, if one is.
    #[must_use]
    pub fn flies_since(&self) -> Option<Duration> {
        let flying = self.flying.as_ref()?;
        Duration::try_from(Timestamp::now().duration_since(flying.sent)).ok()
    }

    /// Looks once. Sends a canary when it is time.
    pub async fn look(&mut self, wanted: &Wanted) -> Seen {
        if self.stages != wanted.stages {
            self.stages = wanted.stages.clone();
            self.forget();
        }
        self.answers.reach(wanted.druid.as_ref());
        self.send(wanted).await;
        let mut stages = Vec::with_capacity(wanted.stages.len());
        let mut progress = Vec::with_capacity(wanted.stages.len());
        // Of a Kafka that does not answer nothing more is asked: each question would wait as long.
        let mut away = None;
        for watched in &wanted.stages {
            let looked = match &away {
                None => self.stage(wanted, watched).await,
                Some(problem) => Err(Problem::Kafka(String::clone(problem))),
            };
            let (seen, at) = match looked {
                Ok((seen, at)) => (seen, Some(at)),
                Err(problem) => {
                    if let Problem::Kafka(told) = &problem {
                        away = Some(told.clone());
                    }
                    (unknown(watched, &problem), None)
                }
            };
            stages.push(seen);
            progress.push(at);
        }
        let now = Timestamp::now();
        for canary in [&mut self.flying, &mut self.slow].into_iter().flatten() {
            canary.advance(&wanted.stages, &progress, now);
        }
        if self
            .flying
            .as_ref()
            .is_some_and(|c| c.is_through(&wanted.stages))
        {
            self.through = self.flying.take();
            if self.slow.is_none() {
                self.slow.clone_from(&self.through);
            }
        }
        if self.slow.as_ref().is_some_and(Canary::is_done) {
            self.landed = self.slow.take();
        }
        let late = [&self.flying, &self.slow].into_iter().flatten();
        let late = late.map(|c| (c, c.stuck_at(&wanted.stages, now, wanted.stuck_after)));
        let stuck = late.into_iter().find(|(_, at)| at.is_some());
        let shown = stuck.map(|(canary, _)| canary).or(self.through.as_ref());
        let stuck = stuck.and_then(|(_, at)| at);
        for (index, stage) in stages.iter_mut().enumerate() {
            let takes_time = !stage.watched.usual.is_zero() && stuck.is_none();
            let of = if takes_time {
                self.landed.as_ref()
            } else {
                shown
            };
            stage.canary = of.and_then(|canary| canary.passed.get(index).copied().flatten());
        }
        Seen {
            at: now,
            has_gateway: wanted.gateway.is_some(),
            stages,
            canary: shown.map(|canary| canary.seen(stuck)),
        }
    }

    fn forget(&mut self) {
        (self.flying, self.through) = (None, None);
        (self.slow, self.landed) = (None, None);
    }

    async fn send(&mut self, wanted: &Wanted) {
        let (Some(every), Some(gateway)) = (wanted.canary_every, &wanted.gateway) else {
            self.forget();
            return;
        };
        let now = Timestamp::now();
        let since = |canary: &Canary| now.duration_since(canary.sent);
        let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
        if self.flying.is_none()
            && self
                .through
                .as_ref()
                .is_none_or(|last| since(last) >= every)
        {
            self.flying = Some(Canary::new(self.next_sequence, now, wanted.stages.len()));
            self.next_sequence += 1;
        }
        if let Some(flying) = &mut self.flying
            && flying.stored.is_none()
        {
            match self.gateway.canary(gateway, flying.sequence).await {
                Ok(stored) => {
                    flying.stored = Some((stored.partition, stored.offset));
                    flying.time = stored.time.unwrap_or(flying.sent);
                }
                Err(error) => tracing::debug!(%error, "a canary could not be sent"),
            }
        }
    }

    async fn stage(
        &self,
        wanted: &Wanted,
        watched: &Watched,
    ) -> Result<(StageSeen, Progress), Problem> {
        let ends = wanted
            .kafka
            .end_offsets(&watched.topic, Isolation::ReadCommitted)
            .await?;
        let mut seen = blank(watched);
        seen.end = Some(ends.values().sum());
        let mut progress = Progress {
            ends,
            ..Progress::default()
        };
        match (&watched.group, &wanted.gateway) {
            (Some(group), _) => {
                let committed = wanted.kafka.group_offsets(group, &watched.topic).await?;
                progress.committed = committed
                    .into_iter()
                    .map(|(partition, offset)| (partition, offset.committed))
                    .collect();
                measure(wanted, &mut seen, &mut progress).await?;
            }
            _ if watched.stage == StageName::Served => {
                let waiting = [&self.flying, &self.slow].into_iter().flatten();
                let oldest = waiting.map(|canary| canary.time).min();
                let answered = self.answers.look(&watched.topic, oldest).await;
                seen.problem = answered.problem;
                seen.newest = answered.newest;
                progress.answered = answered.canary;
                if let Some(read) = answered.read {
                    if progress
                        .ends
                        .keys()
                        .all(|partition| read.contains_key(partition))
                    {
                        progress.committed = read;
                        measure(wanted, &mut seen, &mut progress).await?;
                    } else if seen.problem.is_none() {
                        let told = "not all tasks have told how far they have read";
                        seen.problem = Some(told.to_owned());
                    }
                }
            }
            (None, Some(gateway)) if watched.stage == StageName::Notified => {
                let undelivered = self.gateway.undelivered(gateway).await;
                seen.lag = Some(undelivered.map_err(|error| Problem::Gateway(error.to_string()))?);
                progress.is_read = true;
            }
            _ => {}
        }
        Ok((seen, progress))
    }
}

/// Adds what waits behind what is committed.
async fn measure(
    wanted: &Wanted,
    seen: &mut StageSeen,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let topic = &seen.watched.topic;
    progress.waiting = wanted.kafka.waiting(topic, &progress.committed).await?;
    seen.committed = Some(progress.committed.values().sum());
    (seen.lag, seen.lag_time) = lag(progress, Timestamp::now());
    Ok(())
}

/// Why nothing is known of a stage.
enum Problem {
    Kafka(String),
    Topic(String),
    Gateway(String),
}

impl From<KafkaError> for Problem {
    fn from(error: KafkaError) -> Self {
        let told = crate::controller::chain(&error);
        if error.is_unknown_topic() {
            Self::Topic(told)
        } else {
            Self::Kafka(told)
        }
    }
}

fn blank(watched: &Watched) -> StageSeen {
    StageSeen {
        watched: watched.clone(),
        end: None,
        committed: None,
        lag: None,
        lag_time: None,
        newest: None,
        canary: None,
        problem: None,
    }
}

fn unknown(watched: &Watched, problem: &Problem) -> StageSeen {
    let (Problem::Kafka(told) | Problem::Topic(told) | Problem::Gateway(told)) = problem;
    StageSeen {
        problem: Some(told.clone()),
        ..blank(watched)
    }
}

/// How many records wait, and for how long the oldest has.
fn lag(progress: &Progress, now: Timestamp) -> (Option<i64>, Option<Duration>) {
    let ends: &BTreeMap<i32, i64> = &progress.ends;
    let waiting = progress.waiting.iter();
    let records = waiting
        // One that came after the ends were asked for.
        .map(|(partition, record)| {
            (ends.get(partition).copied().unwrap_or(0) - record.offset).max(1)
        })
        .sum();
    let oldest = progress
        .waiting
        .values()
        .map(|record| record.timestamp)
        .min();
    let waited = match oldest {
        // Clocks differ.
        Some(oldest) => u64::try_from(now.as_millisecond() - oldest).unwrap_or(0),
        None => 0,
    };
    (Some(records), Some(Duration::from_millis(waited)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::kafka::Waiting;

    #[test]
    fn lag_counts_from_the_first_record_that_waits() {
        let now = Timestamp::from_millisecond(100_000).unwrap();
        let mut progress = Progress {
            ends: BTreeMap::from([(0, 10), (1, 20)]),
            ..Progress::default()
        };
        assert_eq!(lag(&progress, now), (Some(0), Some(Duration::ZERO)));
        let record = |offset, timestamp| Waiting { offset, timestamp };
        progress.waiting = BTreeMap::from([(0, record(10, 99_000)), (1, record(15, 40_000))]);
        assert_eq!(
            lag(&progress, now),
            (Some(6), Some(Duration::from_secs(60)))
        );
        progress.waiting = BTreeMap::from([(0, record(9, 100_001))]);
        assert_eq!(lag(&progress, now), (Some(1), Some(Duration::ZERO)));
    }
}
