//! Rules of users: conditions in SQL over the fields of telemetry.

mod fields;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use millrace_condition::{Condition, ConditionError};
use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::episode::{Episode, Pace, Verdict, since};
use crate::finding::tenths;

use fields::Event;
pub use fields::TelemetryFields;
use text::Template;

/// Most rules of users.
pub const MOST: usize = 64;
/// Longest time that a rule may name, in seconds.
const LONGEST: f64 = 86_400.0;
/// A condition must be seen to hold at least this often to count as lasting, in seconds.
const GAP: f64 = 120.0;
/// Names that are taken.
const TAKEN: [&str; 10] = [
    "overheating",
    "coolant-not-warming",
    "charging-failure",
    "tyre-pressure-low",
    "slow-puncture",
    "fuel-low",
    "check-engine",
    crate::zones::BORDER,
    crate::zones::CLOSED_ZONE,
    crate::zones::CURFEW,
];

/// A user's rule as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CustomRule {
    /// Its name in alerts: lower-case letters, digits and dashes, not the name of another rule.
    pub name: String,
    /// The condition, in SQL over the fields of telemetry.
    pub when: String,
    /// So many seconds it must hold without a break before an alert is raised.
    #[serde(default)]
    pub for_seconds: f64,
    /// An episode ends when the condition did not hold for so many seconds.
    #[serde(default = "clear_after")]
    pub clear_after_seconds: f64,
    /// After an episode ends no new one begins for so many seconds.
    #[serde(default = "cooldown")]
    pub cooldown_seconds: f64,
    /// How urgent its alerts are.
    #[serde(default = "warning")]
    pub severity: Severity,
    /// While this holds as well, the alert is critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<String>,
    /// Short English text; `{field}` stands for the field's value.
    pub text: String,
    /// The text in other languages (BCP 47 tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, String>,
}

fn warning() -> Severity {
    Severity::Warning
}

fn clear_after() -> f64 {
    60.0
}

fn cooldown() -> f64 {
    600.0
}

/// A rule, checked and ready.
#[derive(Debug, Clone)]
pub struct Compiled {
    rule: CustomRule,
    when: Condition,
    critical: Option<Condition>,
    text: Template,
    texts: Vec<(String, Template)>,
    /// The field that its alerts are about: the first number that the condition names, else the first field.
    signal: String,
}

/// What is known of a vehicle for one rule of a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Since when the condition holds, and when that was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<(Timestamp, Timestamp)>,
    #[serde(skip_serializing_if = "Episode::is_idle")]
    episode: Episode,
}

/// What is known of a vehicle for all rules of users, by the name of the rule. Never more than there are rules.
pub type States = BTreeMap<String, State>;

/// Checks a rule and compiles it; `path` is put before field names.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn compile(rule: &CustomRule, path: &str) -> Result<Compiled, Invalid> {
    let field = |name: &str| format!("{path}.{name}");
    let pattern = rule.name.len() <= 63
        && rule.name.starts_with(|c: char| c.is_ascii_lowercase())
        && rule
            .name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !pattern {
        return Err(Invalid::new(
            field("name"),
            &rule.name,
            "not a name of a rule",
            "use up to 63 lower-case letters, digits and dashes, a letter first",
        ));
    }
    if TAKEN.contains(&rule.name.as_str()) {
        return Err(Invalid::new(
            field("name"),
            &rule.name,
            "the name of a rule that comes with the platform",
            "choose another name",
        ));
    }
    for (name, value) in [
        ("forSeconds", rule.for_seconds),
        ("clearAfterSeconds", rule.clear_after_seconds),
        ("cooldownSeconds", rule.cooldown_seconds),
    ] {
        if !(0.0..=LONGEST).contains(&value) {
            return Err(Invalid::new(
                field(name),
                value.to_string(),
                "out of range",
                format!("choose 0 to {LONGEST} seconds"),
            ));
        }
    }
    let condition = |name: &str, sql: &str| {
        Condition::compile(sql, &TelemetryFields)
            .map_err(|e| invalid_condition(&field(name), sql, &e))
    };
    let when = condition("when", &rule.when)?;
    let critical = match &rule.critical {
        Some(_) if rule.severity == Severity::Critical => {
            return Err(Invalid::new(
                field("critical"),
                rule.critical.as_deref().unwrap_or_default(),
                "the rule is critical already",
                "give severity warning, or leave critical out",
            ));
        }
        Some(sql) => Some(condition("critical", sql)?),
        None => None,
    };
    let names = when.fields();
    let is_number = |name: &&&str| {
        millrace_contract::telemetry::field(name)
            .is_some_and(|f| f.kind == millrace_contract::Kind::Number)
    };
    let signal = names.iter().find(is_number).or(names.first());
    let Some(signal) = signal.map(|s| (*s).to_owned()) else {
        return Err(Invalid::new(
            field("when"),
            &rule.when,
            "names no field, so it holds always or never",
            "compare a field, for instance: speed > 120",
        ));
    };
    let text = Template::parse(&rule.text, &field("text"))?;
    let mut texts = Vec::new();
    for (language, text) in &rule.texts {
        let tag = (2..=35).contains(&language.len())
            && language
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !tag {
            return Err(Invalid::new(
                field("texts"),
                language,
                "not a language",
                "use a BCP 47 tag such as de or pt-BR",
            ));
        }
        let template = Template::parse(text, &field(&format!("texts.{language}")))?;
        texts.push((language.clone(), template));
    }
    Ok(Compiled {
        rule: rule.clone(),
        when,
        critical,
        text,
        texts,
        signal,
    })
}

