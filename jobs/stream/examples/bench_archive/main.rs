//! How fast `archive` is, beside a bare consumer of the same records and beside Spark, on the same machine, in the same run. Only
//! the ratios say something.
//!
//! `cargo build --release -p millrace-stream --bins`, then
//! `cargo run --release -p millrace-stream --example bench_archive -- [EVENTS] [VEHICLES] [TURNS]`
//!
//! - `archive_events_per_second`: a backlog from Kafka to committed Parquet files in HDFS (in a local folder where HDFS is not
//!   to be had), beside a consumer that counts. EVENTS (8,000,000) of VEHICLES (500), as the gateway writes them, over six
//!   hours; the median of TURNS (3) each.
//! - `archive_over_spark`: the same, beside a structured stream of Spark into the same HDFS. Only with
//!   `MILLRACE_SPARK_PYTHON` and `MILLRACE_SPARK_JARS` (bench/README.md).
//! - `archive_resident_mb`: the highest resident memory of the process, beside that of Spark's JVM.
//!
//! A line each: name, ours, the peer's, ours divided by the peer's.

#[path = "../bench_support/mod.rs"]
mod bench_support;
mod job;
mod spark;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench_support::{Ignored, create_topics, enqueue, group, line, median, rate};
use job::{Lake, processor_time};
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, codec};
use millrace_stream::connect::{GroupConsumer, GroupSettings, Producer};
use millrace_testkit::{Hdfs, Kafka};
use spark::Spark;

/// Spark takes in one in so many of the events, from the beginning, so that a run has an end.
const SPARKS_PART: u64 = 4;

const LIMIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers
        .next()
        .transpose()?
        .unwrap_or(8_000_000)
        .max(100_000);
    let vehicles = numbers.next().transpose()?.unwrap_or(500).clamp(1, events);
    let turns = numbers.next().transpose()?.unwrap_or(3).max(1);
    let Some(kafka) = Kafka::start()? else {
        return Ok(());
    };
    let hdfs = Hdfs::start()?;
    let bootstrap = kafka.bootstrap();
    let directory = tempfile::tempdir()?;
    let lake = Lake::new(hdfs.as_ref(), directory.path());
    create_topics(&bootstrap, &[("telemetry", false)]).await?;
    let bytes = fill(&bootstrap, events, vehicles).await?;
    eprintln!(
        "{events} events of {vehicles} vehicles, {} bytes each, to {}",
        bytes / events,
        lake.uri()
    );
    let peer = Spark::find().filter(|_| hdfs.is_some());
    let (mut ours, mut bare_rates, mut spark_rates) = (Vec::new(), Vec::new(), Vec::new());
    let (mut resident, mut spark_resident) = (0, 0);
    for turn in 0..turns {
        let settings = group(&bootstrap, &format!("bare-{turn}"), "telemetry");
        let bare = tokio::task::spawn_blocking(move || bare(&settings, events)).await??;
        let own = lake.archived(&bootstrap, turn, events).await?;
        eprintln!(
            "turn {turn}: archive {:.0} a second, {:.2} us processor time an event, {} MB, {:.1} s for the last commit; \
             bare consumer {:.0} a second, {:.2} us",
            own.rate,
            micros(own.processor, events),
            own.memory,
            own.last_commit.as_secs_f64(),
            bare.0,
            micros(bare.1, events),
        );
        resident = resident.max(own.memory);
        ours.push(own.rate);
        bare_rates.push(bare.0);
        if let Some(spark) = &peer {
            let folder = format!("{}/spark-{turn}", lake.uri());
            let (found, memory) = spark.archived(&bootstrap, &folder, events / SPARKS_PART)?;
            eprintln!("turn {turn}: Spark {found:.0}, {memory} MB");
            spark_rates.push(found);
            spark_resident = spark_resident.max(memory);
        }
    }
    let own = median(ours);
    line("archive_events_per_second", own, median(bare_rates));
    if spark_rates.is_empty() {
        eprintln!("highest resident memory of archive: {resident} MB");
        return Ok(());
    }
    line("archive_over_spark", own, median(spark_rates));
    #[allow(clippy::cast_precision_loss)] // small numbers
    line(
        "archive_resident_mb",
        resident as f64,
        spark_resident as f64,
    );
    Ok(())
}

async fn fill(bootstrap: &str, events: u64, vehicles: u64) -> anyhow::Result<u64> {
    let producer = Producer::new(bootstrap, "bench")?;
    let start: jiff::Timestamp = "2026-11-01T06:00:00Z".parse()?;
    let rounds = (events / vehicles).max(1);
    let mut bytes = 0;
    for n in 0..events {
        let (vehicle, sequence) = (format!("car-{:05}", n % vehicles), n / vehicles);
        let micros = i64::try_from(6 * 3_600_000_000 * sequence / rounds)?;
        let mut event = Telemetry::new(
            &vehicle,
            sequence,
            start + jiff::SignedDuration::from_micros(micros),
        );
        #[allow(clippy::cast_precision_loss)] // small numbers
        let swing = (n % 97) as f64;
        event.speed = Some(50.0 + swing / 10.0);
        event.engine_speed = Some(2100.0 + swing);
        event.coolant_temperature = Some(88.0 + swing / 100.0);
        event.battery_voltage = Some(13.8);
        event.fuel_level = Some(60.0 - swing / 50.0);
        event.latitude = Some(48.137 + swing / 1000.0);
        event.longitude = Some(11.575 + swing / 1000.0);
        let value = codec::encode(&event);
        let headers = CloudEvent::of_telemetry(&event, "/millrace/gateway").headers();
        bytes += value.len() as u64;
        enqueue(&producer, "telemetry", &vehicle, &headers, &value).await?;
    }
    producer.flush(Duration::from_secs(60)).await?;
    Ok(bytes)
}

#[allow(clippy::cast_precision_loss)] // small numbers
fn micros(time: Duration, events: u64) -> f64 {
    time.as_secs_f64() * 1e6 / events as f64
}

// Events a second, and processor time. The first record is not counted: joining the group is none of the work.
fn bare(settings: &GroupSettings, events: u64) -> anyhow::Result<(f64, Duration)> {
    let before = processor_time(std::process::id())?;
    let consumer = GroupConsumer::join(settings, Ignored)?;
    let begun = Instant::now();
    let (mut seen, mut started) = (0, None);
    while seen < events {
        anyhow::ensure!(
            begun.elapsed() < LIMIT,
            "the bare consumer saw {seen} events in {LIMIT:?}"
        );
        if consumer.poll(Duration::from_millis(100))?.is_some() {
            started.get_or_insert_with(Instant::now);
            seen += 1;
        }
    }
    let started = started.context("nothing was read")?;
    let rate = rate(events - 1, started.elapsed());
    Ok((
        rate,
        processor_time(std::process::id())?.saturating_sub(before),
    ))
}
