//! Units that columns may have, besides that of their field.

/// `value * scale + offset` turns the unit `from` into `to`. UCUM codes of the contract at the right.
const CONVERSIONS: &[(&str, &str, f64, f64)] = &[
    ("psi", "kPa", 6.894_757_293, 0.0),
    ("bar", "kPa", 100.0, 0.0),
    ("hPa", "kPa", 0.1, 0.0),
    ("mbar", "kPa", 0.1, 0.0),
    ("Pa", "kPa", 0.001, 0.0),
    ("m/s", "km/h", 3.6, 0.0),
    ("mph", "km/h", 1.609_344, 0.0),
    ("kn", "km/h", 1.852, 0.0),
    ("degF", "Cel", 5.0 / 9.0, -160.0 / 9.0),
    ("K", "Cel", 1.0, -273.15),
    ("km", "m", 1000.0, 0.0),
    ("mi", "m", 1609.344, 0.0),
    ("ft", "m", 0.3048, 0.0),
    ("mi", "km", 1.609_344, 0.0),
    ("mV", "V", 0.001, 0.0),
    ("ms", "s", 0.001, 0.0),
    ("min", "s", 60.0, 0.0),
    ("h", "min", 60.0, 0.0),
    ("s", "min", 1.0 / 60.0, 0.0),
    ("rad", "deg", 57.295_779_513_082_32, 0.0),
    ("rad/s", "deg/s", 57.295_779_513_082_32, 0.0),
    ("g", "m/s2", 9.806_65, 0.0),
    ("kg/h", "g/s", 1.0 / 3.6, 0.0),
    ("gal/h", "l/h", 3.785_411_784, 0.0),
    ("1", "%", 100.0, 0.0),
];

/// Scale and offset from a unit to that of a field, or the units that the field can be given in.
pub(crate) fn conversion(from: &str, to: &str) -> Result<(f64, f64), String> {
    if from == to {
        return Ok((1.0, 0.0));
    }
    CONVERSIONS
        .iter()
        .find(|(f, t, ..)| *f == from && *t == to)
        .map(|&(_, _, scale, offset)| (scale, offset))
        .ok_or_else(|| {
            let known: Vec<&str> = std::iter::once(to)
                .filter(|t| !t.is_empty())
                .chain(
                    CONVERSIONS
                        .iter()
                        .filter(|(_, t, ..)| *t == to)
                        .map(|(f, ..)| *f),
                )
                .collect();
            known.join(", ")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions() {
        let turned = |value: f64, from, to| {
            let (scale, offset) = conversion(from, to).unwrap();
            value * scale + offset
        };
        assert!((turned(33.36, "psi", "kPa") - 230.01).abs() < 0.01);
        assert!((turned(2.3, "bar", "kPa") - 230.0).abs() < 1e-9);
        assert!((turned(212.0, "degF", "Cel") - 100.0).abs() < 1e-9);
        assert_eq!(turned(7.0, "V", "V"), 7.0);
        assert_eq!(conversion("furlong", "V").unwrap_err(), "V, mV");
    }

    #[test]
    fn every_target_is_a_unit_of_the_contract() {
        for (from, to, ..) in CONVERSIONS {
            assert!(
                millrace_contract::FIELDS.iter().any(|f| f.unit == *to),
                "{from} → {to}"
            );
        }
    }
}
