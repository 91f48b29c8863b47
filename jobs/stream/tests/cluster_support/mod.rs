//! Recorded trips through a platform on real nodes, and what the pure rules make of the same trips.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod lake;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use millrace_analytics::{Detector, VehicleState};
use millrace_contract::{Alert, Severity};
use millrace_testkit::{Platform, data_dir, fresh, left_out};
use millrace_trips::{Trip, TripArguments, TripOptions, vehicle_of};
use serde_json::Value;

/// What tells one warning from another: vehicle, rule, severity, episode.
pub type Told = (String, String, String, String);

/// How trips are read and what is injected into them.
#[derive(Clone, Debug)]
pub struct Drives {
    pub prefix: String,
    pub format: &'static str,
    pub start: &'static str,
    pub inject: Vec<String>,
    pub files: Vec<PathBuf>,
}

impl Drives {
    pub fn new(name: &str, format: &'static str, start: &'static str, files: Vec<PathBuf>) -> Self {
        Self {
            prefix: format!("{}-", fresh(name)),
            format,
            start,
            inject: Vec::new(),
            files,
        }
    }

    pub fn with(mut self, injection: &str) -> Self {
        self.inject.push(injection.to_owned());
        self
    }

    pub fn vehicle(&self, file: &Path) -> String {
        format!("{}{}", self.prefix, vehicle_of(file).unwrap())
    }

    pub fn trip(&self, file: &Path) -> Trip {
        let options = TripOptions::parse(&TripArguments {
            format: self.format,
            inject: &self.inject,
            start: Some(self.start),
            ..TripArguments::default()
        })
        .unwrap();
        options.read_path(file, &self.vehicle(file)).unwrap()
    }

    /// All alerts that the pure rules raise on a file's trip.
    pub fn alerts(&self, file: &Path, detector: &Detector) -> Vec<Alert> {
        let mut state = VehicleState::default();
        let trip = self.trip(file);
        trip.samples
            .iter()
            .flat_map(|sample| detector.observe(&mut state, sample, Timestamp::now()))
            .collect()
    }

    pub fn expected(&self, detector: &Detector) -> BTreeSet<Told> {
        self.files
            .iter()
            .flat_map(|file| self.alerts(file, detector))
            .map(|a| (a.vehicle, a.rule, a.severity.to_string(), a.episode))
            .collect()
    }

    /// Sends them through the platform; ends by [`Drive::finish`].
    pub fn start(&self, platform: &Platform, extra: &[&str]) -> Drive {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
        command
            .args(["replay", "--json", "--format", self.format])
            .args(["--gateway-http", &platform.http])
            .args(["--gateway-mqtt", &platform.mqtt])
            .arg("--admin-token-file")
            .arg(&platform.admin_token_file)
            .args(["--vehicle-prefix", &self.prefix, "--timeout", "600"])
            .args(["--start", self.start])
            .args(self.inject.iter().flat_map(|i| ["--inject", i]))
            .args(extra)
            .args(&self.files);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Drive { child }
    }

    /// Sends them and gives the lines of what the vehicles were told.
    pub fn drive(&self, platform: &Platform) -> Vec<Value> {
        self.start(platform, &[]).finish()
    }
}

/// Trips under way.
pub struct Drive {
    child: Child,
}

impl Drive {
    pub fn finish(self) -> Vec<Value> {
        let output = self.child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("{}", errors.lines().last().unwrap_or_default());
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect()
    }
}

/// The platform and the recorded trips of a set, each in order of its name.
pub fn platform_and_trips(set: &str, ending: &str) -> Option<(Platform, Vec<PathBuf>)> {
    let platform = Platform::find().unwrap()?;
    let Some(data) = data_dir() else {
        left_out(
            "recorded trips",
            "neither $MILLRACE_DATA nor ../shared/data is there",
        )
        .unwrap();
        return None;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join(set))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {ending} in {set}");
    Some((platform, files))
}

pub fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {line}"))
}

pub fn told(line: &Value) -> Told {
    let part = |key| text(line, key).to_owned();
    (
        part("vehicle"),
        part("rule"),
        part("severity"),
        part("episode"),
    )
}

/// What was told, once it is known that nothing was told twice.
pub fn told_once(lines: &[Value]) -> BTreeSet<Told> {
    let all: Vec<Told> = lines.iter().map(told).collect();
    let set: BTreeSet<Told> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "told twice: {all:?}");
    set
}

/// Lines at warning or above.
pub fn warnings(lines: &[Value]) -> Vec<&Value> {
    let info = Severity::Info.as_str();
    lines.iter().filter(|l| l["severity"] != info).collect()
}
