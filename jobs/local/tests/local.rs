//! The binary as a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use millrace_contract::{Severity, WarningLine};
use millrace_testkit::{data_dir, left_out};
use millrace_trips::simulate::{SimParams, simulate};

fn millrace(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace-local"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(output: &Output) -> Vec<WarningLine> {
    text(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// A simulated drive in the shape of carobd: two rows a second, whole seconds, a trailing comma.
fn carobd_file(folder: &Path, name: &str, seed: u64) -> PathBuf {
    let trip = simulate(&SimParams {
        seed,
        ..SimParams::default()
    });
    let mut csv =
        "ENGINE_RUN_TINE (),ENGINE_RPM (),VEHICLE_SPEED (),COOLANT_TEMPERATURE (),FUEL_TANK ()\r\n"
            .to_owned();
    for s in &trip.samples {
        let row = [
            s.engine_run_time,
            s.engine_speed,
            s.speed,
            s.coolant_temperature,
            s.fuel_level,
        ];
        for _ in 0..2 {
            for cell in row {
                write!(csv, "{:.6}, ", cell.unwrap()).unwrap();
            }
            csv.push('\n');
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, csv).unwrap();
    path
}

#[test]
fn healthy_is_silent_and_a_ramp_is_one_episode() {
    let folder = tempfile::tempdir().unwrap();
    let file = carobd_file(folder.path(), "car-7.csv", 3);
    let file = file.to_str().unwrap();
    let healthy = millrace(&["run", "--format", "carobd", "--json", file]);
    assert!(healthy.status.success(), "{}", text(&healthy.stderr));
    assert_eq!(text(&healthy.stdout), "");
    assert!(text(&healthy.stderr).contains("1 trips, 2400 events, 0 warnings"));

    let ramp = [
        "run",
        "--format",
        "carobd",
        "--inject",
        "coolant-ramp@600:5",
        "--start",
        "2026-03-01T08:00:00+01:00",
        "--json",
        file,
    ];
    let hot = millrace(&ramp);
    assert!(hot.status.success(), "{}", text(&hot.stderr));
    let found = lines(&hot);
    assert_eq!(
        found.iter().map(|l| l.severity).collect::<Vec<_>>(),
        [Severity::Warning, Severity::Critical]
    );
    assert_eq!(
        found
            .iter()
            .map(|l| &l.episode)
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
    assert!(
        found
            .iter()
            .all(|l| l.vehicle == "car-7" && l.rule == "overheating" && !l.text.is_empty())
    );
    let injected: jiff::Timestamp = "2026-03-01T07:10:00Z".parse().unwrap();
    assert!(
        found
            .iter()
            .all(|l| l.event_time > injected && l.delivered_at.is_none())
    );
    // A second run finds the same, so that ids can be compared.
    let again: Vec<_> = lines(&millrace(&ramp))
        .into_iter()
        .map(|l| (l.episode, l.event_time))
        .collect();
    assert_eq!(
        again,
        found
            .into_iter()
            .map(|l| (l.episode, l.event_time))
            .collect::<Vec<_>>()
    );

    let human = millrace(&[
        "run",
        "--format",
        "carobd",
        "--inject",
        "coolant-ramp@600:5",
        file,
    ]);
    let human = text(&human.stdout);
    assert!(human.contains("car-7  warning   overheating: "), "{human}");
}

#[test]
fn csv_with_a_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = (folder.path().join("van.csv"), folder.path().join("m.yaml"));
    let mut csv = "at,Kühlmittel [°F]\n".to_owned();
    for second in 0..900 {
        writeln!(csv, "{second},{}", 190.0 + f64::from(second) / 10.0).unwrap();
    }
    std::fs::write(&file, csv).unwrap();
    std::fs::write(
        &mapping,
        "time: {column: at, unit: seconds}\ncolumns: {Kühlmittel: {field: coolant_temperature, scale: 0.55555556, offset: -17.7777778}}\n",
    )
    .unwrap();
    let out = millrace(&[
        "run",
        "--format",
        "csv",
        "--mapping",
        mapping.to_str().unwrap(),
        "--json",
        file.to_str().unwrap(),
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(lines(&out).len(), 2, "{}", text(&out.stdout));
}

#[test]
fn a_bad_file_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let good = carobd_file(folder.path(), "good.csv", 1);
    let bad = folder.path().join("bad.csv");
    let broken = std::fs::read_to_string(&good)
        .unwrap()
        .replacen("\n0.000000, ", "\nsoon, ", 1);
    std::fs::write(&bad, broken).unwrap();
    let out = millrace(&[
        "run",
        "--format",
        "carobd",
        "--inject",
        "coolant-ramp@300:10",
        "--json",
        bad.to_str().unwrap(),
        "/nonexistent.csv",
        folder.path().to_str().unwrap(),
        good.to_str().unwrap(),
    ]);
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(lines(&out).len(), 2);
    let errors = text(&out.stderr);
    assert!(
        errors.contains(
            "bad.csv: line 2, column ENGINE_RUN_TINE (): \"soon\": not a number of seconds; correct"
        ),
        "{errors}"
    );
    assert!(
        errors.contains("/nonexistent.csv: cannot be opened"),
        "{errors}"
    );
    assert!(errors.contains("this is a folder"), "{errors}");
    assert!(
        errors.contains("1 trips, 2400 events, 2 warnings, 3 files not read"),
        "{errors}"
    );
}

#[test]
fn two_files_of_one_vehicle_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let one = carobd_file(folder.path(), "drive1.csv", 1);
    let (one, other) = (one.to_str().unwrap(), "/elsewhere/drive1.csv.gz");
    let out = millrace(&["run", "--format", "carobd", one, other]);
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(text(&out.stdout), "");
    let errors = text(&out.stderr);
    assert!(
        errors.contains(one) && errors.contains(other) && errors.contains("rename"),
        "{errors}"
    );
}

#[test]
fn wrong_options_say_what_to_do() {
    let fails = |arguments: &[&str]| {
        let out = millrace(arguments);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        text(&out.stderr)
    };
    assert!(fails(&["run", "--format", "obd", "x"]).contains("choose one of carobd, kit_obd2"));
    assert!(fails(&["run", "--format", "csv", "x"]).contains("--mapping"));
    assert!(
        fails(&["run", "--format", "carobd", "--inject", "rust@1", "x"])
            .contains("this version knows coolant-ramp, coolant-cold")
    );
    assert!(fails(&["run", "--format", "carobd", "--start", "noon", "x"]).contains("RFC 3339"));
    assert!(
        fails(&[
            "run",
            "--format",
            "csv",
            "--mapping",
            "/nonexistent.yaml",
            "x"
        ])
        .contains("/nonexistent.yaml")
    );
    assert!(fails(&["run", "--format", "carobd"]).contains("FILE"));
    assert!(
        fails(&["run", "--format", "mtbf_field_data", "x"])
            .contains("no telemetry: it has lifetimes")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("z.geojson");
    let given = |option: &str, text: &str| {
        std::fs::write(&file, text).unwrap();
        fails(&[
            "run",
            "--format",
            "carobd",
            option,
            file.to_str().unwrap(),
            "x",
        ])
    };
    let e = given("--zones", "{");
    assert!(e.contains("--zones") && e.contains("z.geojson"), "{e}");
    let e = given("--rules", "overheating: {criticalAtt: 3}");
    assert!(e.contains("--rules") && e.contains("criticalAtt"), "{e}");
    let e = given("--rules", "[1");
    assert!(e.contains("not YAML or JSON"), "{e}");
    assert!(
        fails(&[
            "run",
            "--format",
            "carobd",
            "--rules",
            "/nonexistent.yaml",
            "x"
        ])
        .contains("/nonexistent.yaml: cannot be read")
    );
}

#[test]
fn rules_from_a_file_and_zones_from_two() {
    let folder = tempfile::tempdir().unwrap();
    let file = carobd_file(folder.path(), "car-7.csv", 3);
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, "overheating: {enabled: false}\n").unwrap();
    let arguments = |rules: Option<&Path>| {
        let mut all = vec![
            "run",
            "--format",
            "carobd",
            "--json",
            "--inject",
            "coolant-ramp@600:5",
        ];
        if let Some(rules) = rules {
            all.extend(["--rules", rules.to_str().unwrap()]);
        }
        all.push(file.to_str().unwrap());
        let out = millrace(&all);
        assert!(out.status.success(), "{}", text(&out.stderr));
        lines(&out).len()
    };
    assert_eq!((arguments(None), arguments(Some(&rules))), (2, 0));
}

/// A drive north along 13.4° E past 52.51° N, and a zone that begins there.
#[test]
fn a_border_is_told_before_it_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut north = "t,lat,lon,speed,heading\n".to_owned();
    let mut south = north.clone();
    for second in 0..200 {
        let along = f64::from(second) * 15.0 / 111_320.0;
        writeln!(north, "{second},{:.6},13.4,54,0", 52.49 + along).unwrap();
        writeln!(south, "{second},{:.6},13.4,54,180", 52.509 - along).unwrap();
    }
    let ring = "[[13.3,52.51],[13.5,52.51],[13.5,52.6],[13.3,52.6],[13.3,52.51]]";
    let zone = format!(
        r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{"kind":"border","name":"North","lead_seconds":60}},"geometry":{{"type":"Polygon","coordinates":[{ring}]}}}}]}}"#
    );
    std::fs::write(path("north.csv"), north).unwrap();
    std::fs::write(path("south.csv"), south).unwrap();
    std::fs::write(path("zones.geojson"), zone).unwrap();
    std::fs::write(
        path("m.yaml"),
        "time: {column: t, unit: seconds}\ncolumns: {lat: latitude, lon: longitude, speed: speed, heading: heading}\n",
    )
    .unwrap();
    let run = |file: &str| {
        let (mapping, zones, file) = (path("m.yaml"), path("zones.geojson"), path(file));
        let out = millrace(&[
            "run",
            "--format",
            "csv",
            "--mapping",
            &mapping,
            "--zones",
            &zones,
            "--json",
            &file,
        ]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        lines(&out)
    };
    assert_eq!(run("south.csv"), vec![]);
    let found = run("north.csv");
    assert_eq!(found[0].rule, "border", "{found:?}");
    assert!(found[0].text.contains("North"), "{}", found[0].text);
    // 148 s to the border.
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let told = found[0].event_time.duration_since(start).as_secs();
    assert!((80..=95).contains(&told), "{told}");
}

