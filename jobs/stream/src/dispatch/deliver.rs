//! Records to their end: success, dead letter, or given up because somebody else will do it.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_condition::Condition;
use millrace_contract::{Invalid, Reason};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::body::{self, Item, ONLY_GROUP};
use super::config::{DispatchConfig, Target};
use super::follow::Follower;
use super::lanes::Ticket;
use super::letters;
use super::metrics::{Metrics, Retry};
use super::parts::{Brought, Held, Part, next};
use super::whisk::{Answer, Failure, Whisk};
use crate::connect::{Producer, Record};
use crate::server::Health;

const OPENWHISK: &str = "openwhisk";

/// A record that was taken in: readable, or with the reason why not.
pub type Entry = Result<Item, Box<(Record, Invalid)>>;

/// The partitions were given away; what is not finished will be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// The place of a batch among the invocations that may be under way at once.
pub trait Turn: Sync {
    /// A record needs nothing more.
    fn finished(&self, ticket: &Ticket);
    /// A record has failed, not because of another key's, and is tried again.
    fn failed(&self, ticket: &Ticket);
    /// Gives the place to others until [`Turn::enter`].
    fn leave(&self);
    /// Waits for a place.
    fn enter(&self) -> impl Future<Output = ()> + Send;
}

/// Brings records to the action or trigger.
pub struct Deliverer {
    /// The platform.
    pub whisk: Whisk,
    /// For dead letters.
    pub producer: Producer,
    /// What is configured.
    pub config: DispatchConfig,
    /// What is invoked.
    pub target: Target,
    /// Which records are wanted; all when absent.
    pub filter: Option<Condition>,
    /// Waiting times.
    pub backoff: Backoff,
    /// What is measured.
    pub metrics: Metrics,
    /// What is told of readiness.
    pub health: Health,
}

impl Deliverer {
    /// The record with its value, or nothing when the filter leaves it out or it is for another group.
    pub fn take_in(&self, record: Record) -> Option<Entry> {
        if record
            .header(ONLY_GROUP)
            .is_some_and(|group| group != self.config.group)
        {
            self.metrics.filtered.inc();
            return None;
        }
        let entry = Item::read(record);
        if let (Some(filter), Ok(item)) = (&self.filter, &entry)
            && !filter.holds(&item.value)
        {
            self.metrics.filtered.inc();
            return None;
        }
        Some(entry)
    }

    /// Tries until every record of the batch is finished and `turn` was told so, or `gone` says that they
    /// are no longer ours. An invocation under way is waited for even then. The batch has its place when this is called.
    ///
    /// # Errors
    /// They are no longer ours.
    pub async fn deliver(
        &self,
        batch: Vec<(Ticket, Entry)>,
        gone: &CancellationToken,
        turn: &impl Turn,
    ) -> Result<(), Gone> {
        let mut held = Vec::with_capacity(batch.len());
        for (ticket, entry) in batch {
            match entry {
                Ok(item) => held.push(Held {
                    ticket,
                    item,
                    tries: 0,
                }),
                Err(unreadable) => {
                    self.bury_unreadable(&ticket, *unreadable, turn, gone)
                        .await?;
                }
            }
        }
        // One part after the other, for records of one vehicle may lie in several. While one waits to be tried again,
        // those go that have no vehicle in common with it.
        let mut parts = VecDeque::from([Part::new(held)]);
        while !parts.is_empty() {
            let index = match next(&parts, Instant::now()) {
                Ok(index) => index,
                Err(wait) => {
                    self.pause(wait, turn, gone).await?;
                    continue;
                }
            };
            let Some(part) = parts.remove(index) else {
                continue;
            };
            match self.bring(part, gone, turn).await? {
                Brought::Done => {}
                Brought::Split(split) => {
                    for half in split.into_iter().rev() {
                        parts.insert(index, half);
                    }
                }
                Brought::Again(mut part) => {
                    part.due = Some(Instant::now() + self.backoff.random_delay(part.failed));
                    parts.insert(index, part);
                }
            }
        }
        Ok(())
    }

