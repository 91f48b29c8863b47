//! Stored diagnostic trouble codes and the check-engine lamp, by how grave the codes are.

mod table;

use std::collections::BTreeMap;

use jiff::Timestamp;
use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::check::Check;
use crate::episode::{Episode, Pace, SILENCE, Verdict, since};

/// The rule's name in alerts.
pub const RULE: &str = "check-engine";
/// Most codes that are remembered and told.
const CODES: usize = 16;
/// So many seconds after the lamp went out the codes are believed that were read before: lists are read more rarely.
const UNREAD: f64 = 300.0;
/// Longest code that is remembered: five characters and a failure type.
const LENGTH: usize = 16;

/// How grave a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Not told.
    Ignore,
    /// Good to know.
    Info,
    /// Act soon.
    Warning,
    /// Act now.
    Critical,
}

impl Grade {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Ignore => None,
            Self::Info => Some(Severity::Info),
            Self::Warning => Some(Severity::Warning),
            Self::Critical => Some(Severity::Critical),
        }
    }
}

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CheckEngine {
    /// Whether the rule is used.
    pub enabled: bool,
    /// Grades by code or by its beginning (`P0420`, `P03`, `U`), besides the built-in table; the longest that fits
    /// decides.
    pub codes: BTreeMap<String, Grade>,
    /// Grade of codes that neither knows.
    pub unknown: Grade,
    /// Grade of a lit lamp without codes …
    pub lamp: Grade,
    /// … that stays so for this many seconds: codes are often read after the lamp.
    pub lamp_seconds: f64,
    /// An episode ends when there were no codes and no lamp for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
}

impl Default for CheckEngine {
    fn default() -> Self {
        Self {
            enabled: true,
            codes: BTreeMap::new(),
            unknown: Grade::Warning,
            lamp: Grade::Warning,
            lamp_seconds: 10.0,
            clear_after_seconds: 60.0,
            cooldown_seconds: 600.0,
        }
    }
}

impl CheckEngine {
    /// Checks the settings; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        for prefix in self.codes.keys() {
            let mut letters = prefix.chars();
            let fits = prefix.len() <= LENGTH
                && letters
                    .next()
                    .is_some_and(|c| matches!(c, 'P' | 'C' | 'B' | 'U'))
                && letters.all(|c| matches!(c, '0'..='9' | 'A'..='F'));
            check.that(
                fits,
                "codes",
                prefix,
                "not the beginning of a trouble code",
                "write P, C, B or U and hexadecimal digits in capitals, for instance P0420 or P03",
            )?;
        }
        check.seconds("lampSeconds", self.lamp_seconds)?;
        check.seconds("clearAfterSeconds", self.clear_after_seconds)?;
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }

    /// The grade of a code, and what it is about where that is known.
    fn grade(&self, code: &str) -> (Grade, &'static str) {
        let built_in = table::TABLE
            .iter()
            .filter(|(prefix, ..)| code.starts_with(prefix))
            .max_by_key(|(prefix, ..)| prefix.len());
        let own = (1..=code.len().min(LENGTH))
            .rev()
            .filter_map(|length| code.get(..length))
            .find_map(|prefix| Some((prefix.len(), *self.codes.get(prefix)?)));
        match (own, built_in) {
            (Some((length, grade)), Some((prefix, _, what))) if length >= prefix.len() => {
                (grade, what)
            }
            (_, Some((_, grade, what))) => (*grade, what),
            (Some((_, grade)), None) => (grade, ""),
            (None, None) => (self.unknown, ""),
        }
    }
}

/// What is known of a vehicle's codes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// As last read, the gravest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    codes: Vec<String>,
    /// When they were read last.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<Timestamp>,
    /// Since when the lamp is lit.
    #[serde(skip_serializing_if = "Option::is_none")]
    lamp: Option<Timestamp>,
    /// Since when it is out, where it was lit before.
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<Timestamp>,
    /// When anything was heard of either.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Timestamp>,
    episode: Episode,
}

