//! One topic into one collection: records are gathered, their documents written, and only then their offsets committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::materialize::{MaterializeConfig, identity_database};
use millrace_contract::{DeadLetter, Kept, Payload, Reason};
use mongodb::Database;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::source::{Target, read};
use super::store::{self, Refused, Update};
use crate::connect::{
    Access, ConnectError, DocumentsAccess, GroupConsumer, GroupEvents, GroupSettings, Member,
    Producer, Record,
};
use crate::server::Health;

const SOURCE: &str = "/millrace/materialize";
/// The longest poll while nothing is gathered.
const IDLE: Duration = Duration::from_millis(500);
/// The wait after the first failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// What all workers share.
pub struct Shared {
    /// The configuration.
    pub config: MaterializeConfig,
    /// Where MongoDB is.
    pub documents: DocumentsAccess,
    /// The client in use; none after a failure, so that the next one sees a password that has changed.
    pub client: Mutex<Option<Databases>>,
    /// For dead letters.
    pub producer: Producer,
    /// What is told.
    pub metrics: Metrics,
    /// Whether it works.
    pub health: Health,
}

/// Where documents go.
#[derive(Debug, Clone)]
pub struct Databases {
    /// All but what leads to persons.
    pub documents: Database,
    /// What leads to persons.
    pub identity: Database,
}

impl Shared {
    /// The databases, their indexes made.
    ///
    /// # Errors
    /// MongoDB is away, or lets nobody in.
    pub async fn databases(&self) -> Result<Databases, String> {
        let mut client = self.client.lock().await;
        if let Some(databases) = &*client {
            return Ok(databases.clone());
        }
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let documents = self.documents.database().await.map_err(|e| told(&e))?;
        let named = self.config.identity_database.as_deref();
        let identity = identity_database(named, documents.name());
        let identity = documents.client().database(&identity);
        let made = store::make_indexes(&documents, &identity).await;
        made.map_err(|e| told(&e))?;
        let databases = Databases {
            documents,
            identity,
        };
        Ok(client.insert(databases).clone())
    }

    /// The next one to ask makes a client anew.
    pub async fn forget_client(&self) {
        *self.client.lock().await = None;
    }
}

/// The worker of one topic.
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// The topic.
    pub topic: String,
    /// What it becomes.
    pub target: Target,
    /// Where Kafka is.
    pub kafka: Access,
    /// The name that the broker's log shows.
    pub client_id: String,
    /// Where requests to MongoDB run.
    pub runtime: Handle,
    /// Told to stop.
    pub stop: CancellationToken,
}

/// A record without its value, which took so many bytes.
#[derive(Debug, Clone)]
struct Place {
    record: Record,
    bytes: usize,
}

/// Records that were read and are not written yet.
#[derive(Default)]
struct Batch {
    updates: Vec<Update<Place>>,
    unreadable: Vec<Refused<Place>>,
    next: BTreeMap<i32, i64>,
    since: Option<Instant>,
    /// The assignment that they belong to.
    assignment: u64,
}

impl Batch {
    fn records(&self) -> usize {
        self.updates.len() + self.unreadable.len()
    }

    fn take(&mut self, collection: &'static str, mut record: Record) {
        self.since.get_or_insert_with(Instant::now);
        self.next.insert(record.partition, record.offset + 1);
        let read = read(collection, &record);
        let bytes = record.payload.take().map_or(0, |payload| payload.len());
        let record = Place { record, bytes };
        match read {
            Ok(None) => {}
            Ok(Some((id, said))) => self.updates.push(Update { id, said, record }),
            Err(invalid) => {
                let problem = invalid.to_string();
                self.unreadable.push(Refused { record, problem });
            }
        }
    }

    fn wait(&self, config: &MaterializeConfig) -> Duration {
        match self.since {
            None => IDLE,
            Some(_) if self.records() >= config.records => Duration::ZERO,
            Some(since) => config.window.0.saturating_sub(since.elapsed()),
        }
    }
}

struct Events {
    shared: Arc<Shared>,
    collection: &'static str,
    assignment: AtomicU64,
}

impl GroupEvents for Events {
    fn assigned(&self, _: &[i32]) {
        self.shared.health.ready(self.collection);
    }

    fn revoked(&self, _: &Member<'_>, partitions: &[i32], _: bool) {
        // What is gathered and not written is read again by whoever has its partition next.
        self.assignment.fetch_add(1, Ordering::SeqCst);
        let shared = &self.shared;
        shared.health.waiting(
            self.collection,
            "waiting for the group to assign partitions",
        );
        shared.metrics.forget_lag(self.collection, partitions);
    }

    fn lag(&self, partition: i32, records: i64) {
        self.shared.metrics.lag(self.collection, partition, records);
    }
}

impl Worker {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// The settings cannot be used, or the consumer is of no use any more.
    pub fn run(self) -> Result<(), ConnectError> {
        while !self.stop.is_cancelled() {
            self.session()?;
        }
        Ok(())
    }

