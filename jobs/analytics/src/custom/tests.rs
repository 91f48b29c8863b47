use jiff::Timestamp;
use millrace_condition::Fields;
use millrace_contract::{FIELDS, Telemetry};
use serde_json::json;

use super::*;

fn rule(value: serde_json::Value) -> CustomRule {
    let mut whole = json!({"name": "hot-oil", "when": "oil_temperature > 130", "text": "Engine oil at {oil_temperature} °C"});
    for (name, v) in value.as_object().unwrap() {
        whole[name] = v.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn compiled(value: serde_json::Value) -> Compiled {
    compile(&rule(value), "rules.custom[0]").unwrap()
}

fn event(second: i64, change: impl Fn(&mut Telemetry)) -> Telemetry {
    let start: Timestamp = "2026-07-01T12:00:00Z".parse().unwrap();
    let time = start
        .checked_add(jiff::SignedDuration::from_secs(second))
        .unwrap();
    let mut event = Telemetry::new("car-1", second as u64, time);
    change(&mut event);
    event
}

fn row(event: &Telemetry) -> Event<'_> {
    Event {
        event,
        model: event.model.as_deref(),
    }
}

fn run(rule: &Compiled, oil: &[(i64, f64)]) -> Vec<(i64, Severity, String)> {
    let rules = [rule.clone()];
    let mut states = States::default();
    let mut found = Vec::new();
    for (second, value) in oil {
        let event = event(*second, |e| e.oil_temperature = Some(*value));
        for f in observe(&rules, &mut states, &event, None) {
            found.push((*second, f.severity, f.episode));
        }
        states = serde_json::from_value(serde_json::to_value(&states).unwrap()).unwrap();
    }
    found
}

#[test]
fn a_finding_says_what_was_measured() {
    let rule = compiled(json!({"texts": {"de": "Motoröl bei {oil_temperature} °C"}}));
    let mut states = States::default();
    let hot = event(0, |e| e.oil_temperature = Some(131.27));
    let found = observe(&[rule], &mut states, &hot, None);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text, "Engine oil at 131.3 °C");
    assert_eq!(found[0].details.texts["de"], "Motoröl bei 131.3 °C");
    assert_eq!(
        (&*found[0].signal, found[0].value),
        ("oil_temperature", 131.3)
    );
    let alert = found[0].clone().into_alert(&hot, None, hot.time);
    assert_eq!(
        (alert.unit.as_str(), alert.rule.as_str()),
        ("Cel", "hot-oil")
    );
}

#[test]
fn it_must_last_and_escalates_once() {
    let rule = compiled(json!({"forSeconds": 30, "critical": "oil_temperature > 150"}));
    let oil: Vec<(i64, f64)> = (0..100)
        .map(|s| {
            (
                s,
                if s == 20 {
                    90.0
                } else if s < 70 {
                    135.0
                } else {
                    155.0
                },
            )
        })
        .collect();
    let found = run(&rule, &oil);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].0, found[0].1),
        (51, Severity::Warning),
        "from second 21 on without a break"
    );
    assert_eq!((found[1].0, found[1].1), (70, Severity::Critical));
    assert_eq!(found[0].2, found[1].2);
}

#[test]
fn an_episode_ends_after_a_while_and_has_a_pause() {
    let rule = compiled(json!({"clearAfterSeconds": 60, "cooldownSeconds": 600}));
    let oil = [
        (0, 140.0),
        (10, 90.0),
        (50, 140.0),
        (60, 90.0),
        (130, 90.0),
        (300, 140.0),
        (400, 90.0),
        (900, 140.0),
    ];
    let seconds: Vec<i64> = run(&rule, &oil).iter().map(|f| f.0).collect();
    assert_eq!(seconds, [0, 900]);
}

#[test]
fn events_without_the_field_change_nothing() {
    let rules = [compiled(json!({"forSeconds": 5}))];
    let mut states = States::default();
    let mut found = 0;
    for s in 0..10 {
        let event = event(s, |e| {
            if s % 2 == 0 {
                e.oil_temperature = Some(140.0);
            } else {
                e.speed = Some(50.0);
            }
        });
        found += observe(&rules, &mut states, &event, None).len();
    }
    assert_eq!(found, 1);
    observe(&[], &mut states, &event(11, |_| ()), None);
    assert!(states.is_empty(), "a dropped rule leaves nothing behind");
}

#[test]
fn a_model_that_was_named_once_is_known_to_conditions_and_texts() {
    let rules = crate::Rules::from_value(json!({"custom": [{
        "name": "speeding-van", "when": "model LIKE 'Van%' AND speed > 130",
        "critical": "model = 'Van 3' AND speed > 150", "text": "{model} at {speed} km/h",
    }]}))
    .unwrap();
    let detector = crate::Detector::new(rules, crate::Zones::default()).unwrap();
    let mut state = crate::VehicleState::default();
    let mut found = Vec::new();
    for s in 0..4 {
        let event = event(s, |e| {
            e.model = (s == 0).then(|| "Van 3".to_owned());
            e.speed = Some([50.0, 140.0, 160.0, 50.0][s as usize]);
        });
        found.extend(detector.observe(&mut state, &event, event.time));
        state = serde_json::from_value(serde_json::to_value(&state).unwrap()).unwrap();
    }
    let texts: Vec<(&str, Severity)> = found
        .iter()
        .map(|a| (a.text.as_str(), a.severity))
        .collect();
    assert_eq!(
        texts,
        [
            ("Van 3 at 140 km/h", Severity::Warning),
            ("Van 3 at 160 km/h", Severity::Critical)
        ]
    );
}

