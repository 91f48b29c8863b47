use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::assess::{AssessParams, assess};

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

/// Rule, signal, unit, value, threshold and details, as detection publishes them.
fn every_rule() -> Vec<serde_json::Value> {
    let zone = |kind: &str, leaving: bool, distance: f64| {
        json!({"rule": if kind == "closed" { "closed-zone" } else { kind }, "signal": "latitude", "unit": "deg",
            "value": 48.1, "threshold": 48.2, "zone": {"id": "z1", "name": "Old <Town> & {harbour}", "kind": kind,
            "leaving": leaving, "distance_m": distance, "seconds": distance / 15.0, "until": "2026-11-23T13:30:00Z"}})
    };
    let tyre = |rule: &str| {
        json!({"rule": rule, "signal": "tyre_pressure_rear_left", "unit": "kPa", "value": 176.0, "threshold": 180.0,
            "wheel": "rear_left"})
    };
    let mut rules = vec![
        json!({"rule": "overheating"}),
        json!({"rule": "coolant-not-warming", "value": 48.0, "threshold": 70.0}),
        json!({"rule": "charging-failure", "signal": "battery_voltage", "unit": "V", "value": 11.8, "threshold": 11.0}),
        tyre("tyre-pressure-low"),
        tyre("slow-puncture"),
        json!({"rule": "fuel-low", "signal": "fuel_level", "unit": "%", "value": 8.0, "threshold": 10.0, "range_km": 41.7}),
        json!({"rule": "check-engine", "signal": "dtc_count", "unit": "1", "value": 5.0, "threshold": 0.0,
            "codes": ["P0217", "P0300", "P0420", "P0455", "U0100"]}),
        json!({"rule": "oil-hot", "text": "Oil at <120> & \"rising\"", "texts": {"de": "Öl bei <120> & \"steigend\""}}),
        json!({"rule": "not-told", "text": ""}),
    ];
    for kind in ["border", "closed", "curfew", "low-emission"] {
        for leaving in [false, true] {
            for distance in [0.0, 420.0] {
                rules.push(zone(kind, leaving, distance));
            }
        }
    }
    rules
}

fn alert_with(severity: Severity, changes: &serde_json::Value) -> Alert {
    let mut value = json!({
        "id": "car-1/overheating/e1/warning", "vehicle": "car-1", "rule": "overheating", "severity": severity,
        "episode": "e1", "event_time": "2026-11-23T10:00:00Z", "detected_at": "2026-11-23T10:00:01Z",
        "signal": "coolant_temperature", "value": 117.6, "unit": "Cel", "threshold": 115.0,
        "text": "Coolant at 117.6 °C"
    });
    for (key, change) in changes.as_object().unwrap() {
        value[key] = change.clone();
    }
    serde_json::from_value(value).unwrap()
}

/// An overheating alert as detection would publish it.
pub(crate) fn alert(severity: Severity) -> Alert {
    alert_with(severity, &json!({}))
}

/// A warning about a zone.
pub(crate) fn zone_alert(kind: &str, leaving: bool, distance_m: f64, seconds: f64) -> Alert {
    alert_with(
        Severity::Warning,
        &json!({"rule": kind, "zone": {"id": "z1", "name": "Old town", "kind": kind, "leaving": leaving,
            "distance_m": distance_m, "seconds": seconds, "until": "2026-11-23T13:30:00Z"}}),
    )
}

fn told(alert: &Alert, language: &str, time_zone: Option<&str>) -> Rendered {
    let params = AssessParams {
        language: None,
        time_zone: time_zone.map(str::to_owned),
    };
    render(&assess(alert, &params), language)
}

fn overheating(severity: Severity, seconds_to_limit: Option<f64>, language: &str) -> Rendered {
    let mut alert = alert(severity);
    alert.seconds_to_limit = seconds_to_limit;
    told(&alert, language, None)
}

/// Reads markup strictly enough to see that tags nest, nothing is left raw and every entity is one of XML's.
fn well_formed(xml: &str) -> bool {
    let mut open: Vec<String> = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        if rest[..start].contains('>') {
            return false;
        }
        let Some(length) = rest[start..].find('>') else {
            return false;
        };
        let tag = &rest[start + 1..start + length];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop().as_deref() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap_or_default().to_owned());
        }
        rest = &rest[start + length + 1..];
    }
    let entities = xml.split('&').skip(1).all(|tail| {
        ["amp;", "lt;", "gt;", "quot;", "apos;"]
            .iter()
            .any(|entity| tail.starts_with(entity))
    });
    open.is_empty() && rest.is_empty() && entities && !xml.contains(|c: char| c < ' ')
}