fn invalid_condition(field: &str, sql: &str, error: &ConditionError) -> Invalid {
    Invalid::new(
        field,
        sql,
        format!(
            "at character {} ({}): {}",
            error.position, error.found, error.problem
        ),
        error.cure.clone(),
    )
}

/// Checks and compiles all of them: also that no two have one name, and that there are not too many.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn compile_all(rules: &[CustomRule], path: &str) -> Result<Vec<Compiled>, Invalid> {
    if rules.len() > MOST {
        return Err(Invalid::new(
            path,
            rules.len().to_string(),
            format!("more than {MOST} rules"),
            "join conditions with OR, or drop some",
        ));
    }
    let mut names = BTreeSet::new();
    let mut compiled = Vec::with_capacity(rules.len());
    for (i, rule) in rules.iter().enumerate() {
        let path = format!("{path}[{i}]");
        if !names.insert(rule.name.as_str()) {
            return Err(Invalid::new(
                format!("{path}.name"),
                &rule.name,
                "the name of two rules",
                "choose another name",
            ));
        }
        compiled.push(compile(rule, &path)?);
    }
    Ok(compiled)
}

/// Takes in an event: all rules of users; `model` is what is known of the vehicle's.
pub(crate) fn observe(
    rules: &[Compiled],
    states: &mut States,
    event: &Telemetry,
    model: Option<&str>,
) -> Vec<Finding> {
    let event = &Event { event, model };
    // Rules that were dropped from the configuration leave nothing behind.
    if states.len() > rules.len() || !states.is_empty() && rules.is_empty() {
        states.retain(|name, _| rules.iter().any(|r| r.rule.name == *name));
    }
    rules
        .iter()
        .filter_map(|rule| {
            // Most rules hold for hardly any vehicle: those have no state.
            let outcome = rule.when.evaluate(event);
            if outcome != Some(true) && !states.contains_key(&rule.rule.name) {
                return None;
            }
            let mut state = states.remove(&rule.rule.name).unwrap_or_default();
            let finding = rule.judge(&mut state, outcome, event);
            let idle = state.holds.is_none() && state.episode.is_idle();
            if !idle {
                states.insert(rule.rule.name.clone(), state);
            }
            finding
        })
        .collect()
}

impl Compiled {
    fn judge(&self, state: &mut State, outcome: Option<bool>, row: &Event<'_>) -> Option<Finding> {
        let rule = &self.rule;
        let event = row.event;
        let now = event.time;
        let verdict = match outcome {
            // Events that lack the fields, as every sensor reports at its own pace, say nothing either way.
            None => return None,
            Some(false) => {
                state.holds = None;
                Verdict::Clear
            }
            Some(true) => {
                let (from, seen) = state.holds.unwrap_or((now, now));
                let from = if since(now, seen) > GAP { now } else { from };
                state.holds = Some((from, now.max(seen)));
                if since(now, from) < rule.for_seconds {
                    Verdict::Between
                } else if self.critical.as_ref().is_some_and(|c| c.holds(row)) {
                    Verdict::Wrong(Severity::Critical)
                } else {
                    Verdict::Wrong(rule.severity)
                }
            }
        };
        let pace = Pace {
            clear_after: rule.clear_after_seconds,
            cooldown: rule.cooldown_seconds,
        };
        let raised = state.episode.judge(now, verdict, pace)?;
        let Verdict::Wrong(severity) = verdict else {
            return None;
        };
        let value = fields::number(event, &self.signal).map_or(1.0, tenths);
        Some(Finding {
            rule: rule.name.clone().into(),
            severity,
            episode: raised.id(&event.vehicle, &rule.name, ""),
            event_time: raised.time,
            signal: self.signal.clone().into(),
            value,
            // A condition has no one limit: what was measured is what raised it.
            threshold: value,
            trend_per_minute: None,
            seconds_to_limit: None,
            text: self.text.fill(row),
            details: AlertDetails {
                texts: self
                    .texts
                    .iter()
                    .map(|(language, text)| (language.clone(), text.fill(row)))
                    .collect(),
                ..AlertDetails::default()
            },
            unit: None,
        })
    }
}

#[cfg(test)]
mod tests;
