//! Which signals of a decoded answer are of which wheel, and in which unit: by the model's set of signals (OBDb's
//! `signalset`), where there is one, else by name and value.

use std::collections::BTreeMap;

use millrace_contract::telemetry::field;
use serde::Deserialize;

use crate::mapping::Column;
use crate::units::conversion;

/// Median of pressures below which they are in bar …
const BAR_BELOW: f64 = 6.0;
/// … and up to which they are in psi; above in kPa.
const PSI_UP_TO: f64 = 150.0;

/// A set of signals, as OBDb has one for each model.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SignalSet {
    #[serde(default)]
    commands: Vec<Command>,
}

#[derive(Debug, Deserialize)]
struct Command {
    #[serde(default)]
    signals: Vec<Signal>,
}

#[derive(Debug, Deserialize)]
struct Signal {
    id: String,
    #[serde(default)]
    fmt: Decoding,
    #[serde(rename = "suggestedMetric")]
    metric: Option<String>,
}

/// `raw * mul / div + add`, within `min` and `max`.
#[derive(Debug, Default, Deserialize)]
struct Decoding {
    len: Option<u32>,
    mul: Option<f64>,
    div: Option<f64>,
    add: Option<f64>,
    max: Option<f64>,
    unit: Option<String>,
}

impl Decoding {
    /// What a unit that has no reading gives: all bits set, or what that is cut down to.
    fn unavailable(&self) -> Vec<f64> {
        let raw = self.len.filter(|len| (1..=32).contains(len));
        let raw = raw.map(|len| ((1u64 << len) - 1) as f64);
        let ones = raw.map(|raw| {
            raw * self.mul.unwrap_or(1.0) / self.div.unwrap_or(1.0) + self.add.unwrap_or(0.0)
        });
        self.max.into_iter().chain(ones).collect()
    }

    fn unit(&self) -> Option<&str> {
        Some(match self.unit.as_deref()? {
            "bars" => "bar",
            "kilopascal" => "kPa",
            "celsius" => "Cel",
            "fahrenheit" => "degF",
            other => other,
        })
    }
}

/// A signal of a wheel: its column, and the values that are no readings.
pub(super) struct OfWheel {
    pub column: Column,
    pub unavailable: Vec<f64>,
}

/// The signals of wheels among those of a file, by their names.
pub(super) fn of_wheels(
    readings: &BTreeMap<String, Vec<f64>>,
    set: Option<&SignalSet>,
) -> BTreeMap<String, OfWheel> {
    let described = |name: &str| {
        let mut signals = set?.commands.iter().flat_map(|c| &c.signals);
        signals.find(|s| s.id == name)
    };
    let pressures = readings.iter().filter(|(name, _)| {
        field_of(described(name), name).is_some_and(|f| f.starts_with("tyre_pressure"))
    });
    let guessed = pressure_unit(pressures.flat_map(|(_, values)| values.iter().copied()));
    let mut found: BTreeMap<String, OfWheel> = BTreeMap::new();
    for name in readings.keys() {
        let signal = described(name);
        let Some(field) = field_of(signal, name).and_then(|name| field(&name)) else {
            continue;
        };
        let own = signal.and_then(|s| s.fmt.unit());
        let unit = own.unwrap_or(if field.unit == "kPa" { guessed } else { "Cel" });
        // A signal in another unit, such as a share of what is recommended, is none of these.
        let Ok((scale, offset)) = conversion(unit, field.unit) else {
            continue;
        };
        if found.values().any(|other| other.column.field == field.name) {
            continue;
        }
        found.insert(
            name.clone(),
            OfWheel {
                column: Column {
                    field: field.name.to_owned(),
                    scale,
                    offset,
                    unit: None,
                    missing: Vec::new(),
                    optional: true,
                },
                unavailable: signal.map_or_else(Vec::new, |s| s.fmt.unavailable()),
            },
        );
    }
    found
}

impl OfWheel {
    fn is_unavailable(&self, value: f64) -> bool {
        self.unavailable
            .iter()
            .any(|none| (none - value).abs() < 1e-3)
    }
}