#[test]
fn help_version_and_demo() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["demo", "--help"],
    ] {
        assert!(millrace(arguments).status.success(), "{arguments:?}");
    }
    let started = std::time::Instant::now();
    let out = millrace(&["demo"]);
    assert!(out.status.success());
    assert!(started.elapsed().as_secs() < 2);
    let story = text(&out.stdout);
    assert!(story.contains("1800 events, 0 warnings"), "{story}");
    assert!(
        story.contains("the driver hears (warning)")
            && story.contains("the driver hears (critical)"),
        "{story}"
    );
    assert!(story.contains("2 warnings of one episode"), "{story}");
}

/// The files of a set of recorded data; none where there is no data.
fn recorded(set: &str) -> Vec<String> {
    let Some(folder) = data_dir().map(|d| d.join(set)) else {
        left_out(set, "there is no recorded data; set MILLRACE_DATA").unwrap();
        return Vec::new();
    };
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path().to_string_lossy().into_owned())
        .filter(|p| p.ends_with(".csv.gz"))
        .collect();
    files.sort();
    files
}

fn run_on(format: &str, files: &[String], options: &[&str]) -> Vec<WarningLine> {
    let all: Vec<&str> = ["run", "--format", format, "--json"]
        .into_iter()
        .chain(options.iter().copied())
        .chain(files.iter().map(String::as_str))
        .collect();
    let out = millrace(&all);
    assert!(out.status.success(), "{}", text(&out.stderr));
    lines(&out)
}

