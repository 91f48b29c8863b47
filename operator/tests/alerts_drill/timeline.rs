//! Which alerts fired when, as Prometheus said each second.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::prometheus_support::Prometheus;

/// An alert that is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// The rule.
    pub rule: &'static str,
    /// A label of it as JSON has it, for example `"pod":"k-n-2"`: which of several; empty where there can be one only.
    pub of: &'static str,
}

impl Expect {
    pub const fn new(rule: &'static str, of: &'static str) -> Self {
        Self { rule, of }
    }

    fn is(&self, labels: &str) -> bool {
        let name = format!("\"alertname\":\"{}\"", self.rule);
        labels.contains(&name) && labels.contains(self.of)
    }
}

/// The labels of alerts that fired at one look.
type Look = (Instant, BTreeSet<String>);

/// All looks so far. Clones share them.
#[derive(Clone, Default)]
pub struct Timeline {
    looks: Arc<Mutex<Vec<Look>>>,
}

impl Timeline {
    /// Looks once more.
    pub fn look(&self, prometheus: &Prometheus) {
        let at = Instant::now();
        let Ok(firing) = prometheus.ask("ALERTS{alertstate=\"firing\"}") else {
            return;
        };
        let labels = firing.iter().map(|one| one["metric"].to_string());
        self.looks.lock().unwrap().push((at, labels.collect()));
    }

    fn first(&self, expect: Expect, since: Instant, firing: bool) -> Option<Duration> {
        let looks = self.looks.lock().unwrap();
        let after = looks.iter().rev().take_while(|(at, _)| *at >= since);
        let found = after
            .filter(|(_, all)| all.iter().any(|labels| expect.is(labels)) == firing)
            .last();
        found.map(|(at, _)| *at - since)
    }

    /// How long after a moment an alert fired for the first time.
    pub fn fired(&self, expect: Expect, since: Instant) -> Option<Duration> {
        self.first(expect, since, true)
    }

    /// How long after a moment it did not fire for the first time.
    pub fn silent(&self, expect: Expect, since: Instant) -> Option<Duration> {
        self.first(expect, since, false)
    }

    /// Which alerts fire now.
    pub fn now(&self) -> Vec<String> {
        let looks = self.looks.lock().unwrap();
        let last = looks.last();
        last.map_or_else(Vec::new, |(_, all)| all.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_fires_and_is_silent_by_the_looks_after_a_moment() {
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        let fires = |pod: &str| {
            BTreeSet::from([format!(
                "{{\"alertname\":\"MillraceTargetDown\",\"pod\":\"{pod}\"}}"
            )])
        };
        let looks = vec![
            (at(0), fires("b")),
            (at(1), BTreeSet::new()),
            (at(2), fires("a")),
            (at(3), fires("a")),
            (at(4), fires("b")),
        ];
        let timeline = Timeline {
            looks: Arc::new(Mutex::new(looks)),
        };
        let a = Expect::new("MillraceTargetDown", "\"pod\":\"a\"");
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        assert_eq!(seconds(timeline.fired(a, at(0))), Some(2));
        assert_eq!(seconds(timeline.silent(a, at(2))), Some(2));
        assert_eq!(seconds(timeline.silent(a, at(1))), Some(0));
        assert_eq!(timeline.fired(a, at(4)), None);
        let other = Expect::new("MillraceTarget", "");
        assert_eq!(timeline.fired(other, at(0)), None);
        assert_eq!(timeline.now().len(), 1);
    }
}
