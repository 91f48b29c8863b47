//! The rules with shorter times, for a drill that cannot wait an hour for each. How long a rule holds before it fires, windows
//! and offsets in its expression, and ages that it compares with are divided by one number; nothing else changes.

use std::num::NonZeroU32;

use super::rules::{self, Rule};

/// In a shorter window there are too few scrapes for a rate, in seconds.
const LEAST_WINDOW: u64 = 20;
/// What an expression compares with and is at least this, in seconds, is an age, for which a drill would have to wait as long.
/// What is smaller says how late or how slow something may be, and stays.
const AGE: u64 = 600;
/// What stands before a time in an expression.
const BEFORE: [&str; 2] = ["[", "offset "];

/// A rule with shorter times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShortRule {
    /// Its name.
    pub name: &'static str,
    /// How long it holds before it fires where it is delivered, in the notation of Prometheus.
    pub wait: &'static str,
    /// The same here, in seconds.
    pub short_wait: u64,
    /// The age that the expression compares with here, in seconds; 0 where it does so with none.
    pub short_age: u64,
    /// The expression here.
    pub expr: String,
    /// What differs in the expression, each as `10m → 30s`.
    pub changed: Vec<String>,
}

/// A time of a rule cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the rule {rule}: {text:?} is no time in seconds, minutes or hours; write it like 10m")]
pub struct NoTime {
    /// The rule.
    pub rule: &'static str,
    /// What stands there.
    pub text: String,
}

/// All rules, their times divided by a number.
///
/// # Errors
/// A rule has a time that cannot be read.
pub fn short_rules(divisor: NonZeroU32) -> Result<Vec<ShortRule>, NoTime> {
    rules::all().map(|rule| short(rule, divisor)).collect()
}

fn short(rule: &'static Rule, divisor: NonZeroU32) -> Result<ShortRule, NoTime> {
    let divisor = u64::from(divisor.get());
    let no_time = |text: String| NoTime {
        rule: rule.name,
        text,
    };
    let wait = seconds(rule.wait).ok_or_else(|| no_time(rule.wait.to_owned()))?;
    let (mut expr, mut changed) = shorter(rule.expr, divisor).map_err(no_time)?;
    let mut short_age = 0;
    if let Some((before, age)) = aged(&expr) {
        short_age = age.div_ceil(divisor);
        changed.push(format!("{age} → {short_age}"));
        expr = format!("{before} > {short_age}");
    }
    Ok(ShortRule {
        name: rule.name,
        wait: rule.wait,
        short_wait: wait.div_ceil(divisor),
        short_age,
        expr,
        changed,
    })
}

/// An expression with shorter windows and offsets, and what differs; the error is the text that is no time.
fn shorter(expr: &str, divisor: u64) -> Result<(String, Vec<String>), String> {
    let (mut text, mut changed) = (String::new(), Vec::new());
    let mut rest = expr;
    loop {
        let ends = BEFORE
            .iter()
            .filter_map(|mark| Some(rest.find(mark)? + mark.len()));
        let Some(begin) = ends.min() else {
            text.push_str(rest);
            return Ok((text, changed));
        };
        let (before, after) = rest.split_at(begin);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric());
        let (time, left) = after.split_at(end.unwrap_or(after.len()));
        let window = seconds(time).ok_or_else(|| time.to_owned())?;
        let short = window.div_ceil(divisor).max(LEAST_WINDOW.min(window));
        text.push_str(before);
        text.push_str(&format!("{short}s"));
        let change = format!("{time} → {short}s");
        if !changed.contains(&change) {
            changed.push(change);
        }
        rest = left;
    }
}

/// What stands before the age that an expression compares with, and that, if it does so.
fn aged(expr: &str) -> Option<(&str, u64)> {
    let (before, number) = expr.rsplit_once(" > ")?;
    let age: u64 = number.parse().ok()?;
    (age >= AGE).then_some((before, age))
}

/// A time in the notation of Prometheus, of one unit.
fn seconds(time: &str) -> Option<u64> {
    let (number, unit) = time.split_at_checked(time.len().checked_sub(1)?)?;
    let of = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(divisor: u32) -> Vec<ShortRule> {
        short_rules(NonZeroU32::new(divisor).unwrap()).unwrap()
    }

    fn of(name: &str) -> ShortRule {
        let mut rules = all(20).into_iter();
        rules.find(|rule| rule.name == name).unwrap()
    }

    fn words(text: &str) -> Vec<&str> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .collect()
    }

    #[test]
    fn times_are_read_or_refused() {
        for (text, wanted) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("2h", Some(7200)),
            ("2d", None),
            ("m", None),
            ("", None),
            ("1h30m", None),
            ("7→", None),
        ] {
            assert_eq!(seconds(text), wanted, "{text}");
        }
        assert_eq!(shorter("rate(a[1w]) > 0", 2), Err("1w".to_owned()));
    }

    #[test]
    fn waits_windows_offsets_and_ages_are_shorter() {
        let lag = of("MillraceLag");
        assert_eq!((lag.wait, lag.short_wait), ("10m", 30));
        // How far behind somebody may be is not a time that the rule waits for.
        assert!(lag.expr.ends_with("> 60"), "{}", lag.expr);
        assert!(lag.changed.is_empty());
        let archive = of("MillraceArchiveBehind");
        assert!(archive.expr.ends_with("> 270"), "{}", archive.expr);
        assert_eq!(archive.changed, ["5400 → 270"]);
        assert_eq!((archive.short_age, lag.short_age), (270, 0));

        let tasks = of("MillraceDruidTasksFail");
        assert_eq!(tasks.short_wait, 0);
        assert!(
            tasks
                .expr
                .contains(r#"taskStatus="FAILED"}[180s] offset 180s)"#)
        );
        assert_eq!(tasks.changed, ["1h → 180s"]);
        assert!(tasks.expr.ends_with("> 2.5"), "{}", tasks.expr);

        // Not shorter than a few scrapes.
        let memory = of("MillraceDruidMemory");
        assert_eq!(memory.changed, ["5m → 20s"]);
        assert_eq!(
            shorter("rate(a[10s])", 20),
            Ok(("rate(a[10s])".into(), vec!["10s → 10s".into()]))
        );
    }

    #[test]
    fn nothing_else_of_any_rule_changes() {
        let rules: Vec<_> = rules::all().collect();
        for divisor in [1, 7, 60] {
            let short = all(divisor);
            assert_eq!(short.len(), rules.len());
            for (rule, short) in rules.iter().zip(&short) {
                assert_eq!((rule.name, rule.wait), (short.name, short.wait));
                let (was, is) = (words(rule.expr), words(&short.expr));
                assert_eq!(was.len(), is.len(), "{}", short.expr);
                for (was, is) in was.into_iter().zip(is).filter(|(was, is)| was != is) {
                    let is_age = was.parse::<u64>().is_ok_and(|age| age >= AGE);
                    assert!(
                        is_age || seconds(was).is_some(),
                        "{}: {was} → {is}",
                        rule.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_file_has_each_rule_with_its_short_times() {
        let rules = all(20);
        let text = super::super::short_rules_file(&rules);
        let file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        let told = file["groups"][0]["rules"].as_sequence().unwrap();
        assert_eq!(told.len(), rules.len());
        for (told, rule) in told.iter().zip(&rules) {
            assert_eq!(told["alert"].as_str(), Some(rule.name));
            assert_eq!(told["expr"].as_str(), Some(rule.expr.as_str()));
            let wait = format!("{}s", rule.short_wait);
            assert_eq!(told["for"].as_str(), Some(wait.as_str()));
        }
    }
}