/// Healthy trips are silent at warning and above; each fault is one episode of its rule in each trip, after it began.
fn healthy_and_faulty(format: &str, files: &[String], faults: &[(&str, &str)]) {
    if files.is_empty() {
        return;
    }
    let loud = |l: &&WarningLine| l.severity >= Severity::Warning;
    let healthy = run_on(format, files, &["--start", START]);
    assert_eq!(
        healthy.iter().filter(loud).collect::<Vec<_>>(),
        Vec::<&WarningLine>::new()
    );
    let start: jiff::Timestamp = START.parse().unwrap();
    for (injection, rule) in faults {
        let found = run_on(format, files, &["--start", START, "--inject", injection]);
        let of_rule: Vec<&WarningLine> = found.iter().filter(|l| l.rule == *rule).collect();
        let episodes: BTreeSet<_> = of_rule.iter().map(|l| (&l.vehicle, &l.episode)).collect();
        let vehicles: BTreeSet<_> = of_rule.iter().map(|l| &l.vehicle).collect();
        let missing: Vec<&String> = files
            .iter()
            .filter(|f| !vehicles.iter().any(|v| f.contains(&format!("/{v}."))))
            .collect();
        assert!(missing.is_empty(), "{injection}: no {rule} in {missing:?}");
        assert_eq!(episodes.len(), files.len(), "{injection}");
        let begun = injection
            .split(['@', ':'])
            .nth(1)
            .unwrap()
            .parse::<i64>()
            .unwrap();
        for line in of_rule {
            let after = line.event_time.duration_since(start).as_secs();
            assert!(after >= begun, "{injection}: {line:?}");
        }
    }
}

const START: &str = "2026-01-01T00:00:00Z";

#[test]
fn recorded_trips_of_carobd() {
    healthy_and_faulty(
        "carobd",
        &recorded("carobd"),
        &[
            ("coolant-ramp@120:10", "overheating"),
            ("charging-failure@120:1", "charging-failure"),
            ("dtc@120:P0301", "check-engine"),
            ("slow-puncture@120:20:rear_left", "slow-puncture"),
            ("fuel-leak@120:20", "fuel-low"),
        ],
    );
}

#[test]
fn recorded_trips_of_kit_obd2() {
    healthy_and_faulty(
        "kit_obd2",
        &recorded("kit_obd2"),
        &[
            ("coolant-ramp@300:10", "overheating"),
            ("charging-failure@120:1", "charging-failure"),
            ("dtc@120:P0301", "check-engine"),
            ("slow-puncture@120:20:rear_left", "slow-puncture"),
            ("fuel-leak@120:20", "fuel-low"),
        ],
    );
}
