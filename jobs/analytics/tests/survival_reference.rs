//! Lifetimes of published data and of the recorded sets, against the figures that are known of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use millrace_analytics::survival::roads::{Driven, Road};
use millrace_analytics::survival::{
    KaplanMeier, Lifetime, MeanBetween, MeanCumulative, Repaired, Weibull,
};
use support::data;

fn near(a: f64, b: f64, within: f64) {
    assert!((a - b).abs() <= within, "{a} is not {b}");
}

/// The rows of a CSV file without quoted commas before the columns that count: by column name.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    let clean = |cell: &str| cell.trim().trim_matches('"').to_owned();
    let mut lines = text.lines();
    let header: Vec<String> = lines.next().unwrap().split(',').map(clean).collect();
    lines
        .map(|line| {
            header
                .iter()
                .cloned()
                .zip(line.split(',').map(clean))
                .collect()
        })
        .collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

#[test]
fn shock_absorbers() {
    let Some(data) = data() else { return };
    let lifetimes: Vec<Lifetime> = rows(&data.join("mtbf_field_data/shockabsorber.csv"))
        .iter()
        .map(|row| match row["event"].as_str() {
            "Failure" => Lifetime::failed(number(row, "miles")),
            _ => Lifetime::censored(number(row, "miles")),
        })
        .collect();
    let fit = Weibull::fit(&lifetimes).unwrap();
    assert_eq!((fit.units, fit.failures), (38, 11));
    near(fit.mu.value, 10.230, 5e-4);
    near(fit.sigma.value, 0.3164, 5e-5);
    near(fit.mean.value, 24_812.0, 0.5);
    let curve = KaplanMeier::of(&lifetimes).unwrap();
    let mean = curve.restricted_mean(curve.longest()).unwrap();
    println!(
        "shock absorbers: {fit:?}\nrestricted mean {mean:?}, median {:?}",
        curve.median()
    );
}

#[test]
fn valve_seats() {
    let Some(data) = data() else { return };
    let mut engines: BTreeMap<String, Repaired> = BTreeMap::new();
    for row in rows(&data.join("mtbf_field_data/valveseat.csv")) {
        let engine = engines.entry(row["engine"].clone()).or_insert(Repaired {
            from: 0.0,
            events: Vec::new(),
            until: 0.0,
        });
        match row["event"].as_str() {
            "end" => engine.until = number(&row, "days"),
            _ => engine.events.push(number(&row, "days")),
        }
    }
    let engines: Vec<Repaired> = engines.into_values().collect();
    let replacements: usize = engines.iter().map(|e| e.events.len()).sum();
    assert_eq!((engines.len(), replacements), (41, 48));
    let mcf = MeanCumulative::of(&engines).unwrap();
    near(mcf.at(586.0).unwrap().value, 1.0143, 5e-5);
    near(mcf.at(653.0).unwrap().value, 1.5427, 5e-5);
    let days: f64 = engines.iter().map(|e| e.until).sum();
    let between = MeanBetween::of(replacements as u64, days).unwrap();
    near(between.mean, 528.4, 0.05);
    println!(
        "valve seats: {:?} at 586 d, {between:?}",
        mcf.at(586.0).unwrap()
    );
}

// Failures of one machine at one time are one event; machines 1 to 50 were observed for 8761 hours.
#[test]
fn failures_of_the_machines_of_azure() {
    let Some(data) = data() else { return };
    let failures: BTreeSet<(u32, String)> = rows(&data.join("azure_pdm/PdM_failures.csv.gz"))
        .into_iter()
        .map(|row| (row["machineID"].parse().unwrap(), row["datetime"].clone()))
        .filter(|(machine, _)| *machine <= 50)
        .collect();
    let between = MeanBetween::of(failures.len() as u64, 50.0 * 8761.0).unwrap();
    near(between.mean, 1258.8, 0.05);
    assert!(between.low > 1100.0 && between.high < 1450.0, "{between:?}");
    println!("azure: {} events, {between:?}", failures.len());
}

#[test]
fn roads_of_the_bus() {
    let Some(data) = data() else { return };
    let file = "carta_bus_road_class/BYD_751_with_Segment_Number_without_Turns.csv.gz";
    let classes = [
        "Primary",
        "Primary_link",
        "Secondary",
        "Secondary_link",
        "Tertiary",
        "Tertiary_link",
        "Trunk",
        "Motorway",
        "Motorway_link",
        "Service",
        "Residential",
        "Track",
        "Unknown",
        "Unclassified",
    ];
    let (mut driven, mut metres) = (Driven::default(), 0.0);
    for row in rows(&data.join(file)) {
        let length = number(&row, "Distance");
        let shares = classes.map(|class| (Road::of_osm(class), number(&row, class)));
        driven.add(length, shares).unwrap();
        metres += length;
    }
    let km = Road::ALL.map(|road| driven.km(road));
    near(km.iter().sum(), metres / 1000.0, 1e-6);
    // Trunk; primary and secondary with links; tertiary, service, residential and unclassified; the rest.
    near(km[0], 26.755, 1e-3);
    near(km[1], 64.198 + 0.321 + 61.237 + 0.207, 2e-3);
    near(km[2], 39.552 + 1.033 + 41.720 + 2.089, 2e-3);
    near(km[3], 0.0, 0.1);
    println!("bus: {km:?} km");
}
