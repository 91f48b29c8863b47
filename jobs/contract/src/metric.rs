//! What the programs tell Prometheus: every metric, once. Tests of each program compare what it exports with this list;
//! alert rules, dashboards and the page are made of it or checked against it.

mod list;

use std::collections::{BTreeMap, BTreeSet};

pub use list::METRICS;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only grows; its series end in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values were in which range; its series end in `_bucket`, `_count` and `_sum`.
    Histogram,
}

impl MetricKind {
    /// Its word in the text that Prometheus reads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, without what its series have at their end.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// What it counts in; empty where it is plain numbers.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

impl Metric {
    /// The names of its series.
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        let ends: &[&str] = match self.kind {
            MetricKind::Counter => &["_total"],
            MetricKind::Gauge => &[""],
            MetricKind::Histogram => &["_bucket", "_count", "_sum"],
        };
        ends.iter()
            .map(|end| format!("{}{end}", self.name))
            .collect()
    }
}

/// The metrics of the list whose names start so.
pub fn of(prefix: &str) -> impl Iterator<Item = &'static Metric> + '_ {
    METRICS
        .iter()
        .filter(move |metric| metric.name.starts_with(prefix))
}

/// How the text that a program exports differs from the list: one line for each difference. Labels are compared where
/// the text has a series of the metric.
#[must_use]
pub fn differences(prefix: &str, text: &str) -> Vec<String> {
    differences_from(of(prefix), text)
}

/// The same for a list of one's own.
#[must_use]
pub fn differences_from<'a>(
    metrics: impl IntoIterator<Item = &'a Metric>,
    text: &str,
) -> Vec<String> {
    let mut types = BTreeMap::new();
    let mut meanings = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(split) {
            types.insert(name, kind);
        } else if let Some((name, meaning)) = line.strip_prefix("# HELP ").and_then(split) {
            // The library ends it so.
            meanings.insert(name, meaning.strip_suffix('.').unwrap_or(meaning));
        }
    }
    let mut told = Vec::new();
    for metric in metrics {
        let name = metric.name;
        match types.remove(name) {
            None => told.push(format!("{name} is in the list, and nobody exports it")),
            Some(kind) if kind != metric.kind.as_str() => told.push(format!(
                "{name} is a {kind}, and in the list a {}",
                metric.kind.as_str()
            )),
            Some(_) => {}
        }
        let meaning = meanings.get(name).copied().unwrap_or_default();
        if meaning != metric.meaning {
            told.push(format!(
                "{name} says {meaning:?}, and in the list {:?}",
                metric.meaning
            ));
        }
        for labels in labels(metric, text) {
            let listed: BTreeSet<&str> = metric.labels.iter().copied().collect();
            if labels != listed {
                told.push(format!(
                    "{name} has the labels {labels:?}, and in the list {listed:?}"
                ));
            }
        }
    }
    told.extend(
        types
            .keys()
            .map(|name| format!("{name} is exported, and not in the list")),
    );
    told
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ')
}

/// The sets of labels that series of a metric have.
fn labels<'a>(metric: &Metric, text: &'a str) -> BTreeSet<BTreeSet<&'a str>> {
    let series = metric.series();
    text.lines()
        .filter_map(|line| {
            let end = line.find(['{', ' '])?;
            let (name, rest) = line.split_at_checked(end)?;
            series.iter().any(|one| one == name).then(|| {
                let inner = rest
                    .strip_prefix('{')
                    .and_then(|rest| rest.rsplit_once('}'))
                    .map_or("", |(inner, _)| inner);
                inner
                    .split("\",")
                    .filter_map(|pair| pair.split_once('=').map(|(label, _)| label))
                    // Of the buckets of a histogram.
                    .filter(|label| *label != "le")
                    .collect()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_listed_once_and_named_by_its_program() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(metric.name.starts_with("millrace_"), "{}", metric.name);
            assert!(!metric.name.ends_with("_total"), "{}", metric.name);
            assert!(!metric.meaning.is_empty(), "{}", metric.name);
        }
    }

    #[test]
    fn each_difference_is_told() {
        let right = "# HELP millrace_operator_leader 1 while this operator leads, 0 while it stands by.\n\
                     # TYPE millrace_operator_leader gauge\nmillrace_operator_leader 1\n";
        let only = |text: &str| {
            let mut all = differences("millrace_operator_leader", text);
            assert!(all.len() < 2, "{all:?}");
            all.pop().unwrap_or_default()
        };
        assert_eq!(only(right), "");
        let kind = right.replace(" gauge", " counter");
        assert!(only(&kind).contains("is a counter"), "{}", only(&kind));
        let labels = right.replace("leader 1\n", "leader{a=\"b,c=\",d=\"e\"} 1\n");
        assert!(only(&labels).contains(r#"{"a", "d"}"#), "{}", only(&labels));
        let more = format!("{right}# TYPE millrace_x gauge\n");
        assert!(only(&more).contains("not in the list"), "{}", only(&more));
        let help = right.replace("leads,", "led,");
        assert!(only(&help).contains("says"), "{}", only(&help));
        assert_eq!(differences("millrace_operator_leader", "").len(), 2);
    }
}
