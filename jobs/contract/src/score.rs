//! The configuration of `score`: the job reads it, and the operator checks it before it starts the job.
//!
//! Defaults of thresholds lie between those of vendors (0.20 to 0.37 g for acceleration, 0.25 to 0.38 g for braking); what each
//! figure means is told in docs/scores.md.

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::duration::Span;

/// config.yaml of `score`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ScoreConfig {
    /// The dataset in the lake, a folder under its root.
    pub dataset: String,
    /// Time zone of days and nights, by its IANA name.
    pub zone: String,
    /// After that long without a reading of the speed a new trip begins.
    pub trip_gap: Span,
    /// Readings that lie further apart say nothing of what was between them.
    pub longest_step: Span,
    /// A change of speed or direction above this is a fault of measurement, in m/s².
    pub implausible_acceleration: f64,
    /// Harsh acceleration begins here, in m/s².
    pub acceleration: f64,
    /// Harsh braking begins here, in m/s², without its sign.
    pub braking: f64,
    /// A harsh turn begins here, in m/s² sideways.
    pub turning: f64,
    /// A course is believed from this speed on, in km/h: a receiver that stands tells any.
    pub course_from: f64,
    /// The vehicle is driven from this speed on, in km/h.
    pub driving_from: f64,
    /// The speed limit where the vehicle does not tell it, in km/h.
    pub speed_limit: f64,
    /// So much above the limit is not yet speeding, in km/h.
    pub tolerance: f64,
    /// The engine runs from this speed on, in revolutions a minute.
    pub engine_from: f64,
    /// A vehicle that stands with its engine running idles when it does so for this long.
    pub idle_after: Span,
    /// Night begins at this minute of the local day.
    pub night_from: u16,
    /// Night ends at this minute of the local day.
    pub night_to: u16,
    /// Driving beyond this without a break is a long shift. Regulation (EC) 561/2006, article 7: 4 h 30 min.
    pub shift: Span,
    /// What makes a break, the same article: 45 min.
    pub shift_break: Span,
    /// Fuel of a good driver, in litres for 100 km, by model; `*` is for all others. Without either economy is not scored.
    pub fuel_reference: std::collections::BTreeMap<String, f64>,
    /// Kilogrammes of air for a kilogramme of fuel, for vehicles that tell their air flow and not their fuel. Petrol: 14.7.
    pub air_fuel_ratio: f64,
    /// Grammes of a litre of fuel. Petrol: 745.
    pub fuel_density: f64,
    /// Rates of shorter drives are told of this distance, in km: one event on the first kilometre is no habit.
    pub least_distance: f64,
    /// What brings a part down to no points.
    pub worst: Worst,
    /// How much each part weighs. A part that is not known weighs nothing.
    pub weights: Weights,
}

/// What brings each part of a score from 100 points down to 0; between, points go down evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Worst {
    /// Harsh accelerations on 100 km.
    pub acceleration: f64,
    /// Harsh brakings on 100 km.
    pub braking: f64,
    /// Harsh turns on 100 km.
    pub turning: f64,
    /// Share of the time of driving, 0 to 1.
    pub speeding: f64,
    /// Share of the time with the engine running, 0 to 1.
    pub idling: f64,
    /// Fuel over the reference, as a share of it: 1 is twice the reference.
    pub economy: f64,
    /// Share of the time of driving, 0 to 1.
    pub night: f64,
    /// Share of the time of driving, 0 to 1.
    pub long_shift: f64,
}

/// How much each part weighs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Weights {
    /// Harsh acceleration.
    pub acceleration: f64,
    /// Harsh braking.
    pub braking: f64,
    /// Harsh turns.
    pub turning: f64,
    /// Speeding.
    pub speeding: f64,
    /// Idling.
    pub idling: f64,
    /// Economy.
    pub economy: f64,
    /// Driving at night.
    pub night: f64,
    /// Driving too long.
    pub long_shift: f64,
}

impl Default for Worst {
    fn default() -> Self {
        Self {
            acceleration: 60.0,
            braking: 60.0,
            turning: 60.0,
            speeding: 0.2,
            idling: 0.3,
            economy: 1.0,
            night: 0.5,
            long_shift: 0.25,
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            acceleration: 15.0,
            braking: 20.0,
            turning: 15.0,
            speeding: 25.0,
            idling: 5.0,
            economy: 10.0,
            night: 5.0,
            long_shift: 5.0,
        }
    }
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            dataset: crate::topics::TELEMETRY.to_owned(),
            zone: "UTC".to_owned(),
            trip_gap: Span::seconds(300),
            longest_step: Span::seconds(3),
            implausible_acceleration: 12.0,
            acceleration: 3.0,
            braking: 3.5,
            turning: 4.0,
            course_from: 10.0,
            driving_from: 5.0,
            speed_limit: 130.0,
            tolerance: 5.0,
            engine_from: 400.0,
            idle_after: Span::seconds(120),
            night_from: 23 * 60,
            night_to: 5 * 60,
            shift: Span::seconds(4 * 3600 + 1800),
            shift_break: Span::seconds(2700),
            fuel_reference: std::collections::BTreeMap::new(),
            air_fuel_ratio: 14.7,
            fuel_density: 745.0,
            least_distance: 5.0,
            worst: Worst::default(),
            weights: Weights::default(),
        }
    }
}

