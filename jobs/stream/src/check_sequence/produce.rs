//! Writes the numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Place;
use super::content::{Body, Content};
use super::ledger::{Gap, Produced};
use crate::connect::{Access, ConnectError, Delivery, Lookup, Producer};

const CLIENT_ID: &str = "millrace-check-sequence";
const TICK: Duration = Duration::from_millis(10);
const TICKS_A_SECOND: u64 = 100;
/// Records that wait for an acknowledgement. With more, an outage would only make a longer queue.
const IN_FLIGHT: u32 = 2000;
const TELL_AGAIN: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Flags of produce.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) place: Place,
    /// Records a second, over all partitions
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Bytes of a record
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    size: u32,
    /// Writes telemetry of simulated cars, one for each partition, instead of lines of text
    #[arg(long, conflicts_with = "size")]
    telemetry: bool,
    /// Ends after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Default)]
struct Counted {
    produced: Produced,
    gap: Gap,
    // Thousands may fail at once: one line a second is enough.
    told: Option<Instant>,
}

type Shared = Arc<Mutex<Counted>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Counted> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn run(
    options: &Options,
    access: &Access,
    stop: &CancellationToken,
) -> anyhow::Result<Produced> {
    let place = &options.place;
    let shared = Shared::default();
    let started = Instant::now();
    let lookup = Lookup::new(access, CLIENT_ID)?;
    if let Some(partitions) = place.partitions(&lookup, stop).await? {
        tracing::info!(topic = place.topic, partitions, "writing");
        let producer = Producer::new(access, CLIENT_ID)?;
        write(options, partitions, &producer, &shared, stop).await?;
        if let Some(why) = producer.fatal() {
            tracing::error!(why, "the producer is of no use any more");
        }
    }
    let mut counted = lock(&shared);
    let mut produced = std::mem::take(&mut counted.produced);
    produced.run.clone_from(&place.run);
    produced.topic.clone_from(&place.topic);
    produced.longest_gap_ms = counted.gap.milliseconds();
    produced.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(produced)
}

// Comes back when every record has been acknowledged or has failed.
async fn write(
    options: &Options,
    partitions: i32,
    producer: &Producer,
    shared: &Shared,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(IN_FLIGHT as usize));
    let content = if options.telemetry {
        Content::cars(&options.place.run, partitions)?
    } else {
        Content::text(options.size)
    };
    let mut next: BTreeMap<i32, u64> = (0..partitions).map(|p| (p, 0)).collect();
    let mut turns = (0..partitions).cycle();
    let (mut sent, mut owed) = (0_u64, 0_u64);
    let mut told = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    'all: loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        owed += options.rate;
        while owed >= TICKS_A_SECOND {
            owed -= TICKS_A_SECOND;
            if options.count.is_some_and(|count| sent >= count) {
                break 'all;
            }
            let permit = tokio::select! {
                () = stop.cancelled() => break 'all,
                permit = Arc::clone(&places).acquire_owned() => permit?,
            };
            let partition = turns.next().unwrap_or_default();
            let number = next.entry(partition).or_default();
            match enqueue(options, &content, producer, partition, *number).await {
                Ok(delivery) => {
                    let (shared, number) = (Arc::clone(shared), *number);
                    tokio::spawn(async move {
                        let result = delivery.acknowledged().await;
                        count(&shared, partition, number, result.map(|_| ()));
                        drop(permit);
                    });
                }
                Err(error) => count(shared, partition, *number, Err(error)),
            }
            *number += 1;
            sent += 1;
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let counted = lock(shared);
            let (acknowledged, failed) = (counted.produced.acknowledged, counted.produced.failed);
            let longest_gap_ms = counted.gap.milliseconds();
            drop(counted);
            tracing::info!(sent, acknowledged, failed, longest_gap_ms, "writing");
        }
    }
    // The last of them have had their time by then.
    let _all = places.acquire_many(IN_FLIGHT).await?;
    Ok(())
}

async fn enqueue(
    options: &Options,
    content: &Content,
    producer: &Producer,
    partition: i32,
    number: u64,
) -> Result<Delivery, ConnectError> {
    let Body {
        key,
        headers,
        payload,
    } = content.body(&options.place.run, partition, number);
    loop {
        let put = producer.enqueue(
            &options.place.topic,
            &key,
            &headers,
            Some(&payload),
            Some(partition),
        );
        match put {
            Err(error) if error.is_queue_full() => tokio::time::sleep(TICK).await,
            done => return done,
        }
    }
}

fn count(shared: &Shared, partition: i32, number: u64, result: Result<(), ConnectError>) {
    let mut counted = lock(shared);
    match result {
        Ok(()) => {
            counted.gap.now();
            counted.produced.acknowledged += 1;
            let numbers = &mut counted.produced.acknowledged_numbers;
            numbers.entry(partition).or_default().add(number);
        }
        Err(error) => {
            counted.produced.failed += 1;
            let told = counted.told.is_some_and(|at| at.elapsed() < TELL_AGAIN);
            if !told {
                counted.told = Some(Instant::now());
                let failed = counted.produced.failed;
                tracing::warn!(partition, number, failed, %error, "not acknowledged");
            }
        }
    }
}
