//! How long an event takes with zones: `cargo run -p millrace-analytics --example zones [LATITUDE,LONGITUDE FILE.geojson…]`.
//!
//! Without files: 10,000 zones of 64 edges in rows, and one of 10,000 edges around the whole way; and once more, that one
//! to be told an hour ahead. With files: a hundred vehicles drive eastwards from places around the given one. On Linux
//! also the most memory that reading them took.

use std::error::Error;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::Telemetry;

/// A round zone.
fn zone(id: usize, x: f64, y: f64, radius: f64, edges: usize) -> String {
    let positions: Vec<String> = (0..=edges)
        .map(|i| {
            let turn = std::f64::consts::TAU * (i % edges) as f64 / edges as f64;
            // A jagged outline, as real ones are.
            let r = radius * (1.0 + 0.05 * f64::from(i as u32 % 2));
            format!("[{:.7},{:.7}]", x + r * turn.cos(), y + r * turn.sin())
        })
        .collect();
    format!(
        r#"{{"type":"Feature","id":"z{id}","properties":{{"kind":"closed"}},"geometry":{{"type":"Polygon","coordinates":[[{}]]}}}}"#,
        positions.join(",")
    )
}

/// The zone around all, and the same with a long lead.
const LAST: &str = r#""id":"z10000","properties":{"kind":"closed"}"#;
const LAST_FAR: &str = r#""id":"z10000","properties":{"kind":"closed","lead_seconds":3600}"#;

/// A line of what the system knows of this process, in MB.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    let kilobytes: u64 = line
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .ok()?;
    Some(kilobytes / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (south, west) = match arguments.next() {
        None => (48.011, 0.01),
        Some(place) => {
            let (latitude, longitude) = place.split_once(',').ok_or("write LATITUDE,LONGITUDE")?;
            (latitude.parse::<f64>()?, longitude.parse::<f64>()?)
        }
    };
    let files: Vec<String> = arguments.collect();
    let step = if files.is_empty() { 0.0193 } else { 0.0005 };
    let mut texts = Vec::new();
    for file in &files {
        texts.push((file.clone(), std::fs::read_to_string(file)?));
    }
    if texts.is_empty() {
        let mut all: Vec<String> = (0..10_000)
            .map(|i| {
                zone(
                    i,
                    (i % 100) as f64 * 0.02,
                    48.0 + (i / 100) as f64 * 0.02,
                    0.004,
                    64,
                )
            })
            .collect();
        all.push(zone(10_000, 1.0, 49.0, 1.5, 10_000));
        texts.push((
            "rows".to_owned(),
            format!(
                r#"{{"type":"FeatureCollection","features":[{}]}}"#,
                all.join(",")
            ),
        ));
    }
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let before = memory("VmRSS");
    let start = Instant::now();
    let zones = Zones::from_geojson(&texts)?;
    println!("{} zones read in {:?}", zones.len(), start.elapsed());
    if let (Some(before), Some(peak), Some(after)) = (before, memory("VmHWM"), memory("VmRSS")) {
        println!(
            "{} MB more at most, {} MB at last",
            peak - before,
            after - before
        );
    }
    let far: Vec<(&str, String)> = texts
        .iter()
        .map(|(n, t)| (*n, t.replace(LAST, LAST_FAR)))
        .collect();
    let far: Vec<(&str, &str)> = far.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let far = Zones::from_geojson(&far)?;
    for (name, zones) in [
        ("without zones", Zones::default()),
        ("with zones", zones),
        ("with zones, one of them an hour ahead", far),
    ] {
        if name.ends_with("ahead") && !files.is_empty() {
            break;
        }
        let detector = Detector::new(Rules::default(), zones)?;
        let start: Timestamp = "2026-07-01T12:00:00Z".parse()?;
        let (vehicles, seconds) = (100u64, 1000u64);
        let mut states = vec![VehicleState::default(); vehicles as usize];
        let mut alerts = 0;
        let clock = Instant::now();
        for s in 0..seconds {
            for v in 0..vehicles {
                let time = start.checked_add(SignedDuration::from_secs(s as i64))?;
                let mut event = Telemetry::new(format!("car-{v}"), s, time);
                event.latitude = Some(south + v as f64 * step);
                event.longitude = Some(west + s as f64 * 0.0002);
                event.speed = Some(54.0);
                alerts += detector
                    .observe(&mut states[v as usize], &event, time)
                    .len();
            }
        }
        let each = clock.elapsed().as_secs_f64() * 1e6 / (vehicles * seconds) as f64;
        println!("{name}: {each:.2} µs an event, {alerts} alerts");
    }
    Ok(())
}
