//! The sentences about what was found: a fault of the vehicle, its codes and range, or a zone.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use millrace_contract::{Alert, Severity, ZoneAhead};

use crate::assess::Assessment;
use crate::language::Language;
use crate::speech::{Words, distance, duration, fill, lasting, quantity};

/// So many trouble codes are told one by one; nobody remembers more.
const MOST_CODES: usize = 3;

/// A time of day is told only when it comes around once until then.
const CLOCK_WITHIN: SignedDuration = SignedDuration::from_hours(20);

/// Kilopascals in a bar, the unit in which drivers in most countries know the pressure of their tyres.
const KPA_PER_BAR: f64 = 100.0;

/// What was found, sentence by sentence.
pub(crate) fn what(words: &Language, assessment: &Assessment) -> Vec<Words> {
    let alert = &assessment.alert;
    if let Some(zone) = &alert.details.zone {
        return about_zone(words, assessment, zone);
    }
    let mut sentences = vec![about_value(words, alert)];
    sentences.extend(codes(words, &alert.details.codes));
    if let (Some(range), "fuel-low") = (alert.details.range_km, alert.rule.as_str()) {
        // Rounded down, like everything that might run out.
        let range = quantity(words, range.max(0.0).floor(), "km");
        sentences.push(fill(&words.range, &[("range", Words::plain(&range))]));
    }
    sentences
}

/// The sentence about what was measured. The trend is told while the limit is still ahead.
fn about_value(words: &Language, alert: &Alert) -> Words {
    let Some(sentences) = words.sentences(&alert.rule) else {
        // A user's rule that has no texts by language says what it has to say in `text`, in the user's own language.
        let own = Words::outside(&alert.text);
        return match words.default_sentences() {
            Some(general) if own.is_empty() => fill(&general.level, &values(words, alert, None)),
            _ => own,
        };
    };
    let ahead = alert
        .seconds_to_limit
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    let critical = alert.severity == Severity::Critical;
    let template = match (&sentences.trend, ahead, &sentences.critical) {
        (Some(trend), Some(_), _) => trend,
        (_, _, Some(level)) if critical => level,
        _ => &sentences.level,
    };
    fill(template, &values(words, alert, ahead))
}

/// What the placeholders of a sentence about a value stand for.
fn values(words: &Language, alert: &Alert, ahead: Option<f64>) -> [(&'static str, Words); 5] {
    let signal = words
        .signals
        .get(&alert.signal)
        .cloned()
        .unwrap_or_else(|| alert.signal.replace('_', " "));
    let wheel = alert
        .details
        .wheel
        .as_deref()
        .or_else(|| alert.signal.strip_prefix("tyre_pressure_"))
        .and_then(|wheel| words.wheels.get(wheel))
        .map_or("", String::as_str);
    let told = |value: f64| {
        let (value, unit) = if alert.unit == "kPa" && alert.signal.starts_with("tyre_pressure_") {
            (value / KPA_PER_BAR, "bar")
        } else {
            (value, alert.unit.as_str())
        };
        Words::outside(&quantity(words, value, unit))
    };
    let time = ahead.map_or_else(String::new, |seconds| duration(words, seconds));
    [
        ("value", told(alert.value)),
        ("threshold", told(alert.threshold)),
        ("signal", Words::outside(&signal)),
        ("wheel", Words::plain(wheel)),
        ("time", Words::plain(&time)),
    ]
}

/// The trouble codes, the gravest first, and how many more there are.
fn codes(words: &Language, codes: &[String]) -> Vec<Words> {
    let told: Vec<Words> = codes
        .iter()
        .take(MOST_CODES)
        .map(|code| Words::letters(code))
        .collect();
    if told.is_empty() {
        return Vec::new();
    }
    let counted = |plural: &crate::language::Plural, number: usize| {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        (
            plural.form(words.counting, number).to_owned(),
            Words::plain(&number.to_string()),
        )
    };
    let (template, _) = counted(&words.codes, told.len());
    let mut sentences = vec![fill(&template, &[("list", Words::list(&told))])];
    if codes.len() > MOST_CODES {
        let (template, number) = counted(&words.more_codes, codes.len() - MOST_CODES);
        sentences.push(fill(&template, &[("n", number)]));
    }
    sentences
}

/// Where the zone is, and until when it holds.
fn about_zone(words: &Language, assessment: &Assessment, zone: &ZoneAhead) -> Vec<Words> {
    let Some(templates) = words.zone(&zone.kind) else {
        return vec![Words::outside(&assessment.alert.text)];
    };
    let passed = zone.distance_m <= 0.0;
    let template = match (zone.leaving, passed) {
        (false, false) => &templates.ahead,
        (false, true) => &templates.inside,
        (true, false) => &templates.leaving,
        (true, true) => &templates.left,
    };
    let name = if zone.name.trim().is_empty() {
        &zone.id
    } else {
        &zone.name
    };
    let sentence = fill(
        template,
        &[("way", way(words, zone)), ("zone", Words::outside(name))],
    );
    let mut sentences = vec![sentence];
    if !zone.leaving {
        sentences.extend(until(words, assessment, zone));
    }
    sentences
}

/// Distance and time to the boundary; the distance alone for a vehicle that stands.
fn way(words: &Language, zone: &ZoneAhead) -> Words {
    let metres = Words::plain(&distance(words, zone.distance_m));
    if zone.seconds.is_finite() && zone.seconds > 0.0 {
        let time = Words::plain(&duration(words, zone.seconds));
        fill(&words.way.both, &[("distance", metres), ("time", time)])
    } else {
        fill(&words.way.distance, &[("distance", metres)])
    }
}

/// When the curfew ends: the time of day where the time zone is known, else how long it lasts.
fn until(words: &Language, assessment: &Assessment, zone: &ZoneAhead) -> Option<Words> {
    let end = zone.until?;
    let left = end.duration_since(assessment.alert.event_time);
    if left <= SignedDuration::ZERO {
        return None;
    }
    let local = assessment
        .time_zone
        .as_deref()
        .and_then(|name| TimeZone::get(name).ok())
        .filter(|_| left <= CLOCK_WITHIN);
    Some(match local {
        Some(time_zone) => {
            let clock = end.to_zoned(time_zone).strftime("%H:%M").to_string();
            fill(&words.until.clock, &[("clock", Words::plain(&clock))])
        }
        None => {
            let time = lasting(words, left.as_secs_f64());
            fill(&words.until.time, &[("time", Words::plain(&time))])
        }
    })
}
