//! How fast `materialize` keeps the state of vehicles, beside a bare consumer that writes the same events one by one into the
//! same store (`$set` of what each measured, unordered, as many in one command), in the same run. Only the ratio says something.
//!
//! `cargo run --release -p millrace-stream --example bench_materialize -- [EVENTS] [VEHICLES]`
//!
//! - `materialize_events_per_second`: a backlog of EVENTS (200,000) of VEHICLES (500); the median of three turns each. It merges
//!   what a vehicle sent within `window` before it writes, the bare consumer does not; it keeps the newest whatever the order, the
//!   bare consumer the last.

#[path = "../bench_support/mod.rs"]
mod bench_support;

use std::time::{Duration, Instant};

use bench_support::{Ignored, create_topics, enqueue, line, median, rate};
use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Telemetry, codec};
use millrace_stream::connect::{DocumentsArgs, GroupConsumer, Lookup, Producer};
use millrace_stream::{materialize, settings};
use millrace_testkit::{DocumentStore, Kafka};
use mongodb::bson::{Document, doc, serialize_to_document};
use mongodb::{Client, Database};
use tokio_util::sync::CancellationToken;

const TURNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(600);
/// Events that the bare consumer writes at once.
const BATCH: usize = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers.next().transpose()?.unwrap_or(200_000).max(1_000);
    let vehicles = numbers.next().transpose()?.unwrap_or(500).clamp(1, events);
    let (Some(kafka), Some(store)) = (Kafka::start()?, DocumentStore::start()?) else {
        return Ok(());
    };
    let topics = [("telemetry", false), ("dead-letters", false)];
    create_topics(&kafka.bootstrap(), &topics).await?;
    let producer = Producer::new(&kafka.bootstrap(), "bench")?;
    let start: Timestamp = "2026-11-01T08:00:00Z".parse()?;
    for n in 0..events {
        let event = event(n, vehicles, start);
        enqueue(
            &producer,
            "telemetry",
            &event.vehicle,
            &[],
            &codec::encode(&event),
        )
        .await?;
    }
    producer.flush(Duration::from_secs(60)).await?;
    let directory = tempfile::tempdir()?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let database = Client::with_uri_str(store.uri())
            .await?
            .database(&format!("bare-{turn}"));
        peer.push(
            bare(
                &kafka.bootstrap(),
                &format!("bare-{turn}"),
                &database,
                events,
            )
            .await?,
        );
        let config = directory.path().join(format!("{turn}.yaml"));
        std::fs::write(
            &config,
            format!(
                "{{group: ours-{turn}, database: ours-{turn}, topics: {{alerts: '', deliveries: '', hires: '', drivers: ''}}}}"
            ),
        )?;
        ours.push(job(&kafka.bootstrap(), &store.uri(), config, turn, events).await?);
    }
    line("materialize_events_per_second", median(ours), median(peer));
    Ok(())
}

fn event(n: u64, vehicles: u64, start: Timestamp) -> Telemetry {
    let time =
        start + SignedDuration::from_millis(i64::try_from(n / vehicles).unwrap_or_default() * 200);
    let mut event = Telemetry::new(format!("car-{}", n % vehicles), n / vehicles, time);
    let value = f64::from(u32::try_from(n % 97).unwrap_or_default());
    event.speed = Some(value);
    event.engine_speed = Some(value * 40.0);
    event.coolant_temperature = Some(88.0 + value / 50.0);
    event.fuel_level = Some(70.0);
    event.battery_voltage = Some(13.8);
    event.latitude = Some(48.0 + value / 1000.0);
    event.longitude = Some(16.0 + value / 1000.0);
    event
}

// Until the group has read everything.
async fn job(
    bootstrap: &str,
    uri: &str,
    config: std::path::PathBuf,
    turn: usize,
    events: u64,
) -> anyhow::Result<f64> {
    let args = materialize::Args {
        common: settings::Common {
            config: Some(config),
            service_binding_root: None,
            bootstrap_servers: Some(bootstrap.to_owned()),
            metrics: "127.0.0.1:0".parse()?,
        },
        documents: DocumentsArgs {
            mongodb: Some(uri.to_owned()),
        },
    };
    let stop = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(materialize::run(args, stop.clone()));
    let lookup = Lookup::new(bootstrap, "bench-lookup")?;
    let group = format!("ours-{turn}-vehicles");
    loop {
        let committed = lookup
            .committed(&group, "telemetry")
            .await
            .unwrap_or_default();
        let read: i64 = committed.iter().filter_map(|(_, offset)| *offset).sum();
        if u64::try_from(read).unwrap_or_default() >= events {
            break;
        }
        anyhow::ensure!(
            began.elapsed() < LIMIT,
            "{read} of {events} after {LIMIT:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rate = rate(events, began.elapsed());
    stop.cancel();
    running.await??;
    Ok(rate)
}

async fn bare(
    bootstrap: &str,
    group: &str,
    database: &Database,
    events: u64,
) -> anyhow::Result<f64> {
    let settings = bench_support::group(bootstrap, group, "telemetry");
    let (database, runtime) = (database.clone(), tokio::runtime::Handle::current());
    tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let consumer = GroupConsumer::join(&settings, Ignored)?;
        let (mut seen, mut batch) = (0_u64, Vec::with_capacity(BATCH));
        while seen < events {
            anyhow::ensure!(began.elapsed() < LIMIT, "{seen} of {events} after {LIMIT:?}");
            if let Some(record) = consumer.poll(Duration::from_millis(100))? {
                let telemetry = codec::decode(record.payload().unwrap_or_default())?;
                let mut set = serialize_to_document(&telemetry)?;
                let vehicle = set.remove("vehicle");
                batch.push(doc! {"q": {"_id": vehicle}, "u": {"$set": set}, "upsert": true, "multi": false});
                seen += 1;
            }
            if batch.len() >= BATCH || seen >= events {
                let statements: Vec<Document> = std::mem::take(&mut batch);
                let command = doc! {"update": "vehicles", "updates": statements, "ordered": false};
                runtime.block_on(async { database.run_command(command).await })?;
            }
        }
        Ok(rate(events, began.elapsed()))
    })
    .await?
}
