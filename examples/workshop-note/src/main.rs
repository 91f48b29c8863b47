//! The action `workshop-note`: what a workshop should look at when the vehicle comes in, from an alert.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// What `dispatch` sends for a record of the topic `alerts`, as far as it is of use here.
#[derive(Debug, Deserialize)]
struct Input {
    alert: Alert,
    /// Bound to the action: who gets the note.
    #[serde(default)]
    workshop: Option<String>,
}

/// The fields of an alert that a workshop cares for.
#[derive(Debug, Deserialize)]
struct Alert {
    id: String,
    vehicle: String,
    rule: String,
    severity: Severity,
    text: String,
    #[serde(default)]
    codes: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Info,
    Warning,
    Critical,
}

/// The note.
#[derive(Debug, PartialEq, Serialize)]
struct Note {
    /// The alert's id: whoever has it already drops the note.
    id: String,
    vehicle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    workshop: Option<String>,
    /// `today`, `this-week` or `next-service`.
    priority: &'static str,
    /// What to look at, the first thing first.
    look_at: Vec<String>,
    text: String,
}

fn note(input: Input) -> Result<Note, String> {
    let alert = input.alert;
    let look_at: &[&str] = match alert.rule.as_str() {
        "overheating" => &["coolant level", "water pump", "radiator fan", "thermostat"],
        "coolant-not-warming" => &["thermostat"],
        "charging-failure" => &["alternator", "drive belt", "battery"],
        "tyre-pressure-low" | "slow-puncture" => &["tyres", "valves"],
        "check-engine" => &["engine control unit"],
        other => {
            return Err(format!(
                "alert.rule: {other}: is nothing for a workshop; filter such alerts out in the EventSource"
            ));
        }
    };
    println!("{}: {} of {}", alert.id, alert.rule, alert.vehicle);
    let codes = alert
        .codes
        .iter()
        .map(|code| format!("trouble code {code}"));
    Ok(Note {
        look_at: codes
            .chain(look_at.iter().map(|part| (*part).to_owned()))
            .collect(),
        priority: match alert.severity {
            Severity::Critical => "today",
            Severity::Warning => "this-week",
            Severity::Info => "next-service",
        },
        id: alert.id,
        vehicle: alert.vehicle,
        workshop: input.workshop,
        text: alert.text,
    })
}

fn main() -> ExitCode {
    millrace_harness::run(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_codes_come_first_and_zones_are_refused() {
        let input = |rule: &str| Input {
            alert: Alert {
                id: "a".to_owned(),
                vehicle: "car-1".to_owned(),
                rule: rule.to_owned(),
                severity: Severity::Critical,
                text: String::new(),
                codes: vec!["P0301".to_owned()],
            },
            workshop: None,
        };
        let told = note(input("check-engine")).unwrap();
        assert_eq!(told.look_at, ["trouble code P0301", "engine control unit"]);
        assert_eq!(told.priority, "today");
        let refused = note(input("border")).unwrap_err();
        assert!(refused.starts_with("alert.rule: border: "), "{refused}");
    }
}
