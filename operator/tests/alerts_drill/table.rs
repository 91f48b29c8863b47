//! The table, which grows while the drill goes on.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use millrace_operator::monitoring::ShortRule;

use super::timeline::{Expect, Timeline};

const HEAD: &str = "| fault | rule | it has to hold for, delivered → here | fired after, s | silent again after the fault was over, s |\n|---|---|---|---|---|";

/// An alert that fired, and of which is not known yet when it was silent.
struct Firing {
    fault: &'static str,
    expect: Expect,
    fired: Duration,
    over: Instant,
}

/// What is told, on standard output and in a file.
pub struct Table {
    rules: BTreeMap<&'static str, ShortRule>,
    file: Option<PathBuf>,
    firing: Mutex<Vec<Firing>>,
    failed: Mutex<Vec<String>>,
}

impl Table {
    pub fn new(rules: Vec<ShortRule>, file: Option<PathBuf>) -> Self {
        if let Some(file) = &file {
            std::fs::write(file, "").unwrap();
        }
        let table = Self {
            rules: rules.into_iter().map(|rule| (rule.name, rule)).collect(),
            file,
            firing: Mutex::default(),
            failed: Mutex::default(),
        };
        table.tell(HEAD);
        table
    }

    fn tell(&self, line: &str) {
        println!("{line}");
        if let Some(file) = &self.file {
            let mut file = OpenOptions::new().append(true).open(file).unwrap();
            writeln!(file, "{line}").unwrap();
        }
    }

    /// How long a rule waits for here: the age that it is about, and how long it has to hold.
    pub fn wait(&self, rule: &str) -> Duration {
        let rule = &self.rules[rule];
        Duration::from_secs(rule.short_age + rule.short_wait)
    }

    fn waits(&self, rule: &str) -> String {
        let rule = &self.rules[rule];
        let waits = format!("{} → {}s", rule.wait, rule.short_wait);
        if rule.changed.is_empty() {
            return waits;
        }
        format!("{waits}; in it {}", rule.changed.join(", "))
    }

    /// An alert fired so long after its fault, which was over at that moment. Its line follows when it is silent.
    pub fn fired(&self, fault: &'static str, expect: Expect, fired: Duration, over: Instant) {
        self.firing.lock().unwrap().push(Firing {
            fault,
            expect,
            fired,
            over,
        });
    }

    /// A row, or a rule of it, is not as it should be.
    pub fn failed(&self, fault: &str, rule: &str, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        self.tell(&format!("| {fault} | {rule} | FAILED: {why} | | |"));
        self.failed
            .lock()
            .unwrap()
            .push(format!("{fault}: {rule}: {why}"));
    }

    /// Tells of the alerts that are silent by now.
    pub fn tell_silent(&self, timeline: &Timeline) {
        let mut silent = Vec::new();
        self.firing.lock().unwrap().retain(|one| {
            let after = timeline.silent(one.expect, one.over);
            if let Some(after) = after {
                silent.push((one.fault, one.expect.rule, one.fired, after));
            }
            after.is_none()
        });
        for (fault, rule, fired, after) in silent {
            let (fired, after) = (fired.as_secs_f64(), after.as_secs_f64());
            let waits = self.waits(rule);
            self.tell(&format!(
                "| {fault} | {rule} | {waits} | {fired:.0} | {after:.0} |"
            ));
        }
    }

    /// Waits until all that fired are silent; what is not by then has failed.
    pub fn wait_silent(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.firing.lock().unwrap().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_secs(1));
        }
        let left = std::mem::take(&mut *self.firing.lock().unwrap());
        for one in left {
            let why = format!(
                "fired after {:.0} s, and was not silent {:.0} s after the fault was over",
                one.fired.as_secs_f64(),
                one.over.elapsed().as_secs_f64()
            );
            self.failed(one.fault, one.expect.rule, &why);
        }
    }

    /// A rule that no fault makes fire here.
    pub fn not_provoked(&self, rule: &str, why: &str) {
        self.tell(&format!("| not provoked: {why} | {rule} | | | |"));
    }

    /// What failed.
    pub fn failures(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }
}
