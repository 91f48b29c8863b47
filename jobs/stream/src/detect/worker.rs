//! The thread that polls: joins the group, restores what it is given, processes, commits.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millrace_analytics::Detector;
use tokio_util::sync::CancellationToken;

use super::config::DetectConfig;
use super::engine::{Engine, EngineError};
use super::metrics::Metrics;
use super::rules::{Look, Source};
use super::states::States;
use crate::connect::{
    Access, ConnectError, GroupConsumer, GroupEvents, GroupSettings, Member, TransactionalProducer,
    read_to_end,
};
use crate::server::Health;

const PARTITIONS: &str = "partitions";
const TAKE_OVER: &str = "transactional id";
const IDLE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

/// Everything a worker needs.
pub struct Worker {
    /// The configuration.
    pub config: DetectConfig,
    /// Where rules and zones are read again.
    pub source: Source,
    /// Rules and zones in force.
    pub detector: Detector,
    /// Where Kafka is and how to log in.
    pub access: Access,
    /// Distinguishes this process from the others of the group; equal again after a restart.
    pub instance: String,
    /// What is told of readiness.
    pub health: Health,
    /// What is measured.
    pub metrics: Metrics,
    /// Ends the worker.
    pub stop: CancellationToken,
}

// What the group has done, to be acted upon after the poll that told it.
#[derive(Default)]
struct Changes {
    assigned: Option<Vec<i32>>,
    failure: Option<EngineError>,
}

struct Events {
    engine: Mutex<Engine>,
    changes: Mutex<Changes>,
    // Counts assignments and revocations, so that a restore knows when it has become pointless.
    epoch: AtomicU64,
    metrics: Metrics,
    health: Health,
}

impl Events {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupEvents for Events {
    fn assigned(&self, partitions: &[i32]) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.health.waiting(PARTITIONS, "states are being restored");
        self.changes().assigned = Some(partitions.to_vec());
    }

    // What is processed is committed while the partitions are still ours, so that the next owner need not
    // do it again. When that fails nothing is lost: it starts at the last commit.
    fn revoked(&self, member: &Member<'_>, _: &[i32], lost: bool) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.health
            .waiting(PARTITIONS, "waiting for the group to assign partitions");
        let mut engine = self.engine();
        if let (false, Some(membership)) = (lost, member.membership())
            && let Err(error) = engine.flush(&membership)
        {
            tracing::warn!(%error, "the last transaction before the hand-over was aborted");
            if error.is_fatal() {
                self.changes().failure = Some(error);
            }
        }
        engine.clear();
        self.changes().assigned = None;
        self.metrics.forget_lag();
    }

    fn at_end(&self, partition: i32) {
        self.engine().at_end(partition);
    }

    fn lag(&self, partition: i32, records: i64) {
        self.metrics.lag(partition, records);
    }
}

