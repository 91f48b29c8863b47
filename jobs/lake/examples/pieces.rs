//! What an event costs on its way from Kafka's bytes to a Parquet file, piece by piece, on one core and without any client.
//!
//! `cargo run --release -p millrace-lake --example pieces -- [EVENTS]`
//!
//! A line each: the piece, and processor time in microseconds an event. The events are those of `bench_archive`.

use std::hint::black_box;
use std::time::Duration;

use futures::executor::block_on;
use millrace_contract::{Telemetry, codec};
use millrace_lake::content::Content;
use millrace_lake::layout::Hour;
use millrace_lake::parquet_file::ParquetFile;
use millrace_lake::rows::{Parsed, Raw, Reader, Rows, Shape};
use millrace_lake::storage::{Memory, Storage as _};
use sha2::{Digest as _, Sha256};

/// As `archive` does it.
const BATCH: usize = 4096;
const ROW_GROUP: usize = 8 * 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 500_000,
    };
    let values = values(events, 500)?;
    let records = || values.iter().enumerate().map(|(n, value)| raw(n, value));

    let mut reader = Reader::new(Shape::Telemetry);
    let mut parsed = Parsed::default();
    let begun = Processor::now();
    for record in records() {
        reader.read(&record, &mut parsed);
        black_box(&parsed);
    }
    let read = begun.elapsed();
    line("JSON read", read, events);

    let mut rows = Rows::new(Shape::Telemetry, Shape::Telemetry.schema(), 0);
    let (mut batches, begun) = (Vec::new(), Processor::now());
    for record in records() {
        reader.read(&record, &mut parsed);
        rows.push(&record, &parsed);
        if rows.len() == BATCH {
            batches.push(rows.finish()?);
        }
    }
    batches.push(rows.finish()?);
    line(
        "rows to columns",
        begun.elapsed().saturating_sub(read),
        events,
    );

    let begun = Processor::now();
    for batch in &batches {
        black_box(Content::of(batch)?);
    }
    let sum = begun.elapsed();
    line("count and sum", sum, events);

    let storage = Memory::default();
    let hour = Hour::of_micros(0).unwrap_or(Hour::first());
    let begun = Processor::now();
    let first = batches.first().ok_or("no events")?;
    let file = ParquetFile::begin(&storage, "x".into(), "y".into(), hour, first, ROW_GROUP);
    let mut file = block_on(file)?;
    let mut most = 0;
    for batch in &batches {
        block_on(file.write(batch))?;
        most = most.max(file.held());
    }
    let entry = block_on(file.close())?;
    let written = begun.elapsed().saturating_sub(sum);

    let bytes = block_on(storage.read("x"))?;
    let begun = Processor::now();
    black_box(Sha256::digest(&bytes));
    let digest = begun.elapsed();
    line(
        "Parquet, compressed",
        written.saturating_sub(digest),
        events,
    );
    line("SHA-256", digest, events);
    #[allow(clippy::cast_precision_loss)] // small numbers
    let each = entry.bytes as f64 / events as f64;
    println!("{each:.1} bytes an event, at most {most} bytes held");
    Ok(())
}

// Processor time of this thread, so that other work on the machine does not count.
struct Processor(Duration);

impl Processor {
    fn now() -> Self {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat");
        let told = told.unwrap_or_default();
        let nanos = told.split(' ').next().and_then(|n| n.parse().ok());
        Self(Duration::from_nanos(nanos.unwrap_or(0)))
    }

    fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[allow(clippy::cast_precision_loss)] // small numbers
fn line(piece: &str, time: Duration, events: usize) {
    println!("{piece}: {:.3}", time.as_secs_f64() * 1e6 / events as f64);
}

fn raw(n: usize, value: &[u8]) -> Raw<'_> {
    let n = i64::try_from(n).unwrap_or(0);
    Raw {
        offset: n,
        kafka_time: Some(1_790_000_000_000 + n / 500),
        // The id of the vehicle stands first in the value.
        key: value.get(12..21),
        value: Some(value),
        source: Some("/millrace/gateway"),
        ..Raw::default()
    }
}

fn values(events: usize, vehicles: usize) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
    let start: jiff::Timestamp = "2026-11-01T06:00:00Z".parse()?;
    let mut values = Vec::with_capacity(events);
    for n in 0..events {
        let sequence = n / vehicles;
        let millis = i64::try_from(sequence)? * 2700;
        let mut event = Telemetry::new(
            format!("car-{:05}", n % vehicles),
            u64::try_from(sequence)?,
            start + jiff::SignedDuration::from_millis(millis),
        );
        let swing = f64::from(u32::try_from(n % 97)?);
        event.speed = Some(50.0 + swing / 10.0);
        event.engine_speed = Some(2100.0 + swing);
        event.coolant_temperature = Some(88.0 + swing / 100.0);
        event.battery_voltage = Some(13.8);
        event.fuel_level = Some(60.0 - swing / 50.0);
        event.latitude = Some(48.137 + swing / 1000.0);
        event.longitude = Some(11.575 + swing / 1000.0);
        values.push(codec::encode(&event));
    }
    Ok(values)
}
