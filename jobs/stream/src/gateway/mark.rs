//! Up to where the events of some vehicles reached when they were first asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use millrace_contract::Invalid;

/// Ends of partitions.
pub type Ends = BTreeMap<i32, i64>;

/// What a caller of `/v1/flow` waits for: given back with the next call, it keeps what comes after it, of
/// other vehicles too, out of the answer. As text `t0-12_t2-5_a1-3`: topic, partition, end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Where telemetry ended.
    pub telemetry: Ends,
    /// Where alerts ended once detection had come to the end of that telemetry; unknown before.
    pub alerts: Option<Ends>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alerts = self.alerts.iter().flatten();
        let parts = self.telemetry.iter().map(|end| ('t', end));
        for (n, (topic, (partition, end))) in parts.chain(alerts.map(|end| ('a', end))).enumerate()
        {
            let between = if n == 0 { "" } else { "_" };
            write!(f, "{between}{topic}{partition}-{end}")?;
        }
        Ok(())
    }
}

impl FromStr for Mark {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut mark = Self::default();
        for part in text.split('_') {
            let (topic, partition, end) = part_of(part).ok_or_else(|| {
                Invalid::new(
                    "mark",
                    text,
                    "is not the mark of an earlier answer",
                    "give the `mark` of the first answer as it was, or none",
                )
            })?;
            let ends = match topic {
                Topic::Telemetry => &mut mark.telemetry,
                Topic::Alerts => mark.alerts.get_or_insert_default(),
            };
            ends.insert(partition, end);
        }
        Ok(mark)
    }
}

enum Topic {
    Telemetry,
    Alerts,
}

fn part_of(part: &str) -> Option<(Topic, i32, i64)> {
    let (topic, rest) = match part.split_at_checked(1)? {
        ("t", rest) => (Topic::Telemetry, rest),
        ("a", rest) => (Topic::Alerts, rest),
        _ => return None,
    };
    let (partition, end) = rest.split_once('-')?;
    let (partition, end) = (partition.parse().ok()?, end.parse().ok()?);
    (partition >= 0 && end >= 0).then_some((topic, partition, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_text_and_back() {
        let mut mark = Mark {
            telemetry: Ends::from([(0, 12), (2, 5)]),
            alerts: None,
        };
        assert_eq!(mark.to_string(), "t0-12_t2-5");
        assert_eq!("t0-12_t2-5".parse::<Mark>().unwrap(), mark);
        mark.alerts = Some(Ends::from([(1, 3)]));
        assert_eq!(mark.to_string().parse::<Mark>().unwrap(), mark);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "x0-1", "t0", "t-1-2", "t0--1", "t0-1_", "ä0-1"] {
            let e = text.parse::<Mark>().unwrap_err();
            assert_eq!((e.field.as_str(), e.value.as_str()), ("mark", text));
        }
    }
}