    // One invocation, repeated only while none can be made.
    async fn bring(
        &self,
        mut part: Part,
        gone: &CancellationToken,
        turn: &impl Turn,
    ) -> Result<Brought, Gone> {
        let mut away = 0_u32;
        loop {
            self.bury_old(&mut part, gone, turn).await?;
            let Some(first) = part.held.first() else {
                return Ok(Brought::Done);
            };
            if gone.is_cancelled() {
                return Err(Gone);
            }
            let body = match self.config.batch {
                Some(_) => body::batch(part.held.iter().map(|held| &held.item)),
                None => body::single(&first.item),
            };
            let answer = self.send(&body, part.held.len(), gone).await;
            let failure = match answer {
                Answer::Succeeded(result) => {
                    self.health.ready(OPENWHISK);
                    match self.failed_of(&part, &result) {
                        Ok(failed) => {
                            part.held.retain(|held| {
                                let retry = failed.contains(&held.item.identifier());
                                if !retry {
                                    self.succeeded(&held.item);
                                    turn.finished(&held.ticket);
                                }
                                retry
                            });
                            if part.held.is_empty() {
                                return Ok(Brought::Done);
                            }
                            Failure::of_action(format!(
                                "the action named {} records of the batch in batchItemFailures",
                                part.held.len()
                            ))
                        }
                        Err(problem) => Failure::of_action(problem),
                    }
                }
                Answer::Failed(why) => {
                    self.health.ready(OPENWHISK);
                    if self.config.bisect && part.held.len() > 1 {
                        return Ok(Brought::Split(self.split(part, &why)));
                    }
                    why
                }
                Answer::Refused(why) => {
                    // Too large together is not too large alone.
                    if part.held.len() > 1 {
                        return Ok(Brought::Split(self.split(part, &why)));
                    }
                    part.failed = self.config.attempts.0;
                    why
                }
                Answer::NoSuchTarget => {
                    away += 1;
                    let why = format!("{} does not exist; create it", self.target);
                    self.wait_for(Retry::NoSuchTarget, why, away, turn, gone)
                        .await?;
                    continue;
                }
                Answer::Unavailable(why) => {
                    away += 1;
                    self.wait_for(Retry::Unavailable, why, away, turn, gone)
                        .await?;
                    continue;
                }
                // Only when the waiting for a record was ended.
                Answer::Later(_) | Answer::Fired(_) | Answer::NoRecordYet => return Err(Gone),
            };
            part.failed += 1;
            part.held.iter_mut().for_each(|held| held.tries += 1);
            self.log(&part, &failure);
            if part.failed >= self.config.attempts.0 {
                for held in part.held {
                    let reason = self.exhausted(&failure, held.tries);
                    let group = &self.config.group;
                    let letter = letters::of_item(&held.item, group, reason, held.tries);
                    self.bury(&held.item.record, letter, turn, gone).await?;
                    turn.finished(&held.ticket);
                }
                return Ok(Brought::Done);
            }
            self.metrics.retry(Retry::Failed);
            let first = part.lanes().next();
            if part.lanes().all(|lane| Some(lane) == first) {
                part.held.iter().for_each(|held| turn.failed(&held.ticket));
            }
            return Ok(Brought::Again(part));
        }
    }

    async fn send(&self, body: &Value, records: usize, gone: &CancellationToken) -> Answer {
        let started = Instant::now();
        let follower = Follower {
            whisk: &self.whisk,
            limit: self.config.limits.activation_timeout.0,
            gone,
        };
        let answer = match self.whisk.send(body).await {
            Answer::Later(activation) => follower.action(&activation).await,
            Answer::Fired(activation) => follower.trigger(&activation).await,
            answer => answer,
        };
        #[allow(clippy::cast_precision_loss)] // a batch has at most 10,000 records
        self.metrics.batch.observe(records as f64);
        self.metrics
            .invocation
            .observe(started.elapsed().as_secs_f64());
        answer
    }

