//! From events to the lines that are printed.

use jiff::Timestamp;
use millrace_actions::{AssessParams, assess, render};
use millrace_analytics::{Detector, VehicleState};
use millrace_contract::{Alert, Telemetry, WarningLine};

/// The language of the texts; the platform takes it from its configuration.
const LANGUAGE: &str = "en";

/// One vehicle under observation.
pub struct Watch<'a> {
    detector: &'a Detector,
    state: VehicleState,
}

impl<'a> Watch<'a> {
    /// A vehicle of which nothing is known yet.
    pub fn new(detector: &'a Detector) -> Self {
        Self {
            detector,
            state: VehicleState::default(),
        }
    }

    /// The warnings that one event gives rise to.
    pub fn warnings(&mut self, event: &Telemetry) -> Vec<WarningLine> {
        let found = self
            .detector
            .observe(&mut self.state, event, Timestamp::now());
        found.iter().map(warning).collect()
    }

    /// The warnings of what is still held back, when no more events come.
    pub fn last_warnings(&mut self) -> Vec<WarningLine> {
        let found = self.detector.release(&mut self.state, Timestamp::MAX);
        found.iter().map(warning).collect()
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
