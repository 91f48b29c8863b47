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
fn codes_that_are_not_read_again_once_the_lamp_is_out_are_gone() {
    // Sends a list only while there are codes.
    let found = run(6000, |s, e| match s as u32 {
        100 | 2000 => codes(&["P0301"], e),
        101..200 | 2001..6000 if s % 5.0 == 0.0 => e.mil_on = Some(true),
        200..2000 => e.mil_on = Some(false),
        _ => {}
    });
    let times: Vec<i64> = found.iter().map(second).collect();
    assert_eq!(times, [100, 2000], "{found:#?}");
    assert_ne!(found[0].episode, found[1].episode);
    // Codes that stay stored though the lamp went out are one episode, also when the list is read rarely.
    let found = run(6000, |s, e| {
        if s >= 100.0 {
            e.mil_on = Some(s < 400.0);
            if s % 240.0 == 130.0 {
                e.dtc_list = Some(vec!["P0301".to_owned()]);
            }
        }
    });
    let codes: Vec<i64> = found
        .iter()
        .filter(|a| !a.details.codes.is_empty())
        .map(second)
        .collect();
    assert_eq!(codes, [130], "{found:#?}");
}

#[test]
fn codes_are_not_remembered_for_ever() {
    let rule = CheckEngine::default();
    let hour = 3600;
    // Neither while the vehicle goes on, nor over a silence.
    for quiet in [false, true] {
        let mut state = State::default();
        let mut first = crate::testing::event(0);
        first.dtc_list = Some(vec!["P0301".to_owned()]);
        assert_eq!(observe(&rule, &mut state, &first).len(), 1);
        for second in (60..5 * hour).step_by(60) {
            let mut event = crate::testing::event(second);
            event.mil_on = (!quiet).then_some(false);
            assert!(observe(&rule, &mut state, &event).is_empty());
        }
        assert_eq!(state.codes.is_empty(), !quiet);
        let mut event = crate::testing::event(5 * hour);
        event.mil_on = Some(true);
        observe(&rule, &mut state, &event);
        assert!(state.codes.is_empty(), "quiet: {quiet}");
        state = serde_json::from_value(serde_json::to_value(&state).unwrap()).unwrap();
        let mut event = crate::testing::event(5 * hour + 900);
        event.dtc_list = Some(vec!["P0301".to_owned()]);
        assert_eq!(observe(&rule, &mut state, &event).len(), 1, "told again");
    }
}

#[test]
fn a_reload_that_grades_a_stored_code_higher_is_told() {
    let mut state = State::default();
    let mut found = Vec::new();
    for s in 0..200 {
        let rule = CheckEngine {
            codes: if s < 100 {
                BTreeMap::new()
            } else {
                BTreeMap::from([("B1234".to_owned(), Grade::Critical)])
            },
            ..CheckEngine::default()
        };
        let mut event = crate::testing::event(s);
        // As the list is stored; and by the lamp alone.
        if s % 2 == 0 {
            event.dtc_list = Some(vec!["P1234".to_owned(), "B1234".to_owned()]);
        } else {
            event.mil_on = Some(true);
        }
        found.extend(observe(&rule, &mut state, &event));
    }
    let severities: Vec<Severity> = found.iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Critical]);
    assert_eq!(found[1].details.codes, ["B1234", "P1234"]);
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
