//! All rules over the events of a vehicle.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use millrace_contract::{Alert, Invalid, Telemetry};
use serde::{Deserialize, Serialize};

use crate::custom;
use crate::order::{Order, Passage};
use crate::zones::{self, Zones};
use crate::{
    Finding, Rules, charging_failure, check_engine, coolant_not_warming, fuel_low, overheating,
    tyres,
};

/// The rules, ready for use: thresholds merged per model, conditions compiled, zones indexed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Detector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In microseconds.
    lateness: i64,
    base: Rules,
    models: HashMap<String, Rules>,
    custom: Vec<custom::Compiled>,
    zones: Zones,
}

/// What detection knows of one vehicle. Bounded: under 128 KiB as JSON, whatever is observed, and a few KiB as
/// long as no events are missing.
///
/// The same events give the same alerts when the state is written and read again in between.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VehicleState {
    order: Order,
    known: Known,
}

/// What the rules know; all of it in the vehicle's own time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// The last model named.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    overheating: overheating::State,
    #[serde(skip_serializing_if = "is_default")]
    coolant_not_warming: coolant_not_warming::State,
    #[serde(skip_serializing_if = "is_default")]
    charging_failure: charging_failure::State,
    #[serde(skip_serializing_if = "is_default")]
    tyres: tyres::State,
    #[serde(skip_serializing_if = "is_default")]
    fuel_low: fuel_low::State,
    #[serde(skip_serializing_if = "is_default")]
    check_engine: check_engine::State,
    #[serde(skip_serializing_if = "is_default")]
    zones: zones::State,
    #[serde(skip_serializing_if = "is_default")]
    custom: custom::States,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl VehicleState {
    /// The vehicle's model, once an event named it.
    pub fn model(&self) -> Option<&str> {
        self.known.model.as_deref()
    }

    /// The wall clock time at which [`Detector::release`] has something to do: events are held because others are
    /// missing. None as long as nothing is held.
    pub fn waits_until(&self, detector: &Detector) -> Option<Timestamp> {
        let until = self.order.waits_until(detector.0.lateness)?;
        Some(Timestamp::from_microsecond(until).unwrap_or(Timestamp::MAX))
    }
}

impl Detector {
    /// Checks rules and makes them ready.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn new(rules: Rules, zones: Zones) -> Result<Self, Invalid> {
        let models = rules.validated()?;
        Ok(Self(Arc::new(Inner {
            lateness: i64::from(rules.lateness_seconds) * 1_000_000,
            custom: custom::compile_all(&rules.custom, "rules.custom")?,
            base: rules,
            models,
            zones,
        })))
    }

    /// The rules as they apply to a vehicle model.
    pub fn rules(&self, model: Option<&str>) -> &Rules {
        model
            .and_then(|m| self.0.models.get(m))
            .unwrap_or(&self.0.base)
    }

    /// Takes in one event of a vehicle and gives the alerts that it raises, `detected_at` being `now`.
    ///
    /// - Late, disordered and repeated events change nothing in the result: an event with the next number is
    ///   judged at once, one ahead of a gap is held until the missing ones came or are given up, by
    ///   `rules.lateness_seconds` of event time here, or of the wall clock by [`Detector::release`].
    /// - One alert per rule, episode and severity; a second, graver one carries the same episode.
    pub fn observe(
        &self,
        state: &mut VehicleState,
        event: &Telemetry,
        now: Timestamp,
    ) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let VehicleState { order, known } = state;
        order.admit(event, now, self.0.lateness, &mut |event, passage| {
            self.pass(known, event, passage, now, &mut alerts);
        });
        alerts
    }

    /// Gives up waiting for missing events where others were held longer than `rules.lateness_seconds` by the wall
    /// clock, and gives the alerts that the held ones raise. See [`VehicleState::waits_until`].
    ///
    /// Whoever reads a backlog calls this only once it is read: the missing events may lie in it.
    pub fn release(&self, state: &mut VehicleState, now: Timestamp) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let VehicleState { order, known } = state;
        order.release(now, self.0.lateness, &mut |event, passage| {
            self.pass(known, event, passage, now, &mut alerts);
        });
        alerts
    }

    fn pass(
        &self,
        known: &mut Known,
        event: &Telemetry,
        passage: Passage,
        now: Timestamp,
        alerts: &mut Vec<Alert>,
    ) {
        if passage == Passage::ClockSetBack {
            // Windows over a clock that jumped would mix two times.
            *known = Known {
                model: known.model.take(),
                ..Known::default()
            };
        }
        if event.model.is_some() && event.model != known.model {
            known.model.clone_from(&event.model);
        }
        let rules = self.rules(known.model.as_deref());
        let mut found = |findings: Vec<Finding>| {
            alerts.extend(
                findings
                    .into_iter()
                    .map(|f| f.into_alert(event, known.model.as_deref(), now)),
            );
        };
        // One line per rule. An empty vector costs no allocation.
        found(overheating::observe(
            &rules.overheating,
            &mut known.overheating,
            event,
        ));
        found(coolant_not_warming::observe(
            &rules.coolant_not_warming,
            &mut known.coolant_not_warming,
            event,
        ));
        found(charging_failure::observe(
            &rules.charging_failure,
            &mut known.charging_failure,
            event,
        ));
        found(tyres::observe(
            &rules.tyre_pressure_low,
            &rules.slow_puncture,
            &mut known.tyres,
            event,
        ));
        found(fuel_low::observe(
            &rules.fuel_low,
            &mut known.fuel_low,
            event,
        ));
        found(check_engine::observe(
            &rules.check_engine,
            &mut known.check_engine,
            event,
        ));
        found(zones::observe(
            &rules.zones,
            &self.0.zones,
            &mut known.zones,
            event,
        ));
        found(custom::observe(
            &self.0.custom,
            &mut known.custom,
            event,
            known.model.as_deref(),
        ));
    }
}
