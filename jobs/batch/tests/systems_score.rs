//! Scores are those of a second computation of the same definition: DuckDB's, in SQL, over the same files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod fleet;
#[path = "fleet/made.rs"]
mod made;

use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::duckdb;
use jiff::{SignedDuration, Timestamp};
use millrace_contract::Telemetry;
use serde_json::{Value, json};

const DAY: &str = "2026-11-10";
/// 00:00 of that day in Europe/Berlin.
const START: &str = "2026-11-09T23:00:00Z";
const CONFIG: &str =
    "zone: Europe/Berlin\nfuelReference: { Golf: 5.5, '*': 4 }\nshift: 1h\nshiftBreak: 20m\n";

fn start() -> Timestamp {
    START.parse().unwrap()
}

// What the definition of CONFIG is in SQL.
fn settings(files: &[PathBuf]) -> Value {
    let models = ["Golf", "Zoe", "Renault Twizy", "Toyota Etios", "Seat Leon"];
    let references: serde_json::Map<String, Value> = models
        .iter()
        .map(|model| {
            (
                (*model).to_owned(),
                json!(if *model == "Golf" { 5.5 } else { 4.0 }),
            )
        })
        .collect();
    let mut settings = duckdb::settings(files, start(), 3600, &references.into());
    settings["shift"] = json!(3600);
    settings["shift_break"] = json!(1200);
    settings
}

fn lines(output: &std::process::Output) -> Vec<Value> {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ours(folder: &Path) -> Vec<Value> {
    std::fs::write(folder.join("config.yaml"), CONFIG).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
        .args(["score", "--print", "--day", DAY, "--lake"])
        .arg(format!("file://{}", folder.join("lake").display()))
        .arg("--config")
        .arg(folder.join("config.yaml"))
        .output()
        .unwrap();
    lines(&output)
}

#[tokio::test]
#[ignore = "needs DuckDB"]
async fn a_day_of_mixed_trips_has_the_scores_that_duckdb_computes() {
    let Some(python) = duckdb::python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut events = fleet::recorded(start()).unwrap_or_default();
    for seed in 0..30 {
        let at = start() + SignedDuration::from_mins(i64::try_from(seed).unwrap() * 40);
        events.extend(made::wild(&format!("made-{seed}"), seed, at, 9000));
    }
    // What lies outside of the day does not count.
    events.extend(made::wild(
        "before",
        100,
        start() - SignedDuration::from_mins(20),
        3000,
    ));
    events.extend(made::wild(
        "after",
        101,
        start() + SignedDuration::from_mins(23 * 60 + 30),
        3000,
    ));
    let events: Vec<Telemetry> = made::disordered(events, 7);
    let files = fleet::archive(&folder.path().join("lake"), &events).await;
    let theirs = duckdb::scores(&python, &settings(&files));
    let near = |one: &Value, other: &Value| duckdb::near(one, other, 1e-6);
    let ours = ours(folder.path());
    assert!(ours.len() > 150, "{} trips", ours.len());
    assert_eq!(ours.len(), theirs.len());
    let mut seen = [0; 9];
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let of = |name: &str| &theirs[name];
        assert_eq!(
            (&ours["vehicle"], &ours["hire"], &ours["model"]),
            (of("vehicle"), of("hire"), of("model"))
        );
        for end in ["started", "ended"] {
            let second: Timestamp = ours[end].as_str().unwrap().parse().unwrap();
            assert_eq!(Some(second.as_second()), of(end).as_i64(), "{ours}");
        }
        for (name, value) in ours["drive"].as_object().unwrap() {
            assert!(
                near(value, of(name)),
                "{name}: {value} and {}: {ours}",
                of(name)
            );
        }
        assert!(near(&ours["score"], of("score")), "{ours} {theirs}");
        let parts = ours["parts"].as_object().unwrap();
        for (count, (name, value)) in seen.iter_mut().zip(parts) {
            let there = of(if name == "longShift" {
                "long_shift"
            } else {
                name
            });
            assert!(near(value, there), "{name}: {value} and {there}");
            *count += usize::from(
                value
                    .as_f64()
                    .is_some_and(|points| points > 0.0 && points < 100.0),
            );
        }
    }
    // Each part has been put to the test: somewhere it was neither nothing nor everything.
    assert!(seen[..8].iter().all(|count| *count > 3), "{seen:?}");
}