    // The records that the action names as failed; all have failed when it names one that is not there.
    fn failed_of(&self, part: &Part, result: &Value) -> Result<BTreeSet<String>, String> {
        if !self.config.partial_failure {
            return Ok(BTreeSet::new());
        }
        let told = match &result["batchItemFailures"] {
            Value::Null => return Ok(BTreeSet::new()),
            Value::Array(told) => told,
            _ => return Err("batchItemFailures in the action's result is no array".to_owned()),
        };
        let known: BTreeSet<String> = part.held.iter().map(|h| h.item.identifier()).collect();
        let mut failed = BTreeSet::new();
        for entry in told {
            match entry["itemIdentifier"].as_str() {
                Some(id) if known.contains(id) => failed.insert(id.to_owned()),
                _ => {
                    let entry = Invalid::new("batchItemFailures", entry.to_string(), "", "").value;
                    return Err(format!(
                        "batchItemFailures names a record that is not in the batch: {entry}; \
                         an itemIdentifier is TOPIC-PARTITION-OFFSET"
                    ));
                }
            };
        }
        Ok(failed)
    }

    // Splitting counts as no attempt: it finds out whose fault it is.
    fn split(&self, mut part: Part, why: &Failure) -> Vec<Part> {
        tracing::warn!(
            to = %self.target,
            records = part.held.len(),
            problem = why.problem,
            "a batch failed and is split"
        );
        self.metrics.retry(Retry::Split);
        part.held.iter_mut().for_each(|held| held.tries += 1);
        let second = part.held.split_off(part.held.len().div_ceil(2));
        [part.held, second].map(Part::new).into()
    }

    async fn wait_for(
        &self,
        retry: Retry,
        why: String,
        times: u32,
        turn: &impl Turn,
        gone: &CancellationToken,
    ) -> Result<(), Gone> {
        self.metrics.retry(retry);
        // The first time and then ever more rarely: many records wait for one platform.
        if times.is_power_of_two() {
            tracing::warn!(why, times, "waiting for OpenWhisk");
        }
        self.health.waiting(OPENWHISK, why);
        self.pause(self.backoff.random_delay(times), turn, gone)
            .await
    }

    // Others may go meanwhile: what fails for long is not to keep from its turn what would not.
    pub(super) async fn pause(
        &self,
        wait: Duration,
        turn: &impl Turn,
        gone: &CancellationToken,
    ) -> Result<(), Gone> {
        turn.leave();
        let again = async {
            tokio::time::sleep(wait).await;
            turn.enter().await;
        };
        tokio::select! {
            () = gone.cancelled() => Err(Gone),
            () = again => Ok(()),
        }
    }

    fn succeeded(&self, item: &Item) {
        self.metrics.delivered.inc();
        tracing::debug!(
            to = %self.target,
            record = item.identifier(),
            trace = item.trace_id(),
            "delivered"
        );
        let Some(then) = item.record.timestamp_ms else {
            return;
        };
        #[allow(clippy::cast_precision_loss)] // milliseconds of delay are far below 2^52
        let seconds = (Timestamp::now().as_millisecond() - then).max(0) as f64 / 1000.0;
        self.metrics.latency.observe(seconds);
    }

    fn log(&self, part: &Part, why: &Failure) {
        let first = part.held.first().map(|held| &held.item);
        tracing::warn!(
            to = %self.target,
            first = first.map(Item::identifier),
            trace = first.and_then(Item::trace_id),
            records = part.held.len(),
            attempt = part.failed,
            problem = why.problem,
            "failed"
        );
    }

    fn exhausted(&self, why: &Failure, attempts: u32) -> Reason {
        let (field, name) = match &self.target {
            Target::Action(name) => ("action", name),
            Target::Trigger(name) => ("trigger", name),
        };
        Reason {
            field: Some(field.to_owned()),
            value: Some(name.clone()),
            problem: format!("failed {attempts} times, at last: {}", why.problem),
            cure: why.cure.to_owned(),
        }
    }
}
