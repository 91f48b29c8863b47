//! A backlog from Kafka to committed states and alerts, beside a bare consumer.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use millrace_contract::{Telemetry, codec};
use millrace_stream::connect::{GroupConsumer, GroupSettings, Lookup, Producer};

use crate::bench_support::{Ignored, enqueue, group, median, rate};
use crate::place::Place;

const TURNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(180);

/// Events per second: ours and the peer's.
pub async fn run(place: &Place, events: u64, vehicles: u64) -> anyhow::Result<(f64, f64)> {
    place.topics(&["telemetry".to_owned()]).await?;
    let bytes = fill(place, events, vehicles).await?;
    eprintln!(
        "{events} events of {vehicles} vehicles, {} bytes each",
        bytes / events
    );
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let settings = group(&place.bootstrap, &format!("bare-{turn}"), "telemetry");
        peer.push(tokio::task::spawn_blocking(move || bare(&settings, events)).await??);
        // A group and a state of its own: else all events would be repetitions.
        ours.push(detected(place, &format!("backlog-{turn}")).await?);
        eprintln!("turn {turn}: {:.0} {:.0}", ours[turn], peer[turn]);
    }
    Ok((median(ours), median(peer)))
}

async fn fill(place: &Place, events: u64, vehicles: u64) -> anyhow::Result<u64> {
    let producer = Producer::new(&place.bootstrap, "bench")?;
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let mut bytes = 0;
    for n in 0..events {
        let (vehicle, sequence) = (format!("car-{:05}", n % vehicles), n / vehicles);
        let time = start + jiff::SignedDuration::from_secs(i64::try_from(sequence)?);
        let mut event = Telemetry::new(&vehicle, sequence, time);
        event.speed = Some(50.0);
        event.engine_speed = Some(2100.0);
        event.coolant_temperature = Some(if sequence % 20 < 10 { 88.5 } else { 87.5 });
        let value = codec::encode(&event);
        bytes += value.len() as u64;
        enqueue(&producer, "telemetry", &vehicle, &[], &value).await?;
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

// What is committed when it is first looked at is not counted, neither events nor time.
async fn detected(place: &Place, name: &str) -> anyhow::Result<f64> {
    place.topics(&Place::detect_topics(name)).await?;
    let lookup = Lookup::new(&place.bootstrap, "bench")?;
    let mut end = 0;
    for (partition, _) in lookup.committed(name, "telemetry").await? {
        end += lookup.watermarks("telemetry", partition).await?.1;
    }
    let detect = place.detect(name, "telemetry")?;
    let begun = Instant::now();
    let mut first = None;
    let rate = loop {
        anyhow::ensure!(
            begun.elapsed() < LIMIT,
            "detect did not get through in {LIMIT:?}"
        );
        let committed = lookup.committed(name, "telemetry").await?;
        let done: i64 = committed.iter().filter_map(|(_, offset)| *offset).sum();
        let now = Instant::now();
        if done > 0 {
            let (at, then) = *first.get_or_insert((done, now));
            if done == end {
                anyhow::ensure!(at < end, "too few events to measure: give more");
                break rate(u64::try_from(done - at)?, now - then);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    detect.stop().await?;
    Ok(rate)
}
