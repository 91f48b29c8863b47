//! What `schema.yaml` says about a telemetry field, at run time.

use crate::Invalid;

/// The JSON type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A finite number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of short texts, such as trouble codes.
    Codes,
}

/// What a field can tell about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// About the machine.
    Vehicle,
    /// About how it is driven.
    Behaviour,
    /// About where it is.
    Location,
}

/// One telemetry field, generated from `schema.yaml`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// Path in the COVESA Vehicle Signal Specification; `-` where it has none.
    pub vss: &'static str,
    /// UCUM code of the unit.
    pub unit: &'static str,
    /// JSON type.
    pub kind: Kind,
    /// Smallest plausible value, in `unit`.
    pub min: f64,
    /// Largest plausible value, in `unit`.
    pub max: f64,
    /// Readings that mean "not available", each as an inclusive interval in `unit`.
    pub not_available: &'static [(f64, f64)],
    /// What it can tell about a person.
    pub privacy: Privacy,
    /// What it is.
    pub description: &'static str,
}

impl Field {
    /// Judges a reading: itself, or `None` when it is one of the field's not-available values.
    ///
    /// # Errors
    /// The value is not finite or outside of the plausible range.
    pub fn accept(&self, value: f64) -> Result<Option<f64>, Invalid> {
        if self
            .not_available
            .iter()
            .any(|&(from, to)| value >= from && value <= to)
        {
            return Ok(None);
        }
        if value >= self.min && value <= self.max {
            return Ok(Some(value));
        }
        Err(Invalid::new(
            self.name,
            value.to_string(),
            format!("outside of {} to {} {}", self.min, self.max, self.unit),
            format!(
                "send {} in {}, or leave the field out",
                self.name, self.unit
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::field;

    #[test]
    fn sentinels_are_not_available_and_nonsense_is_refused() {
        let coolant = field("coolant_temperature").unwrap();
        assert_eq!(coolant.accept(92.5).unwrap(), Some(92.5));
        assert_eq!(coolant.accept(215.0).unwrap(), None);
        assert_eq!(coolant.accept(1774.969).unwrap(), None);
        assert_eq!(coolant.accept(1774.96875).unwrap(), None);
        let e = coolant.accept(999.0).unwrap_err();
        assert_eq!(
            (e.field.as_str(), e.value.as_str()),
            ("coolant_temperature", "999")
        );
        assert!(coolant.accept(f64::NAN).is_err());

        let tyre = field("tyre_pressure_rear_left").unwrap();
        assert_eq!(tyre.accept(0.0).unwrap(), None);
        assert_eq!(tyre.accept(389.655).unwrap(), None);
        assert_eq!(tyre.accept(230.0).unwrap(), Some(230.0));
        assert_eq!(field("fuel_level").unwrap().accept(102.0).unwrap(), None);
        assert_eq!(
            field("battery_voltage").unwrap().accept(3012.8).unwrap(),
            None
        );
        assert_eq!(field("oil_pressure").unwrap().accept(1020.0).unwrap(), None);
        assert_eq!(field("throttle").unwrap().accept(127.5).unwrap(), None);
        assert_eq!(
            field("tyre_temperature_front_left")
                .unwrap()
                .accept(-40.0)
                .unwrap(),
            None
        );
        assert!(field("no_such_signal").is_none());
    }
}