impl ScoreConfig {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self) -> Result<(), Invalid> {
        crate::archive::check_dataset(&self.dataset)?;
        self.time_zone()?;
        let (worst, weights) = (&self.worst, &self.weights);
        for (field, value) in [
            ("implausibleAcceleration", self.implausible_acceleration),
            ("acceleration", self.acceleration),
            ("braking", self.braking),
            ("turning", self.turning),
            ("speedLimit", self.speed_limit),
            ("engineFrom", self.engine_from),
            ("airFuelRatio", self.air_fuel_ratio),
            ("fuelDensity", self.fuel_density),
            ("leastDistance", self.least_distance),
            ("worst.acceleration", worst.acceleration),
            ("worst.braking", worst.braking),
            ("worst.turning", worst.turning),
            ("worst.speeding", worst.speeding),
            ("worst.idling", worst.idling),
            ("worst.economy", worst.economy),
            ("worst.night", worst.night),
            ("worst.longShift", worst.long_shift),
        ] {
            check(field, value, value > 0.0, "not above 0")?;
        }
        for (model, value) in &self.fuel_reference {
            let field = format!("fuelReference.{model}");
            check(&field, *value, *value > 0.0, "not above 0")?;
        }
        let all = weights.all();
        for (field, value) in [
            ("courseFrom", self.course_from),
            ("drivingFrom", self.driving_from),
            ("tolerance", self.tolerance),
            ("weights", all.iter().copied().fold(f64::INFINITY, f64::min)),
        ] {
            check(field, value, value >= 0.0, "below 0")?;
        }
        let sum: f64 = all.iter().sum();
        check("weights", sum, sum > 0.0, "nothing weighs anything")?;
        for (field, minute) in [("nightFrom", self.night_from), ("nightTo", self.night_to)] {
            check(
                field,
                f64::from(minute),
                minute < 1440,
                "no minute of a day, 0 to 1439",
            )?;
        }
        for (field, span, least) in [
            ("tripGap", self.trip_gap, 1),
            ("longestStep", self.longest_step, 1),
            ("idleAfter", self.idle_after, 0),
            ("shift", self.shift, 1),
            ("shiftBreak", self.shift_break, 1),
        ] {
            let whole = span.0.subsec_nanos() == 0 && span.0.as_secs() >= least;
            let seconds = span.0.as_secs_f64();
            check(field, seconds, whole, "not whole seconds, or none")?;
        }
        Ok(())
    }

    /// The time zone.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn time_zone(&self) -> Result<jiff::tz::TimeZone, Invalid> {
        jiff::tz::TimeZone::get(&self.zone).map_err(|_| {
            Invalid::new(
                "zone",
                &self.zone,
                "no time zone of this name",
                "write a name of the IANA database, for example Europe/Berlin",
            )
        })
    }
}

impl Weights {
    /// All of them, in the order of the fields.
    #[must_use]
    pub fn all(&self) -> [f64; 8] {
        [
            self.acceleration,
            self.braking,
            self.turning,
            self.speeding,
            self.idling,
            self.economy,
            self.night,
            self.long_shift,
        ]
    }
}

fn check(field: &str, value: f64, fits: bool, problem: &str) -> Result<(), Invalid> {
    if fits && value.is_finite() {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        value.to_string(),
        problem,
        "correct it, or leave the field out",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let config = |text: &str| serde_yaml_ng::from_str::<ScoreConfig>(text).unwrap();
        config("{}").validate().unwrap();
        config("weights: { night: 0, economy: 0 }")
            .validate()
            .unwrap();
        for (text, field) in [
            ("zone: Mars/Olympus", "zone"),
            ("braking: -3", "braking"),
            ("acceleration: .nan", "acceleration"),
            ("tripGap: 500ms", "tripGap"),
            ("nightFrom: 1440", "nightFrom"),
            ("weights: { night: -1 }", "weights"),
            ("worst: { idling: 0 }", "worst.idling"),
            ("fuelReference: { Golf: 0 }", "fuelReference.Golf"),
            ("dataset: _x", "dataset"),
        ] {
            assert_eq!(config(text).validate().unwrap_err().field, field, "{text}");
        }
        assert!(serde_yaml_ng::from_str::<ScoreConfig>("brakeing: 3").is_err());
    }
}
