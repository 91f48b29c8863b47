//! How fast `archive` is, beside a bare consumer of the same records on the same machine, in the same run. Only the
//! ratio says something.
//!
//! `cargo run --release -p millrace-stream --example bench_archive -- [EVENTS] [VEHICLES]`
//!
//! - `archive_events_per_second`: a backlog from Kafka to committed Parquet files in a local folder, beside a consumer
//!   that counts. EVENTS (4,000,000) of VEHICLES (500), as the gateway writes them, over six hours; the median of three
//!   turns each.
//!
//! One line: name, ours, the peer's, ours divided by the peer's. On stderr the highest resident memory of this process,
//! in which archive, bare consumer and the sender of the events run.

#[path = "../bench_support/mod.rs"]
mod bench_support;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench_support::{Ignored, PARTITIONS, create_topics, enqueue, group, line, median, rate};
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, codec};
use millrace_lake::commit;
use millrace_lake::layout::{Layout, Source};
use millrace_lake::storage::Local;
use millrace_stream::connect::{GroupConsumer, GroupSettings, Producer};
use millrace_stream::lake::LakeArgs;
use millrace_stream::{archive, settings};
use millrace_testkit::Kafka;
use tokio_util::sync::CancellationToken;

const TURNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers
        .next()
        .transpose()?
        .unwrap_or(4_000_000)
        .max(100_000);
    let vehicles = numbers.next().transpose()?.unwrap_or(500).clamp(1, events);
    let Some(kafka) = Kafka::start()? else {
        return Ok(());
    };
    let bootstrap = kafka.bootstrap();
    let directory = tempfile::tempdir()?;
    create_topics(&bootstrap, &[("telemetry", false)]).await?;
    let bytes = fill(&bootstrap, events, vehicles).await?;
    eprintln!(
        "{events} events of {vehicles} vehicles, {} bytes each",
        bytes / events
    );
    let before = peak()?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let settings = group(&bootstrap, &format!("bare-{turn}"), "telemetry");
        peer.push(tokio::task::spawn_blocking(move || bare(&settings, events)).await??);
        ours.push(archived(&bootstrap, directory.path(), turn, events).await?);
        eprintln!("turn {turn}: {:.0} {:.0}", ours[turn], peer[turn]);
    }
    line("archive_events_per_second", median(ours), median(peer));
    eprintln!(
        "highest resident memory: {} MB, before the first turn {} MB",
        peak()? / 1024,
        before / 1024
    );
    Ok(())
}

// In KiB.
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.context("no VmHWM")?.split_whitespace().next();
    Ok(number.context("no number")?.parse()?)
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

// The first record is not counted: joining the group is none of the work.
fn bare(settings: &GroupSettings, events: u64) -> anyhow::Result<f64> {
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
    Ok(rate(events - 1, started.elapsed()))
}

// From the first commit that is seen to the last: what lies in the former is not counted. A dataset of its own each
// turn, since a dataset is archived once.
async fn archived(
    bootstrap: &str,
    directory: &Path,
    turn: usize,
    events: u64,
) -> anyhow::Result<f64> {
    let dataset = format!("telemetry-{turn}");
    let (config, lake) = (
        directory.join(format!("{dataset}.yaml")),
        directory.join("lake"),
    );
    std::fs::write(
        &config,
        format!("{{group: {dataset}, dataset: {dataset}, rollInterval: 1s}}"),
    )?;
    let stop = CancellationToken::new();
    let args = archive::Args {
        common: settings::Common {
            config: Some(config),
            service_binding_root: None,
            bootstrap_servers: Some(bootstrap.to_owned()),
            metrics: "127.0.0.1:0".parse()?,
        },
        lake: LakeArgs {
            lake: Some(format!("file://{}", lake.display())),
            ..LakeArgs::default()
        },
        halt_after: None,
        halt_file: None,
    };
    let job = tokio::spawn(archive::run(args, stop.clone()));
    let (storage, layout) = (Local::new(&lake), Layout::new(&dataset)?);
    let begun = Instant::now();
    let mut first = None;
    let rate = loop {
        anyhow::ensure!(
            begun.elapsed() < LIMIT,
            "archive did not get through in {LIMIT:?}"
        );
        let mut done = 0;
        for partition in 0..PARTITIONS {
            let last =
                commit::last(&storage, &layout, &Source::new("telemetry", partition)).await?;
            done += last.map_or(0, |record| u64::try_from(record.end_offset).unwrap_or(0));
        }
        let now = Instant::now();
        if done > 0 {
            let (at, then) = *first.get_or_insert((done, now));
            if done == events {
                anyhow::ensure!(at < events, "too few events to measure: give more");
                break rate(done - at, now - then);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    stop.cancel();
    job.await??;
    std::fs::remove_dir_all(&lake)?;
    Ok(rate)
}
