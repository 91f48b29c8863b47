//! How fast `detect` is, beside the least that any program would have to do on the same machine, in the same run.
//! Only the ratios say something.
//!
//! `cargo run --release -p millrace-stream --example bench_detect -- [EVENTS] [VEHICLES] [SECONDS]`
//!
//! - `detect_events_per_second`: a backlog from Kafka to committed states and alerts, beside a bare consumer of the
//!   same records. EVENTS (2,000,000) of VEHICLES (500); the median of three turns each.
//! - `event_to_alert_p50_ms`, `event_to_alert_p99_ms`: from sending the event that raises an alert to reading the
//!   committed alert, at half of that load for SECONDS (20), or less where one side cannot carry it, beside a program
//!   that only copies such events in transactions with the same settings.
//!
//! One line each: name, ours, the peer's, ours divided by the peer's.

mod backlog;
#[path = "../bench_support/mod.rs"]
mod bench_support;
mod live;
mod place;

use std::time::Duration;

use bench_support::{line, percentile};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers.next().transpose()?.unwrap_or(2_000_000).max(1_000);
    let vehicles = numbers.next().transpose()?.unwrap_or(500).clamp(1, events);
    let seconds = numbers.next().transpose()?.unwrap_or(20).clamp(5, 120);
    let Some(place) = place::Place::new()? else {
        return Ok(());
    };
    let (ours, peer) = backlog::run(&place, events, vehicles).await?;
    line("detect_events_per_second", ours, peer);
    let times = live::run(&place, ours / 2.0, Duration::from_secs(seconds)).await?;
    let (ours, peer) = (times.ours, times.peer);
    for (name, part) in [
        ("event_to_alert_p50_ms", 0.50),
        ("event_to_alert_p99_ms", 0.99),
    ] {
        line(name, percentile(&ours, part)?, percentile(&peer, part)?);
    }
    eprintln!(
        "{} and {} alerts measured, {:.0} events a second",
        ours.len(),
        peer.len(),
        times.load
    );
    Ok(())
}
