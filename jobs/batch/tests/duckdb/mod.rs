//! Second computations, by DuckDB and in Python, of what the jobs compute: how their scripts are run, and how their results are
//! compared with.
#![allow(dead_code, reason = "each program uses its own part")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use millrace_testkit::repository_root;
use serde_json::{Value, json};

/// What the answers of `analyse` are read by, to be compared with [`answers`].
pub const ANSWERS: &str = "SELECT question, scope, measure, method, estimate, low, high, events, censored FROM analysts.answers";
/// The same of the steps of survival.
pub const SURVIVAL: &str = "SELECT question, scope, length, at_risk, failed, survival, variance FROM analysts.survival ORDER BY question, scope, length";

/// Where the scripts are.
fn folder() -> PathBuf {
    repository_root().join("jobs/batch/tests/duckdb")
}

/// A Python with DuckDB, made once and kept in the cache. None where it cannot be had.
pub fn python() -> Option<PathBuf> {
    millrace_testkit::python(&folder().join("requirements.txt")).unwrap()
}

/// Runs a script, which reads its settings, and gives the lines of JSON that it prints.
pub fn lines(python: &Path, script: &Path, settings: &Value) -> Vec<Value> {
    let mut child = Command::new(python)
        .arg(script)
        .arg("/dev/stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads all of them before it prints anything.
    let mut input = child.stdin.take().unwrap();
    input.write_all(settings.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Scores of trips, by vehicle and time; with `by` in the settings (`["hire"]`, `["vehicle", "hire"]`) of what they add up to.
pub fn scores(python: &Path, settings: &Value) -> Vec<Value> {
    lines(python, &folder().join("score.py"), settings)
}

/// Answers of analysts, steps of survival, and vehicles that are left out.
pub fn answers(python: &Path, settings: &Value) -> Value {
    let mut printed = lines(python, &folder().join("analyse.py"), settings);
    printed.pop().unwrap()
}

/// The definition of scores as it comes, for `score.sql`: a day that begins at `start`, in a zone that is so many seconds ahead
/// of UTC. `references`: litres on 100 km, by model.
pub fn settings(files: &[PathBuf], start: Timestamp, utc_offset: i64, references: &Value) -> Value {
    let start = start.as_microsecond();
    json!({
        "files": files, "start": start, "end": start + 86_400_000_000_i64, "utc_offset": utc_offset,
        "trip_gap": 300, "longest_step": 3, "implausible": 12.0, "acceleration": 3.0, "braking": 3.5, "turning": 4.0,
        "course_from": 10.0, "driving_from": 5.0, "speed_limit": 130.0, "tolerance": 5.0, "engine_from": 400.0,
        "idle_after": 120, "night_from": 23 * 60, "night_to": 5 * 60, "shift": 16200, "shift_break": 2700,
        "air_fuel_ratio": 14.7, "fuel_density": 745.0, "least": 5000.0, "references": references,
        "worst_acceleration": 60.0, "worst_braking": 60.0, "worst_turning": 60.0, "worst_speeding": 0.2,
        "worst_idling": 0.3, "worst_economy": 1.0, "worst_night": 0.5, "worst_long_shift": 0.25,
        "weights": [15.0, 20.0, 15.0, 25.0, 5.0, 10.0, 5.0, 5.0],
    })
}

/// Whether two numbers lie so near to each other, as a share; anything else has to be the same.
pub fn near(one: &Value, other: &Value, within: f64) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= within * one.abs().max(1e-3),
        _ => one == other,
    }
}

/// Fails where one of these fields is not what the second computation has.
pub fn same_fields<'a>(
    ours: &Value,
    theirs: &Value,
    fields: impl IntoIterator<Item = (&'a str, f64)>,
) {
    for (field, within) in fields {
        let same = near(&ours[field], &theirs[field], within);
        assert!(same, "{field}: {ours} is not {theirs}");
    }
}

fn key(answer: &Value) -> String {
    ["question", "scope", "measure", "method"]
        .map(|name| answer[name].as_str().unwrap_or("").to_owned())
        .join("|")
}

/// The answer with this question, scope, measure and method, with `|` between them.
pub fn answer<'a>(ours: &'a [Value], wanted: &str) -> &'a Value {
    let found = ours.iter().find(|answer| key(answer) == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is missing: {ours:?}"))
}

/// Fails where an estimate of [`answers`] is not among ours, or there is one that they do not have.
pub fn same_answers(ours: &[Value], theirs: &Value) {
    let theirs = theirs["answers"].as_array().unwrap();
    for theirs in theirs {
        let fields = [
            ("estimate", 1e-6),
            ("low", 1e-4),
            ("high", 1e-4),
            ("events", 0.0),
            ("censored", 0.0),
        ];
        same_fields(answer(ours, &key(theirs)), theirs, fields);
    }
    let estimated = ours.iter().filter(|answer| !answer["estimate"].is_null());
    assert_eq!(estimated.count(), theirs.len());
    for question in ["requests", "engine", "pressure", "roads"] {
        let asked = theirs.iter().any(|answer| answer["question"] == question);
        assert!(asked, "{question}");
    }
}

/// The same of the steps of survival.
pub fn same_survival(ours: &[Value], theirs: &Value) {
    let place = |step: &Value| (step["question"].to_string(), step["scope"].to_string());
    let mut known: BTreeMap<_, Vec<&Value>> = BTreeMap::new();
    for step in ours {
        known.entry(place(step)).or_default().push(step);
    }
    let theirs = theirs["survival"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for step in theirs {
        let curve = known.get(&place(step)).into_iter().flatten();
        let same = curve
            .copied()
            .find(|ours| near(&ours["length"], &step["length"], 1e-9));
        let ours = same.unwrap_or_else(|| panic!("{step} is missing"));
        let fields = ["at_risk", "failed", "survival", "variance"];
        same_fields(ours, step, fields.map(|field| (field, 1e-6)));
    }
}
