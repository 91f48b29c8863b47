//! The alert rules, each with series by which it fires and series by which it does not.

/// An alert rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name.
    pub name: &'static str,
    /// `critical`: somebody is not served, or data is about to be lost; `warning`: somebody has to look soon; `info`.
    pub severity: &'static str,
    /// The expression.
    pub expr: &'static str,
    /// How long it holds before it fires.
    pub wait: &'static str,
    /// What it says.
    pub summary: &'static str,
    /// What to do.
    pub cure: &'static str,
    /// Series, one value a minute, by which it fires within two and a half hours.
    pub fires: &'static [Series],
    /// Series by which it does not.
    pub silent: &'static [Series],
}

/// A series and its values, in the notation of promtool.
pub(super) type Series = (&'static str, &'static str);

/// All rules.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    use super::{rules_druid, rules_jobs, rules_kafka, rules_platform, rules_stores};
    [
        rules_platform::RULES,
        rules_stores::RULES,
        rules_jobs::RULES,
        rules_kafka::RULES,
        rules_druid::RULES,
    ]
    .into_iter()
    .flatten()
}
