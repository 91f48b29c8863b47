use super::*;
use crate::{Detector, Zones};

#[test]
fn defaults_are_valid_and_survive_serialisation() {
    let rules = Rules::default();
    rules.validate().unwrap();
    assert_eq!(
        Rules::from_value(serde_json::to_value(&rules).unwrap()).unwrap(),
        rules
    );
    assert_eq!(Rules::from_value(json!({})).unwrap(), rules);
    let yaml = serde_yaml_ng::to_string(&rules).unwrap();
    assert_eq!(serde_yaml_ng::from_str::<Rules>(&yaml).unwrap(), rules);
}

#[test]
fn models_override_single_thresholds() {
    let rules = Rules::from_value(json!({
        "overheating": {"criticalAt": 118},
        "models": {"Van": {"overheating": {"warningAt": 109.5}}},
    }))
    .unwrap();
    let detector = Detector::new(rules.clone(), Zones::default()).unwrap();
    let van = detector.rules(Some("Van")).overheating;
    assert_eq!((van.warning_at, van.critical_at), (109.5, 118.0));
    assert_eq!(detector.rules(Some("other")).overheating, rules.overheating);
    assert_eq!(detector.rules(None).overheating.critical_at, 118.0);
}

#[test]
fn contradictions_are_named_by_their_path() {
    let error = |v| Rules::from_value(v).unwrap_err();
    let e = error(json!({"overheating": {"criticalAt": 90}}));
    assert_eq!(
        (e.field.as_str(), e.value.as_str()),
        ("rules.overheating.criticalAt", "90")
    );
    let e = error(json!({"models": {"Van": {"overheating": {"clearBelow": 150}}}}));
    assert_eq!(e.field, "rules.models.Van.overheating.clearBelow");
    let e = error(json!({"overheating": {"cooldownSeconds": -1}}));
    assert_eq!(e.field, "rules.overheating.cooldownSeconds");
}

#[test]
fn wrong_types_and_unknown_fields_are_named_by_their_path() {
    for (document, field, problem) in [
        (json!({"overheatin": {}}), "rules.overheatin", "overheatin"),
        (
            json!({"overheatin": {"warningAt": 1}}),
            "rules.overheatin",
            "unknown field",
        ),
        (
            json!({"overheating": {"warningAt": "hot"}}),
            "rules.overheating.warningAt",
            "hot",
        ),
        (
            json!({"overheating": {"warnAt": 1, "warningAt": 108}}),
            "rules.overheating.warnAt",
            "unknown field",
        ),
        (
            json!({"overheating": 5}),
            "rules.overheating",
            "invalid type",
        ),
        (
            json!({"latenessSeconds": 9999}),
            "rules.latenessSeconds",
            "3600",
        ),
        (
            json!({"models": {"Van": {"overheating": {"warningAt": true}}}}),
            "rules.models.Van.overheating.warningAt",
            "bool",
        ),
        (
            json!({"models": {"Van": {"overheat": {}}}}),
            "rules.models.Van.overheat",
            "unknown field",
        ),
        (
            json!({"models": {"Van": {"latenessSeconds": 3}}}),
            "rules.models.Van.latenessSeconds",
            "all models",
        ),
        (json!([]), "rules", "not a mapping"),
        (json!(null), "rules", "not a mapping"),
    ] {
        let e = Rules::from_value(document).unwrap_err();
        assert_eq!(e.field, field, "{e}");
        assert!(e.problem.contains(problem), "{e}");
        assert!(!e.cure.is_empty());
    }
}