/// The words of the markup, unescaped and without tags.
fn spoken(xml: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in xml.replace("</s>", " ").chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        out = out.replace(entity, c);
    }
    out.trim().to_owned()
}

#[test]
fn every_rule_severity_and_language_is_told_whole() {
    for language in language::known() {
        for rule in every_rule() {
            for severity in SEVERITIES {
                for seconds in [None, Some(45.0), Some(600.0), Some(9000.0)] {
                    for time_zone in [None, Some("Asia/Kolkata")] {
                        let mut alert = alert_with(severity, &rule);
                        alert.seconds_to_limit = seconds;
                        let rendered = told(&alert, language, time_zone);
                        let name = format!("{language} {} {severity}: {rendered:?}", alert.rule);
                        // The one brace that may stay is of the zone's own name.
                        let rest = rendered.text.replace("{harbour}", "");
                        assert!(!rest.contains(['{', '}']), "{name}");
                        assert!(!rendered.text.contains("  "), "{name}");
                        assert!(well_formed(&rendered.ssml), "{name}");
                        assert_eq!(spoken(&rendered.ssml), rendered.text, "{name}");
                        assert!(
                            rendered.text.len() < 2000 && rendered.ssml.len() < 4000,
                            "{name}"
                        );
                        assert!(rendered.text.split_whitespace().count() >= 3, "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn languages_differ_and_so_do_rules_and_severities() {
    let mut seen = std::collections::BTreeMap::new();
    for language in language::known() {
        for rule in every_rule() {
            for severity in SEVERITIES {
                let alert = alert_with(severity, &rule);
                let text = told(&alert, language, None).text;
                let what = format!("{language} {rule} {severity}");
                // A user's rule with nothing but German is told in German words to everybody who is not German.
                if alert.rule != "oil-hot"
                    && let Some(other) = seen.insert(text.clone(), what.clone())
                {
                    panic!("{what} and {other}: {text}");
                }
            }
        }
    }
}

#[test]
fn a_critical_warning_says_what_to_do() {
    let rendered = overheating(Severity::Critical, None, "en");
    assert_eq!(
        rendered.text,
        "Danger! The engine is overheating: the coolant has reached 118 degrees. \
         Stop where it is safe and switch the engine off. Do not open the radiator cap."
    );
    assert!(
        rendered
            .ssml
            .contains("<emphasis level=\"strong\">Danger!</emphasis>"),
        "{}",
        rendered.ssml
    );
    assert!(rendered.ssml.contains("xml:lang=\"en-GB\""));
    assert_eq!(rendered.requested_language, None);
}

#[test]
fn a_warning_differs_and_tells_the_trend() {
    let rendered = overheating(Severity::Warning, Some(150.0), "de-CH");
    assert_eq!(rendered.language, "de");
    assert!(
        rendered.text.starts_with("Achtung. Der Motor wird zu heiß"),
        "{}",
        rendered.text
    );
    assert!(
        rendered.text.contains("in etwa 2 Minuten"),
        "{}",
        rendered.text
    );
    assert!(!rendered.text.contains("Gefahr"));
}

#[test]
fn an_unknown_language_falls_back_and_says_so() {
    let rendered = overheating(Severity::Warning, None, "tlh");
    assert_eq!(rendered.language, "en");
    assert_eq!(rendered.requested_language.as_deref(), Some("tlh"));
}

#[test]
fn tyres_are_told_by_wheel_and_in_bar() {
    let low = alert_with(Severity::Warning, &every_rule()[3]);
    assert_eq!(
        told(&low, "de-AT", None).text,
        "Achtung. Der Reifen hinten links hat zu wenig Luft: 1,8 Bar. Es sollten mindestens 1,8 Bar sein. \
         Fahren Sie behutsam, prüfen und füllen Sie den Reifen an der nächsten Tankstelle."
    );
    let mut unknown = low;
    unknown.details.wheel = Some("spare".to_owned());
    assert!(
        told(&unknown, "en", None)
            .text
            .contains("The tyre has too little air"),
    );
}

#[test]
fn codes_are_spoken_letter_by_letter_and_not_all() {
    let mut engine = alert_with(Severity::Critical, &every_rule()[6]);
    let rendered = told(&engine, "en", None);
    assert!(
        rendered.text.starts_with(
            "Danger! The engine reports a serious fault. The fault codes are P0217, P0300, P0420. There are 2 more."
        ),
        "{}",
        rendered.text
    );
    assert!(
        rendered
            .ssml
            .contains("<say-as interpret-as=\"characters\">P0217</say-as>, <say-as"),
        "{}",
        rendered.ssml
    );
    engine.details.codes.truncate(1);
    assert!(
        told(&engine, "fr", None)
            .text
            .contains("Le code de défaut est P0217.")
    );
    engine.details.codes.clear();
    assert!(!told(&engine, "en", None).text.contains("code"));
}

#[test]
fn the_range_is_told_with_the_fuel() {
    let low = alert_with(Severity::Info, &every_rule()[5]);
    assert_eq!(
        told(&low, "en", None).text,
        "For your information. The fuel is running low: 8 percent left. It will last for about 41 kilometres. \
         Refuel at the next filling station."
    );
}

#[test]
fn zones_are_told_with_way_and_end() {
    let curfew = zone_alert("curfew", false, 437.0, 29.0);
    assert_eq!(
        told(&curfew, "en", None).text,
        "Attention. Curfew ahead: in 400 metres, or about 20 seconds, you will reach Old town. \
         The curfew ends in about 4 hours. Do not drive in: turn off in good time."
    );
    assert!(
        told(&curfew, "en", Some("Asia/Kolkata"))
            .text
            .contains("The curfew ends at 19:00.")
    );
    let standing = zone_alert("border", true, 30.0, 0.0);
    assert!(
        told(&standing, "en", None)
            .text
            .contains("Border ahead: in 30 metres you will leave Old town."),
    );
    let inside = zone_alert("closed", false, 0.0, 0.0);
    assert!(
        told(&inside, "de", None)
            .text
            .contains("Sie sind in einem gesperrten Gebiet: Old town.")
    );
    let mut far = curfew;
    let zone = far.details.zone.as_mut().unwrap();
    zone.until = Some("2026-11-25T10:00:00Z".parse().unwrap());
    assert!(
        told(&far, "en", Some("Asia/Kolkata"))
            .text
            .contains("ends in about 48 hours")
    );
}

#[test]
fn a_users_rule_is_told_in_the_best_of_its_languages() {
    let texts = |texts: serde_json::Value| {
        alert_with(
            Severity::Warning,
            &json!({"rule": "oil-hot", "text": "Oil at 120", "texts": texts}),
        )
    };
    let both = texts(json!({"de": "Öl <120> & mehr", "en": "Oil 120", "it": "Olio 120"}));
    let rendered = told(&both, "de-AT", None);
    assert_eq!(rendered.text, "Achtung. Öl <120> & mehr");
    assert!(
        rendered.ssml.contains("<s>Öl &lt;120&gt; &amp; mehr</s>"),
        "{}",
        rendered.ssml
    );
    assert_eq!(
        (rendered.language.as_str(), rendered.requested_language),
        ("de", None)
    );
    // No words of ours in Italian: the user's stand alone.
    let rendered = told(&both, "it", None);
    assert_eq!(
        (rendered.language.as_str(), rendered.text.as_str()),
        ("it", "Olio 120")
    );
    // Spanish has none of the user's: English throughout, not Spanish around English.
    let rendered = told(&both, "es", None);
    assert_eq!(
        (rendered.language.as_str(), rendered.text.as_str()),
        ("en", "Attention. Oil 120")
    );
    assert_eq!(rendered.requested_language.as_deref(), Some("es"));
    // Nothing but `text`: it is in the user's own language, whichever that is.
    assert_eq!(
        told(&texts(json!({})), "de", None).text,
        "Achtung. Oil at 120"
    );
}

proptest! {
    #[test]
    fn speech_is_well_formed_whatever_the_alert_holds(
        rule in "(overheating|check-engine|slow-puncture|.{0,20})", signal in "(tyre_pressure_)?.{0,20}", unit in ".{0,8}",
        value in any::<f64>(), language in "[a-z]{2}|en|de", code in ".{0,9}", text in ".{0,3000}", tag in ".{0,5}",
        zone in proptest::option::of((".{0,20}", "(border|.{0,5})", any::<f64>(), any::<f64>())),
    ) {
        let mut alert = alert(Severity::Critical);
        alert.rule = rule;
        alert.signal = signal;
        alert.unit = unit;
        alert.value = value;
        alert.details.codes = vec![code];
        alert.details.texts.insert(tag, text.clone());
        alert.text = text;
        alert.details.zone = zone.map(|(name, kind, distance_m, seconds)| millrace_contract::ZoneAhead {
            id: "z".to_owned(), name, kind, leaving: false, distance_m, seconds, until: None,
        });
        let rendered = told(&alert, &language, None);
        prop_assert!(well_formed(&rendered.ssml), "{}", rendered.ssml);
        prop_assert!(rendered.ssml.len() <= 8192 && rendered.text.len() <= 8192);
    }
}
