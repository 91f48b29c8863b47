//! The configuration of `analyse`: the job reads it, and the operator checks it before it starts the job.

use serde::Deserialize;

use crate::archive::check_dataset;
use crate::duration::Span;
use crate::{Invalid, topics};

/// config.yaml of `analyse`. What each figure means is told in docs/analysts.md.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AnalyseConfig {
    /// The dataset of telemetry in the lake, a folder under its root: odometers are from there.
    pub telemetry: String,
    /// The dataset of vehicle events.
    pub vehicle_events: String,
    /// The dataset of alerts.
    pub alerts: String,
    /// Files under the lake's root, CSV: which share of a stretch was driven on which roads.
    pub road_files: Vec<String>,
    /// A vehicle that nothing is heard of for longer than this was observed until then, others until now.
    pub gone_after: Span,
    /// A breakdown that is told of so long after a stretch ended still happened on its roads.
    pub stands_for: Span,
    /// The restricted mean is that of the first so many kilometres; of as many as were observed when absent.
    pub first_km: Option<f64>,
    /// The restricted mean is that of the first so many hours; of as many as were observed when absent.
    pub first_hours: Option<f64>,
}

impl Default for AnalyseConfig {
    fn default() -> Self {
        Self {
            telemetry: topics::TELEMETRY.to_owned(),
            vehicle_events: topics::VEHICLE_EVENTS.to_owned(),
            alerts: topics::ALERTS.to_owned(),
            road_files: Vec::new(),
            gone_after: Span::seconds(30 * 86_400),
            stands_for: Span::seconds(900),
            first_km: None,
            first_hours: None,
        }
    }
}

impl AnalyseConfig {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self) -> Result<(), Invalid> {
        let datasets = [
            ("telemetry", &self.telemetry),
            ("vehicleEvents", &self.vehicle_events),
            ("alerts", &self.alerts),
        ];
        for (field, dataset) in datasets {
            check_dataset(dataset).map_err(|invalid| Invalid {
                field: field.to_owned(),
                ..invalid
            })?;
        }
        for path in &self.road_files {
            let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
            if !path.split('/').all(inside) {
                return Err(Invalid::new(
                    "roadFiles",
                    path,
                    "no path of a file under the lake's root",
                    "write for example roads/2026-11.csv",
                ));
            }
        }
        if self.gone_after.0.is_zero() {
            return Err(Invalid::new(
                "goneAfter",
                "0s",
                "no time at all",
                "write for example 30d",
            ));
        }
        for (field, length) in [("firstKm", self.first_km), ("firstHours", self.first_hours)] {
            if let Some(length) = length
                && !(length > 0.0 && length.is_finite())
            {
                return Err(Invalid::new(
                    field,
                    length.to_string(),
                    "not above 0",
                    "give a length that was observed, or leave the field out",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> AnalyseConfig {
        serde_yaml_ng::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_work_is_named() {
        config("{}").validate().unwrap();
        config("{roadFiles: [roads/a.csv], goneAfter: 90d, firstKm: 20000}")
            .validate()
            .unwrap();
        for (text, field) in [
            ("vehicleEvents: _x", "vehicleEvents"),
            ("alerts: ../x", "alerts"),
            ("roadFiles: [../secret.csv]", "roadFiles"),
            ("roadFiles: [/etc/passwd]", "roadFiles"),
            ("goneAfter: 0s", "goneAfter"),
            ("firstKm: -1", "firstKm"),
            ("firstHours: .nan", "firstHours"),
        ] {
            assert_eq!(config(text).validate().unwrap_err().field, field, "{text}");
        }
    }
}
