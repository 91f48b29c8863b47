//! How fast scores of trips come into PostgreSQL by the job's binary COPY, beside a COPY of the same rows as bytes that were
//! encoded before, each in a transaction of its own, in turns, into a table that is as it was.
//!
//! `cargo run --release -p millrace-batch --example bench_load -- [ROWS] [TURNS]`
//!
//! `rows_per_second`: the job's, the peer's, the job's divided by it. Both must leave the same rows, else it fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "it shares its server with tests, and fails as they do"
)]

#[path = "../tests/database/mod.rs"]
mod database;

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use database::Database;
use futures::{SinkExt as _, TryStreamExt as _};
use jiff::civil::Date;
use millrace_analytics::driving::{Exposure, Trip};
use millrace_batch::score::fleet::FleetTrip;
use millrace_batch::score::store::{copy_trips, prepare};
use millrace_contract::score::ScoreConfig;
use tokio_postgres::Client;

const DAY: Date = jiff::civil::date(2026, 11, 10);
/// Trips of one vehicle on a day.
const TRIPS: u32 = 8;
/// What both leave, in one number.
const SUM: &str = "SELECT count(*)::float8, coalesce(sum(hashtext(t::text)), 0)::float8 FROM millrace.trip_scores AS t";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |name: &str, default: u32| match arguments.next() {
        Some(text) => text
            .parse::<u32>()
            .with_context(|| format!("{name}: {text}: is not a number")),
        None => Ok(default),
    };
    let (rows, turns) = (number("ROWS", 200_000)?, number("TURNS", 3)?);
    let database = Database::new().await;
    let mut database = database.context("PostgreSQL cannot be had")?;
    let client = &mut database.client;
    prepare(client).await?;
    let trips: Vec<FleetTrip> = (0..rows).map(trip).collect();
    let config = ScoreConfig::default();
    load(client, &config, &trips).await?;
    let bytes = encoded(client).await?;
    let expected = left(client).await?;
    let size: usize = bytes.iter().map(Bytes::len).sum();
    println!("# {rows} rows, {} bytes each", size / trips.len().max(1));
    for _ in 0..turns {
        empty(client).await?;
        let ours = load(client, &config, &trips).await?;
        anyhow::ensure!(left(client).await? == expected, "the job leaves other rows");
        empty(client).await?;
        let theirs = copy(client, &bytes).await?;
        anyhow::ensure!(
            left(client).await? == expected,
            "the peer leaves other rows"
        );
        let rate = |took: Duration| f64::from(rows) / took.as_secs_f64();
        let (ours, theirs) = (rate(ours), rate(theirs));
        println!("rows_per_second {ours:.0} {theirs:.0} {:.2}", ours / theirs);
    }
    Ok(())
}

fn trip(number: u32) -> FleetTrip {
    let (vehicle, turn) = (number / TRIPS, number % TRIPS);
    let start = 1_794_268_800 + i64::from(turn) * 7200 + i64::from(vehicle % 3600);
    let driven = 600.0 + f64::from(number % 3000);
    FleetTrip {
        vehicle: format!("car-{vehicle:06}"),
        model: Some(format!("model-{}", vehicle % 12)),
        hire: Some(format!("{number:032x}")),
        trip: Trip {
            hire: None,
            start,
            end: start + 3600,
            exposure: Exposure {
                distance: driven * 13.7,
                watched: driven + 60.0,
                driving: driven,
                engine: driven + 50.0,
                accelerations: f64::from(number % 4),
                brakings: f64::from(number % 3),
                turns: f64::from(number % 5),
                turning_distance: driven * 13.0,
                speeding: driven / 40.0,
                idling: f64::from(number % 50),
                night: driven / 9.0,
                ..Exposure::default()
            },
        },
    }
}

async fn load(
    client: &mut Client,
    config: &ScoreConfig,
    trips: &[FleetTrip],
) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let transaction = client.transaction().await?;
    copy_trips(&transaction, config, DAY, trips).await?;
    transaction.commit().await?;
    Ok(begin.elapsed())
}

/// What is in the table, as PostgreSQL itself encodes it.
async fn encoded(client: &Client) -> anyhow::Result<Vec<Bytes>> {
    let out = client
        .copy_out("COPY millrace.trip_scores TO STDOUT BINARY")
        .await?;
    let chunks: Vec<Bytes> = out.try_collect().await?;
    // In pieces of a size that a client sends.
    let whole = Bytes::from(chunks.concat());
    let pieces = (0..whole.len()).step_by(65_536);
    Ok(pieces
        .map(|at| whole.slice(at..(at + 65_536).min(whole.len())))
        .collect())
}

async fn copy(client: &mut Client, bytes: &[Bytes]) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let transaction = client.transaction().await?;
    let sink = transaction
        .copy_in::<_, Bytes>("COPY millrace.trip_scores FROM STDIN BINARY")
        .await?;
    let mut sink = pin!(sink);
    for piece in bytes {
        sink.feed(piece.clone()).await?;
    }
    sink.finish().await?;
    transaction.commit().await?;
    Ok(begin.elapsed())
}

async fn empty(client: &Client) -> anyhow::Result<()> {
    client
        .batch_execute("TRUNCATE millrace.trip_scores; CHECKPOINT")
        .await?;
    Ok(())
}

async fn left(client: &Client) -> anyhow::Result<(f64, f64)> {
    let row = client.query_one(SUM, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