    // One membership, until the worker is stopped or the login has changed.
    fn session(&self) -> Result<(), ConnectError> {
        let generation = self.kafka.generation();
        let config = &self.shared.config;
        let settings = GroupSettings {
            access: self.kafka.clone(),
            client_id: self.client_id.clone(),
            // Each topic is a group of its own, so that one that is slow does not hold up the others.
            group: format!("{}-{}", config.group, self.target.collection),
            topic: self.topic.clone(),
            session_timeout: config.session_timeout.0,
            hold: false,
            since: None,
            tell_end: false,
        };
        self.shared.health.waiting(
            self.target.collection,
            "waiting for the group to assign partitions",
        );
        let events = Events {
            shared: Arc::clone(&self.shared),
            collection: self.target.collection,
            assignment: AtomicU64::new(0),
        };
        let consumer = GroupConsumer::join(&settings, events)?;
        let mut batch = Batch::default();
        while !self.stop.is_cancelled() && self.kafka.generation() == generation {
            let wait = batch.wait(config);
            self.poll(&consumer, &mut batch, wait)?;
            if batch.since.is_some() && batch.wait(config).is_zero() {
                self.write(&consumer, &mut batch)?;
            }
        }
        if batch.since.is_some() {
            self.write(&consumer, &mut batch)?;
        }
        Ok(())
    }

    // Takes in one record, if there is one within `wait`.
    fn poll(
        &self,
        consumer: &GroupConsumer<Events>,
        batch: &mut Batch,
        wait: Duration,
    ) -> Result<(), ConnectError> {
        let polled = match consumer.poll(wait) {
            Ok(record) => record.map(|record| record.to_record()),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "reading");
                None
            }
        };
        let assignment = consumer.events().assignment.load(Ordering::SeqCst);
        if batch.assignment != assignment {
            *batch = Batch {
                assignment,
                ..Batch::default()
            };
        }
        if let Some(record) = polled {
            batch.take(self.target.collection, record);
        }
        Ok(())
    }

    // Writes what is gathered, however long that takes, and commits it. Polling goes on meanwhile, or the group takes the
    // member for dead; when its partitions go elsewhere, what is gathered goes with them.
    fn write(
        &self,
        consumer: &GroupConsumer<Events>,
        batch: &mut Batch,
    ) -> Result<(), ConnectError> {
        let shared = &self.shared;
        let longest = shared.config.longest_wait.0;
        let (mut wait, mut paused) = (FIRST_WAIT, false);
        while batch.since.is_some() {
            let problem = match self.runtime.block_on(self.attempt(batch)) {
                Ok(documents) => {
                    let seconds = batch
                        .since
                        .map_or(0.0, |since| since.elapsed().as_secs_f64());
                    shared.metrics.written(
                        self.target.collection,
                        batch.records(),
                        documents,
                        seconds,
                    );
                    break;
                }
                Err(problem) => problem,
            };
            tracing::warn!(
                collection = self.target.collection,
                problem,
                "not written; it is tried again"
            );
            shared.metrics.retry(self.target.collection);
            shared.health.waiting(self.target.collection, problem);
            if self.stop.is_cancelled() {
                // Nothing is lost: what is not committed is read again.
                *batch = Batch::default();
                return Ok(());
            }
            if !paused {
                paused = consumer.pause(true).is_ok();
            }
            let until = Instant::now() + wait;
            wait = (wait * 2).min(longest);
            while Instant::now() < until && !self.stop.is_cancelled() {
                self.poll(consumer, batch, Duration::from_millis(100))?;
            }
        }
        shared.health.ready(self.target.collection);
        if paused && let Err(error) = consumer.pause(false) {
            tracing::warn!(%error, "reading cannot be resumed");
        }
        let next: Vec<(i32, i64)> = std::mem::take(&mut batch.next).into_iter().collect();
        if let Err(error) = consumer.commit(&next) {
            tracing::warn!(%error, "offsets were not committed; these records are read again after a restart");
        }
        *batch = Batch {
            assignment: batch.assignment,
            ..Batch::default()
        };
        Ok(())
    }

    // Gives how many documents were made or changed.
    async fn attempt(&self, batch: &Batch) -> Result<usize, String> {
        let shared = &self.shared;
        let databases = shared.databases().await?;
        let database = if self.target.identity {
            &databases.identity
        } else {
            &databases.documents
        };
        let written = match store::merge(database, self.target.collection, &batch.updates).await {
            Ok(written) => written,
            Err(error) => {
                shared.forget_client().await;
                return Err(error.to_string());
            }
        };
        for refused in batch.unreadable.iter().chain(&written.refused) {
            self.bury(refused).await?;
        }
        Ok(written.documents)
    }

    async fn bury(&self, refused: &Refused<Place>) -> Result<(), String> {
        let Place { record, bytes } = &refused.record;
        let letter = DeadLetter {
            reason: Reason {
                field: None,
                value: None,
                problem: refused.problem.clone(),
                cure: "correct who writes the topic, then redrive the record from where it lies"
                    .to_owned(),
            },
            source_topic_or_channel: record.topic.clone(),
            vehicle: None,
            received_at: jiff::Timestamp::now(),
            attempts: 1,
            payload: Payload::Clear(record.place(*bytes)),
            kept: Some(Kept::Place),
            origin: Some(record.origin()),
        };
        let id = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let headers = CloudEvent::of_dead_letter(&letter, id.clone(), SOURCE).headers();
        let value = serde_json::to_vec(&letter).map_err(|error| error.to_string())?;
        let topic = &self.shared.config.dead_letter_topic;
        let sent = self
            .shared
            .producer
            .send(topic, &id, &headers, &value, None)
            .await;
        sent.map_err(|error| format!("topic {topic}: {error}"))?;
        self.shared.metrics.dead_letter(self.target.collection);
        Ok(())
    }
}
