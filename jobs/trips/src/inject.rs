//! Faults that are put into healthy trips.

use std::str::FromStr;

use millrace_contract::Invalid;

use crate::{Trip, TripError, Truth};

/// Names of the faults that this version injects, with what RATE means and its default.
pub const FAULTS: &[(&str, &str)] = &[(
    "coolant-ramp",
    "RATE is °C per minute, 5 when absent: the coolant temperature climbs, up to 130 °C",
)];

/// No coolant gets hotter than this: the pressure cap opens, and the sensor ends.
const COOLANT_LIMIT: f64 = 130.0;
const MAX_RATE: f64 = 1000.0;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The coolant temperature climbs above what it would have been.
    CoolantRamp,
}

impl Fault {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CoolantRamp => "coolant-ramp",
        }
    }

    /// The rule that ought to find it.
    pub fn rule(self) -> &'static str {
        match self {
            Self::CoolantRamp => "overheating",
        }
    }
}

/// A fault, from when on, and how fast: `FAULT@SECONDS[:RATE]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Injection {
    /// What.
    pub fault: Fault,
    /// Seconds from the first sample of the trip.
    pub seconds: f64,
    /// See [`FAULTS`].
    pub rate: f64,
}

impl Injection {
    /// Reads `FAULT@SECONDS[:RATE]`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fail = |problem: String, cure: &str| Err(Invalid::new("inject", text, problem, cure));
        let form = "write FAULT@SECONDS[:RATE], for instance coolant-ramp@300:5";
        let (name, rest) = match text.split_once('@') {
            Some(parts) => parts,
            None => return fail("there is no @".to_owned(), form),
        };
        let fault = match name {
            "coolant-ramp" => Fault::CoolantRamp,
            _ => {
                let known: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
                let cure = format!("this version knows {}", known.join(", "));
                return fail(format!("unknown fault {name:?}"), &cure);
            }
        };
        let (seconds, rate) = match rest.split_once(':') {
            Some((seconds, rate)) => (seconds, rate),
            None => (rest, "5"),
        };
        let seconds = match seconds.parse::<f64>() {
            Ok(s) if (0.0..=1e9).contains(&s) => s,
            _ => {
                return fail(
                    format!("SECONDS is {seconds:?}, not a number from 0 on"),
                    form,
                );
            }
        };
        let rate = match rate.parse::<f64>() {
            Ok(r) if r > 0.0 && r <= MAX_RATE => r,
            _ => {
                return fail(
                    format!("RATE is {rate:?}, not a number above 0 and up to {MAX_RATE}"),
                    form,
                );
            }
        };
        Ok(Self {
            fault,
            seconds,
            rate,
        })
    }
}

impl FromStr for Injection {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl std::fmt::Display for Injection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.fault.name(), self.seconds, self.rate)
    }
}

/// Puts a fault into a trip and notes it in the trip's truth. A fault that would begin after the end of the trip
/// changes nothing and leaves a note.
///
/// # Errors
/// The trip lacks the signal on which the fault acts.
pub fn inject(trip: &mut Trip, injection: &Injection) -> Result<(), TripError> {
    if !trip.samples.iter().any(|s| s.coolant_temperature.is_some()) {
        let fault = injection.fault.name();
        return Err(TripError::NoSignal {
            fault,
            field: "coolant_temperature",
        });
    }
    let (Some(first), Some(last)) = (
        trip.samples.first().map(|s| s.time),
        trip.samples.last().map(|s| s.time),
    ) else {
        return Ok(());
    };
    let length = last.duration_since(first).as_secs_f64();
    if injection.seconds > length {
        trip.notes.push(format!(
            "{injection} changes nothing: the trip ends after {length:.0} s"
        ));
        return Ok(());
    }
    let mut from = None;
    for sample in &mut trip.samples {
        let elapsed = sample.time.duration_since(first).as_secs_f64() - injection.seconds;
        if elapsed < 0.0 {
            continue;
        }
        from.get_or_insert(sample.time);
        match injection.fault {
            Fault::CoolantRamp => {
                if let Some(healthy) = sample.coolant_temperature.as_mut() {
                    let hot = *healthy + injection.rate * elapsed / 60.0;
                    *healthy = healthy.max(hot.min(COOLANT_LIMIT));
                }
            }
        }
    }
    trip.truth.push(Truth {
        vehicle: trip.vehicle.clone(),
        injection: injection.to_string(),
        rule: injection.fault.rule(),
        from: from.unwrap_or(last),
        until: last,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{SimParams, simulate};

    #[test]
    fn grammar() {
        let i = Injection::parse("coolant-ramp@300:4.5").unwrap();
        assert_eq!(
            (i.fault, i.seconds, i.rate),
            (Fault::CoolantRamp, 300.0, 4.5)
        );
        assert_eq!(Injection::parse("coolant-ramp@0").unwrap().rate, 5.0);
        assert_eq!(i.to_string().parse::<Injection>().unwrap(), i);
        for (text, part) in [
            ("coolant-ramp", "no @"),
            ("coolant-ramp@", "SECONDS"),
            ("coolant-ramp@-1", "SECONDS"),
            ("coolant-ramp@x:1", "SECONDS"),
            ("coolant-ramp@1:", "RATE"),
            ("coolant-ramp@1:0", "RATE"),
            ("coolant-ramp@1:NaN", "RATE"),
            ("flat-tyre@1", "unknown fault"),
        ] {
            let e = Injection::parse(text).unwrap_err();
            assert_eq!((e.field.as_str(), e.value.as_str()), ("inject", text));
            assert!(e.problem.contains(part), "{e}");
        }
    }

    #[test]
    fn the_ramp_begins_in_time_climbs_at_its_rate_and_saturates() {
        let healthy = simulate(&SimParams::default());
        let mut trip = healthy.clone();
        inject(&mut trip, &"coolant-ramp@100:6".parse().unwrap()).unwrap();
        assert_eq!(trip.samples[..=100], healthy.samples[..=100]);
        let coolant = |t: &Trip, i: usize| t.samples[i].coolant_temperature.unwrap();
        assert!((coolant(&trip, 160) - coolant(&healthy, 160) - 6.0).abs() < 1e-9);
        assert!(
            trip.samples
                .iter()
                .all(|s| s.coolant_temperature.unwrap() <= 130.0)
        );
        assert_eq!(coolant(&trip, 1199), 130.0);
        assert_eq!(trip.truth[0].rule, "overheating");
    }

    #[test]
    fn a_trip_without_coolant_or_too_short_is_told() {
        let mut trip = simulate(&SimParams {
            duration_seconds: 60,
            ..SimParams::default()
        });
        inject(&mut trip, &"coolant-ramp@100".parse().unwrap()).unwrap();
        assert!(trip.truth.is_empty() && trip.notes[0].contains("ends after 59 s"));
        trip.samples
            .iter_mut()
            .for_each(|s| s.coolant_temperature = None);
        let e = inject(&mut trip, &"coolant-ramp@10".parse().unwrap()).unwrap_err();
        assert!(e.to_string().contains("no coolant_temperature"), "{e}");
    }
}
