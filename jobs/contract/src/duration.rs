//! Durations in configuration files: `200ms`, `30s`, `5m`, `2h`, `90d`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

/// A duration that a person writes: a number with `ms`, `s`, `m`, `h` or `d`, or a bare number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn milliseconds(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// So many seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// Reads one, for example `200ms`, `30s`, `5m`, `2h`, `90d`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let scale = match unit.trim() {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number * scale).ok().map(Self)
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 200ms, 30s, 5m or 2h")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| {
                    E::custom(format!(
                        "{text}: not a duration; write for example 200ms, 30s, 5m or 2h"
                    ))
                })
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Span, E> {
                Ok(Span::seconds(seconds))
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Span, E> {
                self.visit_str(&seconds.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_bare_seconds() {
        assert_eq!(Span::parse("200ms"), Some(Span::milliseconds(200)));
        assert_eq!(Span::parse(" 1.5 s"), Some(Span::milliseconds(1500)));
        assert_eq!(Span::parse("5m"), Some(Span::seconds(300)));
        assert_eq!(Span::parse("2h"), Some(Span::seconds(7200)));
        assert_eq!(
            serde_yaml_ng::from_str::<Span>("30").unwrap(),
            Span::seconds(30)
        );
    }

    #[test]
    fn what_is_no_duration_is_named() {
        for bad in ["", "s", "-1s", "3 days", "1e99h"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
        let e = serde_yaml_ng::from_str::<Span>("3 days")
            .unwrap_err()
            .to_string();
        assert!(e.contains("3 days") && e.contains("200ms"), "{e}");
    }
}