impl Worker {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// The transactional id was taken over by another process, or the settings cannot be used.
    pub fn run(mut self) -> Result<(), EngineError> {
        let mut failures = 0_u32;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            // It ends in order when it is stopped, and when the login has changed.
            let Err(error) = self.session() else {
                continue;
            };
            // A broker that was away for longer than the transaction's time-out fences us as another
            // process would. A new producer cures the one; the other repeats, and then the process ends.
            if started.elapsed() > Duration::from_secs(60) {
                failures = 0;
            }
            failures += 1;
            if failures > 5 {
                return Err(error);
            }
            tracing::error!(%error, failures, "starting over with a new producer");
            self.health.waiting(TAKE_OVER, error.to_string());
            self.sleep(PAUSE * failures);
        }
        Ok(())
    }

    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.stop.is_cancelled() {
            std::thread::sleep(IDLE.min(time));
        }
    }

    fn session(&mut self) -> Result<(), EngineError> {
        let generation = self.access.generation();
        let Some(producer) = self.producer(generation)? else {
            return Ok(());
        };
        let consumer = self.join(producer)?;
        while self.goes_on(generation) {
            self.reload(&consumer);
            let assigned = {
                let mut changes = consumer.events().changes();
                if let Some(failure) = changes.failure.take() {
                    return Err(failure);
                }
                changes.assigned.take()
            };
            if let Some(partitions) = assigned {
                self.restore(&consumer, &partitions, generation)?;
            }
            if self.step(&consumer)?.is_break() {
                self.start_over(&consumer)?;
            }
        }
        // Leaving the group hands over in order: what is processed is committed by `revoked`.
        drop(consumer);
        Ok(())
    }

    fn goes_on(&self, generation: u64) -> bool {
        !self.stop.is_cancelled() && self.access.generation() == generation
    }

    // Fences the predecessor, so that its open transaction ends before anything is read.
    fn producer(&self, generation: u64) -> Result<Option<TransactionalProducer>, EngineError> {
        let id = format!("{}-{}", self.config.group, self.instance);
        let client = format!("millrace-detect-{}", self.instance);
        let producer = TransactionalProducer::new(
            &self.access,
            &client,
            &id,
            self.config.transaction_timeout.0,
        )?;
        while self.goes_on(generation) {
            match producer.init(Duration::from_secs(5)) {
                Ok(()) => {
                    self.health.ready(TAKE_OVER);
                    return Ok(Some(producer));
                }
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "waiting for Kafka");
                    self.health.waiting(TAKE_OVER, error.to_string());
                    self.sleep(PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn join(&self, producer: TransactionalProducer) -> Result<GroupConsumer<Events>, EngineError> {
        let config = &self.config;
        let events = Events {
            engine: Mutex::new(Engine::new(
                producer,
                config.clone(),
                self.detector.clone(),
                self.metrics.clone(),
            )),
            changes: Mutex::default(),
            epoch: AtomicU64::new(0),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        self.health
            .waiting(PARTITIONS, "waiting for the group to assign partitions");
        let settings = GroupSettings {
            access: self.access.clone(),
            client_id: format!("millrace-detect-{}", self.instance),
            group: config.group.clone(),
            topic: config.telemetry_topic.clone(),
            session_timeout: config.session_timeout.0,
            hold: true,
            since: None,
            tell_end: true,
        };
        Ok(GroupConsumer::join(&settings, events)?)
    }

    fn reload(&mut self, consumer: &GroupConsumer<Events>) {
        match self.source.look() {
            Look::Same => {}
            Look::New(loaded) => {
                tracing::info!(zones = loaded.zones, "new rules and zones are in force");
                self.metrics.rules_reloaded.inc();
                self.metrics.loaded(loaded.zones);
                self.detector = loaded.detector.clone();
                consumer.events().engine().set_detector(loaded.detector);
            }
            Look::Refused(why) => {
                tracing::error!(
                    why,
                    "new rules or zones are refused; the last good ones stay in force"
                );
                self.metrics.rejected();
            }
        }
    }

    // One poll, and a commit when it is due. Breaks when the transaction was aborted.
    fn step(&self, consumer: &GroupConsumer<Events>) -> Result<ControlFlow<()>, EngineError> {
        let wait = consumer.events().engine().wait().unwrap_or(IDLE).min(IDLE);
        match consumer.poll(wait) {
            Ok(Some(record)) => consumer.events().engine().process(&record),
            Ok(None) => {}
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "reading telemetry"),
        }
        let mut engine = consumer.events().engine();
        engine.tick();
        if !engine.is_due() {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(member) = consumer.membership() else {
            return Ok(ControlFlow::Continue(()));
        };
        match engine.flush(&member) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) if error.is_fatal() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the transaction was aborted; its events are read again");
                Ok(ControlFlow::Break(()))
            }
        }
    }

    // After an abort memory is ahead of Kafka: all is given up and read again from the last commit.
    fn start_over(&self, consumer: &GroupConsumer<Events>) -> Result<(), EngineError> {
        let partitions = consumer.positions()?;
        consumer.hold()?;
        consumer.events().engine().clear();
        self.health.waiting(
            PARTITIONS,
            "states are being restored after an aborted transaction",
        );
        self.sleep(PAUSE);
        let mut changes = consumer.events().changes();
        // A rebalance in between brings an assignment of its own.
        changes.assigned.get_or_insert(partitions);
        Ok(())
    }

    // First the committed offsets, after all transactions on them have ended; then the states, up to where
    // they were written at that time and without open transactions. In the other order a predecessor's last
    // commit could fall between the two, and its events would be missing from the states.
    fn restore(
        &self,
        consumer: &GroupConsumer<Events>,
        partitions: &[i32],
        generation: u64,
    ) -> Result<(), EngineError> {
        let started = Instant::now();
        let epoch = consumer.events().epoch.load(Ordering::SeqCst);
        let mut meanwhile = || {
            // Nothing is read while the partitions are held; this serves the group's events.
            if let Err(error) = consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, "while restoring");
            }
            let moved_on = consumer.events().epoch.load(Ordering::SeqCst) != epoch;
            if moved_on || !self.goes_on(generation) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        loop {
            let attempt = self.read_back(consumer, partitions, &mut meanwhile);
            match attempt {
                Ok(Some((positions, states))) => {
                    if meanwhile().is_break() {
                        return Ok(());
                    }
                    let vehicles = states.count();
                    consumer.events().engine().install(states, &positions);
                    consumer.start(&positions)?;
                    let seconds = started.elapsed().as_secs_f64();
                    self.metrics.restore.observe(seconds);
                    self.health.ready(PARTITIONS);
                    tracing::info!(?partitions, vehicles, seconds, "restored");
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "states cannot be restored yet");
                    self.health
                        .waiting(PARTITIONS, format!("states cannot be restored: {error}"));
                    self.sleep(PAUSE);
                    if meanwhile().is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn read_back(
        &self,
        consumer: &GroupConsumer<Events>,
        partitions: &[i32],
        meanwhile: &mut impl FnMut() -> ControlFlow<()>,
    ) -> Result<Option<(Positions, States)>, ConnectError> {
        let positions = consumer.committed(partitions)?;
        let mut states = States::default();
        let client = format!("millrace-detect-{}-restore", self.instance);
        let topic = &self.config.state_topic;
        let whole = read_to_end(
            &self.access,
            &client,
            topic,
            partitions,
            |record| {
                let vehicle = record.key().and_then(|k| std::str::from_utf8(k).ok());
                let Some(vehicle) = vehicle else { return };
                if let Err(error) = states.restore(record.partition(), vehicle, record.payload()) {
                    tracing::error!(vehicle, %error, "the state cannot be read; the vehicle starts afresh");
                    self.metrics.states_refused.inc();
                }
            },
            meanwhile,
        )?;
        Ok(whole.then_some((positions, states)))
    }
}

type Positions = Vec<(i32, Option<i64>)>;