#[test]
fn a_silence_of_two_minutes_begins_anew_however_long_it_must_hold() {
    let rule = compiled(json!({"forSeconds": 600}));
    let every = |step: i64| -> Vec<(i64, f64)> { (0..20).map(|i| (i * step, 140.0)).collect() };
    assert_eq!(run(&rule, &every(120)).first().map(|f| f.0), Some(600));
    assert!(run(&rule, &every(121)).is_empty());
}

#[test]
fn mistakes_are_named() {
    for (change, parts) in [
        (
            json!({"name": "Hot"}),
            ["rules.custom[0].name: Hot", "not a name", "lower-case"],
        ),
        (
            json!({"name": "overheating"}),
            ["name: overheating", "comes with", "another"],
        ),
        (
            json!({"when": "oil_temprature > 1"}),
            ["when", "character 1", "`oil_temperature`"],
        ),
        (
            json!({"when": "1 = 1"}),
            ["when: 1 = 1", "names no field", "speed"],
        ),
        (
            json!({"critical": "speed"}),
            ["critical: speed", "flag", "compare"],
        ),
        (
            json!({"critical": "speed > 1", "severity": "critical"}),
            ["critical", "already", "leave"],
        ),
        (
            json!({"forSeconds": -1}),
            ["forSeconds: -1", "out of range", "86400"],
        ),
        (json!({"text": " "}), ["text", "1 to 400", "sentence"]),
        (
            json!({"text": "at {oil} °C"}),
            ["text: {oil}", "no field", "{speed}"],
        ),
        (
            json!({"text": "at {speed"}),
            ["text: {speed", "brace", "doubled"],
        ),
        (
            json!({"texts": {"d e": "x"}}),
            ["texts: d e", "not a language", "pt-BR"],
        ),
        (
            json!({"texts": {"de": "{x}"}}),
            ["texts.de: {x}", "no field", "{speed}"],
        ),
    ] {
        let error = compile(&rule(change), "rules.custom[0]")
            .unwrap_err()
            .to_string();
        for part in parts {
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
    let two = [rule(json!({})), rule(json!({}))];
    let error = compile_all(&two, "rules.custom").unwrap_err().to_string();
    assert!(error.contains("rules.custom[1].name: hot-oil: the name of two rules"));
    let many: Vec<CustomRule> = (0..65)
        .map(|i| rule(json!({"name": format!("r{i}")})))
        .collect();
    assert!(
        compile_all(&many, "rules.custom")
            .unwrap_err()
            .to_string()
            .contains("more than 64")
    );
    assert_eq!(compile_all(&many[..64], "rules.custom").unwrap().len(), 64);
}

#[test]
fn every_field_can_be_asked_for() {
    for field in FIELDS {
        let condition =
            Condition::compile(&format!("{} IS NOT NULL", field.name), &TelemetryFields).unwrap();
        assert!(!condition.holds(&row(&event(0, |_| ()))));
    }
    let codes = Condition::compile(
        "'P0217' = ANY(dtc_list) AND mil_on AND model LIKE 'V%' AND sequence = 7",
        &TelemetryFields,
    )
    .unwrap();
    let event = event(7, |e| {
        e.dtc_list = Some(vec!["P0100".to_owned(), "P0217".to_owned()]);
        e.mil_on = Some(true);
        e.model = Some("Van".to_owned());
    });
    assert!(codes.holds(&row(&event)));
    let text = Template::parse("{{{dtc_list}}} {mil_on} {speed} {model}", "text").unwrap();
    assert_eq!(text.fill(&row(&event)), "{P0100, P0217} yes – Van");
}

#[test]
fn alert_fields_are_those_of_alerts() {
    let rule = compiled(json!({}));
    let hot = event(0, |e| e.oil_temperature = Some(140.0));
    let finding = observe(&[rule], &mut States::default(), &hot, None).remove(0);
    let alert = serde_json::to_value(finding.into_alert(&hot, Some("Van"), hot.time)).unwrap();
    for name in alert.as_object().unwrap().keys() {
        let known = millrace_condition::ALERT_FIELDS.type_of(name).is_some();
        assert!(known || name == "texts", "{name} cannot be asked for");
    }
}

#[test]
fn the_documentation_is_right() {
    let text = include_str!("../../../../docs/conditions.md");
    let mut read = (0, 0);
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let value: serde_json::Value = serde_yaml_ng::from_str(block).unwrap();
        if let Some(rules) = value["rules"]["custom"].as_array() {
            let rules: Vec<CustomRule> = rules
                .iter()
                .map(|r| serde_json::from_value(r.clone()).unwrap())
                .collect();
            compile_all(&rules, "rules.custom").unwrap();
            read.0 += rules.len();
        }
    }
    for block in text.split("```sql\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let telemetry = Condition::compile(line, &TelemetryFields);
            let alert = Condition::compile(line, &millrace_condition::ALERT_FIELDS);
            assert!(
                telemetry.is_ok() || alert.is_ok(),
                "{line}: {telemetry:?} {alert:?}"
            );
            read.1 += 1;
        }
    }
    assert!(read.0 >= 2 && read.1 >= 8, "{read:?}");
}
