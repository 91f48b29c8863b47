//! The thresholds of all rules, and how vehicle models change them.

use std::collections::{BTreeMap, HashMap};

use millrace_contract::Invalid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::charging_failure::ChargingFailure;
use crate::check::{Check, locate, merge};
use crate::check_engine::CheckEngine;
use crate::coolant_not_warming::CoolantNotWarming;
use crate::custom::{self, CustomRule};
use crate::fuel_low::FuelLow;
use crate::overheating::Overheating;
use crate::tyres::{SlowPuncture, TyrePressureLow};
use crate::zones::ZoneRules;

/// Everything that decides what is detected. Part of configuration files: camelCase, unknown fields refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rules {
    /// How long missing events are waited for, in seconds; later ones are ignored. 0 to 3600.
    pub lateness_seconds: u32,
    /// Coolant that becomes too hot.
    pub overheating: Overheating,
    /// Coolant that does not get warm.
    pub coolant_not_warming: CoolantNotWarming,
    /// A battery that is not charged.
    pub charging_failure: ChargingFailure,
    /// A tyre with too little air.
    pub tyre_pressure_low: TyrePressureLow,
    /// A tyre that loses air.
    pub slow_puncture: SlowPuncture,
    /// A tank that is nearly empty.
    pub fuel_low: FuelLow,
    /// Trouble codes and the check-engine lamp.
    pub check_engine: CheckEngine,
    /// Borders, closed zones and curfews.
    pub zones: ZoneRules,
    /// Rules of users.
    pub custom: Vec<CustomRule>,
    /// What differs for a vehicle model, by the telemetry field `model`: the same sections, each with the fields
    /// that change.
    pub models: BTreeMap<String, Map<String, Value>>,
}

impl Default for Rules {
    fn default() -> Self {
        // Regulated between 83 and 96 °C by thermostat and fan, in traffic and parked: 98 °C is never seen while
        // the cooling works, so there is no need to wait for the limits that fit any car.
        let etios = json!({
            "overheating": {"trendFrom": 98.0, "warningAt": 102.0, "criticalAt": 112.0, "clearBelow": 94.0},
            "fuelLow": {"tankLitres": 45.0},
        });
        let etios = match etios {
            Value::Object(sections) => sections,
            _ => Map::new(),
        };
        Self {
            lateness_seconds: 10,
            overheating: Overheating::default(),
            coolant_not_warming: CoolantNotWarming::default(),
            charging_failure: ChargingFailure::default(),
            tyre_pressure_low: TyrePressureLow::default(),
            slow_puncture: SlowPuncture::default(),
            fuel_low: FuelLow::default(),
            check_engine: CheckEngine::default(),
            zones: ZoneRules::default(),
            custom: Vec::new(),
            models: BTreeMap::from([("Toyota Etios".to_owned(), etios)]),
        }
    }
}

impl Rules {
    /// Reads rules from a parsed YAML or JSON document and checks all of them.
    ///
    /// # Errors
    /// An unknown field, a wrong type, thresholds that contradict each other, or a bad condition; the field is
    /// named by its path, for instance `rules.models.Van.overheating.criticalAt`.
    pub fn from_value(value: Value) -> Result<Self, Invalid> {
        // A list would be read as the fields in their order.
        if !value.is_object() {
            return Err(Invalid::new(
                "rules",
                value.to_string(),
                "not a mapping",
                "write {} for the rules that come with the platform",
            ));
        }
        let rules: Self = serde_json::from_value(value.clone()).map_err(|e| {
            locate("rules", &value, e.to_string(), &|part| {
                serde_json::from_value::<Self>(part)
                    .err()
                    .map(|e| e.to_string())
            })
        })?;
        rules.validate()?;
        Ok(rules)
    }

    /// Checks that the thresholds of every model fit together, and the rules of users.
    ///
    /// # Errors
    /// Names the field by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validated()?;
        custom::compile_all(&self.custom, "rules.custom")?;
        Ok(())
    }

    /// Checks the sections, also as each model changes them, and gives the rules of each model.
    pub(crate) fn validated(&self) -> Result<HashMap<String, Self>, Invalid> {
        Check { path: "rules" }.within(
            "latenessSeconds",
            f64::from(self.lateness_seconds),
            0.0..=3600.0,
        )?;
        self.validate_sections("rules")?;
        let base = Self {
            models: BTreeMap::new(),
            custom: Vec::new(),
            ..self.clone()
        };
        let base = serde_json::to_value(&base)
            .map_err(|e| Invalid::new("rules", "", e.to_string(), "use finite numbers"))?;
        self.models
            .iter()
            .map(|(model, changes)| {
                let path = format!("rules.models.{model}");
                let rules = with(&base, changes, &path)?;
                rules.validate_sections(&path)?;
                Ok((model.clone(), rules))
            })
            .collect()
    }

    fn validate_sections(&self, path: &str) -> Result<(), Invalid> {
        // One line per rule.
        self.overheating.validate(&format!("{path}.overheating"))?;
        self.coolant_not_warming
            .validate(&format!("{path}.coolantNotWarming"))?;
        self.charging_failure
            .validate(&format!("{path}.chargingFailure"))?;
        self.tyre_pressure_low
            .validate(&format!("{path}.tyrePressureLow"))?;
        self.slow_puncture
            .validate(&format!("{path}.slowPuncture"))?;
        self.fuel_low.validate(&format!("{path}.fuelLow"))?;
        self.check_engine.validate(&format!("{path}.checkEngine"))?;
        self.zones.validate(&format!("{path}.zones"))
    }
}

/// The rules of a model.
fn with(base: &Value, changes: &Map<String, Value>, path: &str) -> Result<Rules, Invalid> {
    for name in ["models", "custom", "latenessSeconds"] {
        if let Some(value) = changes.get(name) {
            return Err(Invalid::new(
                format!("{path}.{name}"),
                value.to_string(),
                "holds for all models",
                format!("move it to rules.{name}"),
            ));
        }
    }
    let read = |changes: Value| {
        let mut merged = base.clone();
        merge(&mut merged, changes);
        serde_json::from_value::<Rules>(merged).map_err(|e| e.to_string())
    };
    let changes = Value::Object(changes.clone());
    read(changes.clone())
        .map_err(|problem| locate(path, &changes, problem, &|part| read(part).err()))
}

#[cfg(test)]
mod tests;
