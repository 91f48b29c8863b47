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
    assert!(fails(&["run", "--format", "kit_obd2", "x"]).contains("choose one of carobd, csv"));
    assert!(fails(&["run", "--format", "csv", "x"]).contains("--mapping"));
    assert!(
        fails(&["run", "--format", "carobd", "--inject", "rust@1", "x"])
            .contains("this version knows coolant-ramp")
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
    let folder = tempfile::tempdir().unwrap();
    let zones = folder.path().join("z.geojson");
    std::fs::write(&zones, "{}").unwrap();
    assert!(
        fails(&[
            "run",
            "--format",
            "carobd",
            "--zones",
            zones.to_str().unwrap(),
            "x"
        ])
        .contains("zones are not supported")
    );
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

#[test]
fn recorded_trips() {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let data = std::env::var_os("MILLRACE_DATA")
        .map_or(beside, PathBuf::from)
        .join("carobd");
    if !data.is_dir() {
        let required = std::env::var_os("MILLRACE_REQUIRE").is_some_and(|v| v == "1");
        assert!(
            !required,
            "MILLRACE_REQUIRE=1, but there is no {}",
            data.display()
        );
        eprintln!(
            "left out: no recorded trips in {} (set MILLRACE_DATA)",
            data.display()
        );
        return;
    }
    let files: Vec<String> = std::fs::read_dir(data)
        .unwrap()
        .map(|e| e.unwrap().path().to_string_lossy().into_owned())
        .filter(|p| p.ends_with(".csv.gz"))
        .collect();
    let run = |options: &[&str]| {
        let all: Vec<&str> = ["run", "--format", "carobd", "--json"]
            .into_iter()
            .chain(options.iter().copied())
            .chain(files.iter().map(String::as_str))
            .collect();
        let out = millrace(&all);
        assert!(out.status.success(), "{}", text(&out.stderr));
        lines(&out)
    };
    assert_eq!(run(&[]), vec![]);
    let found = run(&["--inject", "coolant-ramp@120:10"]);
    let episodes: BTreeSet<_> = found.iter().map(|l| (&l.vehicle, &l.episode)).collect();
    let vehicles: BTreeSet<_> = found.iter().map(|l| &l.vehicle).collect();
    assert_eq!((episodes.len(), vehicles.len()), (files.len(), files.len()));
}
