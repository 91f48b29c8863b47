//! How many events a second one core decodes and observes: `cargo run --release -p millrace-analytics --example throughput`.

use std::hint::black_box;
use std::time::Instant;

use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::codec::{decode, decode_inbound, encode};
use millrace_trips::inject;
use millrace_trips::simulate::{SimParams, simulate};

const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let healthy = simulate(&SimParams {
        duration_seconds: 10_000,
        ..SimParams::default()
    });
    let mut hot = healthy.clone();
    inject(&mut hot, &"coolant-ramp@600:5".parse()?)?;
    let bytes: Vec<Vec<u8>> = healthy.samples.iter().map(encode).collect();
    println!(
        "{} bytes an event",
        bytes.iter().map(Vec::len).sum::<usize>() / bytes.len()
    );
    measure("decode_inbound", bytes.len(), || {
        bytes
            .iter()
            .for_each(|b| drop(black_box(decode_inbound(b))));
    });
    measure("decode", bytes.len(), || {
        bytes.iter().for_each(|b| drop(black_box(decode(b))))
    });
    measure("encode", healthy.samples.len(), || {
        healthy
            .samples
            .iter()
            .for_each(|s| drop(black_box(encode(s))));
    });
    let detector = Detector::new(Rules::default(), Zones::default())?;
    for (name, trip) in [
        ("observe, healthy", &healthy),
        ("observe, always hot", &hot),
    ] {
        measure(name, trip.samples.len(), || {
            let mut state = VehicleState::default();
            for sample in &trip.samples {
                black_box(detector.observe(&mut state, sample, sample.time));
            }
        });
    }
    let mut state = VehicleState::default();
    for sample in &hot.samples {
        detector.observe(&mut state, sample, sample.time);
    }
    measure("state to JSON", 1000, || {
        (0..1000).for_each(|_| drop(black_box(serde_json::to_vec(&state))));
    });
    println!(
        "{} bytes of state",
        serde_json::to_vec(&state).map_or(0, |v| v.len())
    );
    Ok(())
}

fn measure(name: &str, events: usize, mut run: impl FnMut()) {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| run());
    let each = start.elapsed().as_secs_f64() / (ROUNDS * events) as f64;
    println!(
        "{name:20} {:8.3} µs each, {:9.0} a second",
        each * 1e6,
        1.0 / each
    );
}
