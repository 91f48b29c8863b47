//! From events to the lines that are printed.

use jiff::Timestamp;
use millrace_actions::{AssessParams, assess, render};
use millrace_analytics::{Rules, VehicleState, observe};
use millrace_contract::{Alert, Telemetry, WarningLine};

/// The language of the texts; the platform takes it from the driver's profile.
const LANGUAGE: &str = "en";

/// One vehicle under observation.
pub struct Watch<'a> {
    rules: &'a Rules,
    state: VehicleState,
}

impl<'a> Watch<'a> {
    /// A vehicle of which nothing is known yet.
    pub fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            state: VehicleState::default(),
        }
    }

    /// The warnings that one event gives rise to.
    pub fn warnings(&mut self, event: &Telemetry) -> Vec<WarningLine> {
        observe(self.rules, &mut self.state, event, Timestamp::now())
            .iter()
            .map(warning)
            .collect()
    }
}

/// A warning in the words that the platform's actions would speak.
fn warning(alert: &Alert) -> WarningLine {
    let text = render(&assess(alert, &AssessParams::default()), LANGUAGE).text;
    WarningLine {
        text,
        ..WarningLine::from(alert)
    }
}

/// For people.
pub fn human(line: &WarningLine) -> String {
    format!(
        "{:.0}  {}  {:8}  {}: {}",
        line.event_time,
        line.vehicle,
        line.severity.as_str(),
        line.rule,
        line.text
    )
}
