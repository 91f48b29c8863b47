//! The thresholds of all rules, and how vehicle models change them.

use std::collections::BTreeMap;

use millrace_contract::Invalid;
use serde::{Deserialize, Serialize};

use crate::overheating::{Overheating, OverheatingOverride};

/// Everything that decides what is detected. Part of configuration files: camelCase, unknown fields refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rules {
    /// Events that come later than this behind the newest one of their vehicle are ignored, in seconds.
    pub lateness_seconds: u32,
    /// Coolant that becomes too hot.
    pub overheating: Overheating,
    /// What differs for a vehicle model, by the telemetry field `model`.
    pub models: BTreeMap<String, ModelRules>,
}

/// What differs for one vehicle model; what is not named stays as it is for all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelRules {
    /// Coolant that becomes too hot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overheating: Option<OverheatingOverride>,
}

impl Default for Rules {
    fn default() -> Self {
        // Regulated between 83 and 96 °C by thermostat and fan, in traffic and parked: 98 °C is never seen while
        // the cooling works, so there is no need to wait for the limits that fit any car.
        let etios = OverheatingOverride {
            trend_from: Some(98.0),
            warning_at: Some(102.0),
            critical_at: Some(112.0),
            clear_below: Some(94.0),
            ..OverheatingOverride::default()
        };
        Self {
            lateness_seconds: 120,
            overheating: Overheating::default(),
            models: BTreeMap::from([(
                "Toyota Etios".to_owned(),
                ModelRules {
                    overheating: Some(etios),
                },
            )]),
        }
    }
}

impl Rules {
    /// Reads rules from a parsed YAML or JSON document and checks them.
    ///
    /// # Errors
    /// An unknown field, a wrong type, or thresholds that contradict each other.
    pub fn from_value(value: serde_json::Value) -> Result<Self, Invalid> {
        let rules: Self = serde_json::from_value(value).map_err(|e| {
            Invalid::new(
                "rules",
                "",
                e.to_string(),
                "compare the rules with the documented example",
            )
        })?;
        rules.validate()?;
        Ok(rules)
    }

    /// Checks that the thresholds of every model fit together.
    ///
    /// # Errors
    /// Names the field, for instance `rules.models.Van.overheating.criticalAt`.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.overheating.validate("rules.overheating")?;
        for (model, rules) in &self.models {
            if let Some(changes) = &rules.overheating {
                let path = format!("rules.models.{model}.overheating");
                self.overheating.with(changes).validate(&path)?;
            }
        }
        Ok(())
    }

    /// The overheating rule for a vehicle model.
    pub fn overheating_of(&self, model: Option<&str>) -> Overheating {
        model
            .and_then(|m| self.models.get(m))
            .and_then(|m| m.overheating.as_ref())
            .map_or(self.overheating, |changes| self.overheating.with(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_valid_and_survive_serialisation() {
        let rules = Rules::default();
        rules.validate().unwrap();
        assert_eq!(
            Rules::from_value(serde_json::to_value(&rules).unwrap()).unwrap(),
            rules
        );
        assert_eq!(Rules::from_value(json!({})).unwrap(), rules);
    }

    #[test]
    fn models_override_single_thresholds() {
        let rules = Rules::from_value(json!({
            "overheating": {"criticalAt": 118},
            "models": {"Van": {"overheating": {"warningAt": 109.5}}},
        }))
        .unwrap();
        let van = rules.overheating_of(Some("Van"));
        assert_eq!((van.warning_at, van.critical_at), (109.5, 118.0));
        assert_eq!(rules.overheating_of(Some("other")), rules.overheating);
        assert_eq!(rules.overheating_of(None).critical_at, 118.0);
    }

    #[test]
    fn contradictions_are_named() {
        let error = |v| Rules::from_value(v).unwrap_err();
        let e = error(json!({"overheating": {"criticalAt": 90}}));
        assert_eq!(
            (e.field.as_str(), e.value.as_str()),
            ("rules.overheating.criticalAt", "90")
        );
        let e = error(json!({"models": {"Van": {"overheating": {"clearBelow": 150}}}}));
        assert_eq!(e.field, "rules.models.Van.overheating.clearBelow");
        assert!(
            error(json!({"overheatin": {}}))
                .problem
                .contains("overheatin")
        );
        assert!(
            error(json!({"overheating": {"warningAt": "hot"}}))
                .problem
                .contains("hot")
        );
    }
}
