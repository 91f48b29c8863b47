//! How injections are written.

use std::fmt;
use std::str::FromStr;

use millrace_contract::Invalid;

use super::{FAULTS, Fault, Injection, Wheel};

const MAX_RATE: f64 = 1000.0;
const FORM: &str = "write FAULT@SECONDS[:RATE[:OPTION]], for instance coolant-ramp@300:5, \
                    slow-puncture@300:8:rear_left or dtc@300:P0301";

impl Injection {
    /// A fault at its default rate; a puncture at the rear left, the trouble code P0301.
    pub fn new(fault: Fault, seconds: f64) -> Self {
        Self {
            fault,
            seconds,
            rate: fault.default_rate(),
            wheel: Wheel::RearLeft,
            codes: if fault == Fault::Dtc {
                vec!["P0301".to_owned()]
            } else {
                Vec::new()
            },
        }
    }

    /// Reads `FAULT@SECONDS[:RATE[:OPTION]]`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fail = |problem: String, cure: &str| Invalid::new("inject", text, problem, cure);
        let (name, rest) = text
            .split_once('@')
            .ok_or_else(|| fail("there is no @".to_owned(), FORM))?;
        let fault = Fault::ALL
            .iter()
            .copied()
            .find(|f| f.name() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
                let cure = format!("this version knows {}", known.join(", "));
                fail(format!("unknown fault {name:?}"), &cure)
            })?;
        let mut parts = rest.split(':');
        let seconds = parts.next().unwrap_or_default();
        let seconds = number(seconds, 0.0..=1e9).ok_or_else(|| {
            fail(
                format!("SECONDS is {seconds:?}, not a number from 0 on"),
                FORM,
            )
        })?;
        let mut injection = Self::new(fault, seconds);
        if let Some(rate) = parts.next() {
            if fault == Fault::Dtc {
                injection.codes = rate.split('+').map(str::to_owned).collect();
                if let Some(bad) = injection.codes.iter().find(|c| !is_code(c)) {
                    let cure = "write codes such as P0301 or U0100+P0420";
                    return Err(fail(format!("{bad:?} is no trouble code"), cure));
                }
            } else {
                injection.rate = number(rate, 0.0..=MAX_RATE)
                    .filter(|r| *r > 0.0)
                    .ok_or_else(|| {
                        let problem =
                            format!("RATE is {rate:?}, not a number above 0 and up to {MAX_RATE}");
                        fail(problem, FORM)
                    })?;
            }
        }
        if let Some(option) = parts.next() {
            let wheel = Wheel::ALL.iter().find(|w| w.name() == option);
            match (fault, wheel) {
                (Fault::SlowPuncture, Some(wheel)) => injection.wheel = *wheel,
                (Fault::SlowPuncture, None) => {
                    let cure = "use front_left, front_right, rear_left or rear_right";
                    return Err(fail(format!("OPTION is {option:?}, not a wheel"), cure));
                }
                _ => return Err(fail(format!("{name} has no OPTION"), "leave it out")),
            }
        }
        if parts.next().is_some() {
            return Err(fail("there are too many parts".to_owned(), FORM));
        }
        Ok(injection)
    }
}

fn number(text: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
    text.parse().ok().filter(|n| range.contains(n))
}

/// SAE J2012: `P0301`.
fn is_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 5
        && b"PCBU".contains(&bytes[0])
        && (b'0'..=b'3').contains(&bytes[1])
        && bytes[2..]
            .iter()
            .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b))
}

impl FromStr for Injection {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:", self.fault.name(), self.seconds)?;
        match self.fault {
            Fault::Dtc => f.write_str(&self.codes.join("+")),
            Fault::SlowPuncture => write!(f, "{}:{}", self.rate, self.wheel.name()),
            _ => write!(f, "{}", self.rate),
        }
    }
}
