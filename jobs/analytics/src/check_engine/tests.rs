use millrace_contract::{Severity, Telemetry};
use serde_json::json;

use super::*;
use crate::testing::{refused, run, run_with, second, severities};

fn codes(list: &[&str], e: &mut Telemetry) {
    e.dtc_list = Some(list.iter().map(|c| (*c).to_owned()).collect());
    e.mil_on = Some(!list.is_empty());
}

#[test]
fn families_have_their_grades() {
    let rule = CheckEngine::default();
    for (code, grade) in [
        ("P0301", Grade::Critical),
        ("P0312", Grade::Critical),
        ("P0315", Grade::Warning),
        ("P0217", Grade::Critical),
        ("P0524", Grade::Critical),
        ("P0521", Grade::Warning),
        ("P0420", Grade::Info),
        ("P0455", Grade::Info),
        ("P0128", Grade::Info),
        ("P0AA6", Grade::Critical),
        ("P0A80", Grade::Warning),
        ("U0121", Grade::Warning),
        ("B1234", Grade::Info),
        ("P1234", Grade::Warning),
        ("", Grade::Warning),
    ] {
        assert_eq!(rule.grade(code).0, grade, "{code}");
    }
}

#[test]
fn the_table_has_no_prefix_twice() {
    let mut prefixes: Vec<&str> = table::TABLE.iter().map(|t| t.0).collect();
    prefixes.sort_unstable();
    let all = prefixes.len();
    prefixes.dedup();
    assert_eq!(prefixes.len(), all);
}

#[test]
fn codes_are_one_episode_for_as_long_as_they_stay_and_graver_ones_escalate() {
    let found = run(3600, |s, e| match s as u32 {
        0..100 => codes(&[], e),
        100..500 => codes(&["P0420"], e),
        500..1000 => codes(&["P0420", "P1234"], e),
        1000..2000 => codes(&["P0420", "P1234", "P0302"], e),
        _ => codes(&["P0302"], e),
    });
    assert_eq!(
        severities(&found),
        [Severity::Info, Severity::Warning, Severity::Critical]
    );
    assert_eq!(
        found.iter().map(second).collect::<Vec<_>>(),
        [100, 500, 1000]
    );
    assert!(found.iter().all(|a| a.episode == found[0].episode));
    let last = &found[2];
    assert_eq!(last.details.codes, ["P0302", "P1234", "P0420"]);
    assert_eq!((last.signal.as_str(), last.value), ("dtc_list", 3.0));
    assert_eq!(
        last.text,
        "The engine control reports P0302 (misfire) and 2 more"
    );
}

#[test]
fn a_lamp_without_codes_waits_for_them() {
    let found = run(100, |s, e| {
        e.mil_on = Some(true);
        if s >= 5.0 {
            e.dtc_list = Some(vec!["P0420".to_owned()]);
        }
    });
    assert_eq!(severities(&found), [Severity::Info], "{found:#?}");
    let found = run(100, |_, e| e.mil_on = Some(true));
    assert_eq!(severities(&found), [Severity::Warning]);
    assert_eq!(
        (second(&found[0]), found[0].signal.as_str()),
        (10, "mil_on")
    );
    assert_eq!(found[0].text, "The check-engine lamp is lit");
}

#[test]
fn cleared_codes_end_the_episode() {
    let found = run(3000, |s, e| {
        codes(
            if (100.0..200.0).contains(&s) || s >= 1500.0 {
                &["P0301"]
            } else {
                &[]
            },
            e,
        );
    });
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].episode, found[1].episode);
}

#[test]
fn what_is_remembered_is_bounded() {
    let rule = CheckEngine::default();
    let mut state = State::default();
    let mut event = crate::testing::event(0);
    let mut list: Vec<String> = (0..500)
        .map(|i| format!("P1{i:03}{}", "é".repeat(300)))
        .collect();
    list.push("P0301".to_owned());
    event.dtc_list = Some(list);
    let found = observe(&rule, &mut state, &event);
    assert_eq!(found[0].details.codes.len(), CODES);
    assert_eq!(found[0].details.codes[0], "P0301");
    assert!(serde_json::to_vec(&state).unwrap().len() < 1024);
}

#[test]
fn own_grades_by_the_longest_prefix() {
    let rules = json!({
        "checkEngine": {"codes": {"P04": "warning", "P0301": "ignore", "U": "critical"}, "unknown": "info"},
        "models": {"Van": {"checkEngine": {"codes": {"P1": "critical"}}}},
    });
    let rules = crate::Rules::from_value(rules).unwrap();
    let detector = crate::Detector::new(rules, crate::Zones::default()).unwrap();
    let grade = |model, code| detector.rules(model).check_engine.grade(code).0;
    // The built-in P042 is longer than P04.
    assert_eq!(grade(None, "P0420"), Grade::Info);
    assert_eq!(grade(None, "P0480"), Grade::Warning);
    assert_eq!(grade(None, "P0301"), Grade::Ignore);
    assert_eq!(grade(None, "U0121"), Grade::Critical);
    assert_eq!(grade(None, "P1000"), Grade::Info);
    assert_eq!(grade(Some("Van"), "P1000"), Grade::Critical);
    assert_eq!(grade(Some("Van"), "P0301"), Grade::Ignore);
    let ignored = json!({"checkEngine": {"codes": {"P0301": "ignore"}}});
    assert!(run_with(ignored, 100, |_, e| codes(&["P0301"], e)).is_empty());
    for prefix in ["", "X1", "p03", "P03G", "P0301P0301P0301P0301"] {
        assert_eq!(
            refused(json!({"checkEngine": {"codes": {prefix: "info"}}})),
            "rules.checkEngine.codes"
        );
    }
    assert_eq!(
        refused(json!({"checkEngine": {"codes": {"P04": "grave"}}})),
        "rules.checkEngine.codes.P04"
    );
}