/// The signals of one answer that are no readings: values that a unit has none for, and the temperature of a tyre
/// whose pressure is none, since the sensor sleeps.
pub(super) fn without_reading(
    wheels: &BTreeMap<String, OfWheel>,
    value: impl Fn(&str) -> Option<f64>,
) -> Vec<&str> {
    let none = |name: &str, wheel: &OfWheel| value(name).is_some_and(|v| wheel.is_unavailable(v));
    let asleep = |wheel: &OfWheel| {
        let Some(place) = wheel.column.field.strip_prefix("tyre_temperature_") else {
            return false;
        };
        let pressure = wheels
            .iter()
            .find(|(_, w)| w.column.field.strip_prefix("tyre_pressure_") == Some(place));
        pressure.is_some_and(|(name, w)| value(name).is_some_and(|p| p <= 0.0) || none(name, w))
    };
    wheels
        .iter()
        .filter(|(name, wheel)| none(name, wheel) || asleep(wheel))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The telemetry field: by what the set says that it is about, else by the name.
fn field_of(signal: Option<&Signal>, name: &str) -> Option<String> {
    let told = signal.and_then(|s| {
        let metric = s.metric.as_deref()?;
        let (wheel, quantity) = metric.split_once("Tire")?;
        let wheel = match wheel {
            "frontLeft" => "front_left",
            "frontRight" => "front_right",
            "rearLeft" => "rear_left",
            "rearRight" => "rear_right",
            _ => return None,
        };
        match quantity {
            "Pressure" => Some(format!("tyre_pressure_{wheel}")),
            "Temperature" => Some(format!("tyre_temperature_{wheel}")),
            _ => None,
        }
    });
    told.or_else(|| by_name(name))
}

/// `KONA_TP_FL`, `X_TT_RR`, `X_TIRE_PRESS_LF`: the quantity, then the wheel, at the end.
fn by_name(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let mut parts = upper.rsplit('_');
    let wheel = match parts.next()? {
        "FL" | "LF" => "front_left",
        "FR" | "RF" => "front_right",
        "RL" | "LR" => "rear_left",
        "RR" => "rear_right",
        _ => return None,
    };
    let is_tyre = |part: Option<&str>| part.is_some_and(|p| matches!(p, "TIRE" | "TYRE" | "TPMS"));
    match parts.next()? {
        "TP" => Some(format!("tyre_pressure_{wheel}")),
        "TT" => Some(format!("tyre_temperature_{wheel}")),
        "P" | "PRESS" | "PRESSURE" if is_tyre(parts.next()) => {
            Some(format!("tyre_pressure_{wheel}"))
        }
        "T" | "TEMP" | "TEMPERATURE" if is_tyre(parts.next()) => {
            Some(format!("tyre_temperature_{wheel}"))
        }
        _ => None,
    }
}

/// By the median of what is there: no tyre of a road vehicle has 6 psi or 6 bar and more of a car's.
fn pressure_unit(values: impl Iterator<Item = f64>) -> &'static str {
    let mut values: Vec<f64> = values.filter(|v| *v > 0.0).collect();
    values.sort_by(f64::total_cmp);
    match values.get(values.len() / 2) {
        Some(median) if *median < BAR_BELOW => "bar",
        Some(median) if *median > PSI_UP_TO => "kPa",
        _ => "psi",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(signals: &[(&str, &[f64])]) -> BTreeMap<String, Vec<f64>> {
        signals
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.to_vec()))
            .collect()
    }

    /// Field and converted first reading of each signal that is found.
    fn found(signals: &[(&str, &[f64])], set: Option<&str>) -> Vec<(String, f64)> {
        let readings = readings(signals);
        let set: Option<SignalSet> = set.map(|s| serde_json::from_str(s).unwrap());
        of_wheels(&readings, set.as_ref())
            .into_iter()
            .map(|(name, w)| {
                let value = w.column.convert(readings[&name][0]);
                (w.column.field, (value * 10.0).round() / 10.0)
            })
            .collect()
    }

    #[test]
    fn any_model_is_known_by_the_names_of_its_signals() {
        for (values, kpa) in [
            ([33.5, 33.0], 231.0),
            ([2.3, 0.0], 230.0),
            ([235.0, 240.0], 235.0),
        ] {
            let found = found(
                &[
                    ("MODEL_TP_FL", &values),
                    ("MODEL_TPMS_PRESS_LR", &values),
                    ("MODEL_TT_RR", &[21.0]),
                    ("MODEL_TP_SPARE", &values),
                    ("MODEL_FUEL_PRESS_RR", &values),
                ],
                None,
            );
            assert_eq!(
                found,
                [
                    ("tyre_pressure_rear_left".to_owned(), kpa),
                    ("tyre_pressure_front_left".to_owned(), kpa),
                    ("tyre_temperature_rear_right".to_owned(), 21.0),
                ]
            );
        }
    }

    #[test]
    fn the_set_of_signals_tells_wheel_and_unit() {
        let set = r#"{"commands": [{"signals": [
            {"id": "X_1", "fmt": {"len": 8, "max": 4, "div": 58, "add": -0.5, "unit": "bars"}, "suggestedMetric": "rearLeftTirePressure"},
            {"id": "X_2", "fmt": {"unit": "fahrenheit"}, "suggestedMetric": "frontRightTireTemperature"},
            {"id": "X_TP_RR", "fmt": {"unit": "percent"}}, {"id": "X_SOC", "suggestedMetric": "stateOfCharge"}]}]}"#;
        let signals: [(&str, &[f64]); 4] = [
            ("X_1", &[2.5]),
            ("X_2", &[68.0]),
            ("X_TP_RR", &[90.0]),
            ("X_SOC", &[50.0]),
        ];
        assert_eq!(
            found(&signals, Some(set)),
            [
                ("tyre_pressure_rear_left".to_owned(), 250.0),
                ("tyre_temperature_front_right".to_owned(), 20.0),
            ]
        );
        let set: SignalSet = serde_json::from_str(set).unwrap();
        let unavailable = &of_wheels(&readings(&signals), Some(&set))["X_1"].unavailable;
        assert!((unavailable[0] - 4.0).abs() < 1e-9 && (unavailable[1] - 3.8966).abs() < 1e-3);
    }
}