impl State {
    /// Takes in what an event tells of lamp and codes.
    fn hear(&mut self, rule: &CheckEngine, event: &Telemetry) {
        let now = event.time;
        if self.heard.is_some_and(|heard| since(now, heard) >= SILENCE) {
            // The next drive: what is stored now is still to be told.
            self.codes.clear();
            (self.lamp, self.out) = (None, None);
        }
        self.heard = self.heard.max(Some(now));
        match event.mil_on {
            Some(true) => {
                self.lamp.get_or_insert(now);
                self.out = None;
            }
            Some(false) if self.lamp.take().is_some() => self.out = Some(now),
            _ => {}
        }
        if let Some(list) = &event.dtc_list {
            if *list != self.codes {
                self.codes = sorted(rule, list);
            }
            self.read = Some(now);
        }
        if self.lamp.is_none() && self.has_old_codes(now) {
            // A vehicle that sends no list when there are no codes.
            self.codes.clear();
        }
        // The grades may have changed since, by a reload.
        self.codes
            .sort_by_cached_key(|code| std::cmp::Reverse(rule.grade(code).0));
    }

    /// Whether the codes were not read again for too long, or not since the lamp went out.
    fn has_old_codes(&mut self, now: Timestamp) -> bool {
        let read = *self.read.get_or_insert(now);
        let cleared = |out: Timestamp| read < out && since(now, out) >= UNREAD;
        since(now, read) >= SILENCE || self.out.is_some_and(cleared)
    }

    /// Whether the codes may be cleared already: the lamp went out after they were read.
    fn is_unsure(&self) -> bool {
        !self.codes.is_empty()
            && self
                .out
                .zip(self.read)
                .is_some_and(|(out, read)| read < out)
    }
}

/// Takes in an event.
pub(crate) fn observe(rule: &CheckEngine, state: &mut State, event: &Telemetry) -> Vec<Finding> {
    if !rule.enabled || (event.mil_on.is_none() && event.dtc_list.is_none()) {
        return Vec::new();
    }
    take(rule, state, event).into_iter().collect()
}

fn take(rule: &CheckEngine, state: &mut State, event: &Telemetry) -> Option<Finding> {
    state.hear(rule, event);
    let grade = state
        .codes
        .first()
        .map_or(Grade::Ignore, |gravest| rule.grade(gravest).0);
    let lit = state
        .lamp
        .is_some_and(|t| since(event.time, t) >= rule.lamp_seconds);
    let severity = match grade.severity() {
        Some(severity) => Some(severity),
        None if lit && state.codes.is_empty() => rule.lamp.severity(),
        None => None,
    };
    let verdict = match severity {
        Some(_) if state.is_unsure() => Verdict::Between,
        Some(severity) => Verdict::Wrong(severity),
        None if state.lamp.is_some() && state.codes.is_empty() => Verdict::Between,
        None => Verdict::Clear,
    };
    let pace = Pace {
        clear_after: rule.clear_after_seconds,
        cooldown: rule.cooldown_seconds,
    };
    let raised = state.episode.judge(event.time, verdict, pace)?;
    let codes = state.codes.clone();
    Some(Finding {
        rule: RULE.into(),
        severity: severity?,
        episode: raised.id(&event.vehicle, RULE, ""),
        event_time: raised.time,
        signal: if codes.is_empty() {
            "mil_on"
        } else {
            "dtc_list"
        }
        .into(),
        value: if codes.is_empty() {
            1.0
        } else {
            codes.len() as f64
        },
        threshold: 0.0,
        trend_per_minute: None,
        seconds_to_limit: None,
        text: text(rule, &codes),
        details: AlertDetails {
            codes,
            ..AlertDetails::default()
        },
        unit: Some("1"),
    })
}

/// The codes that are told, the gravest first, and no more of them than are remembered.
fn sorted(rule: &CheckEngine, list: &[String]) -> Vec<String> {
    let mut codes: Vec<(Grade, &str)> = list
        .iter()
        .map(|code| shortened(code))
        .map(|code| (rule.grade(code).0, code))
        .collect();
    codes.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    codes.dedup_by_key(|(_, code)| *code);
    codes
        .into_iter()
        .take(CODES)
        .map(|(_, code)| code.to_owned())
        .collect()
}

fn shortened(code: &str) -> &str {
    code.char_indices()
        .nth(LENGTH)
        .and_then(|(end, _)| code.get(..end))
        .unwrap_or(code)
}

fn text(rule: &CheckEngine, codes: &[String]) -> String {
    let Some(gravest) = codes.first() else {
        return "The check-engine lamp is lit".to_owned();
    };
    let what = match rule.grade(gravest).1 {
        "" => gravest.clone(),
        what => format!("{gravest} ({what})"),
    };
    match codes.len() {
        1 => format!("The engine control reports {what}"),
        n => format!("The engine control reports {what} and {} more", n - 1),
    }
}

#[cfg(test)]
mod tests;
