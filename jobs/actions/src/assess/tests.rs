use super::*;
use crate::render::tests::{alert, zone_alert};

fn advice_for(rule: &str, severity: Severity, limit: Option<f64>) -> (Urgency, Advice) {
    let mut alert = alert(severity);
    alert.rule = rule.to_owned();
    alert.seconds_to_limit = limit;
    let assessment = assess(&alert, &AssessParams::default());
    assert_eq!(assessment.alert, alert);
    (assessment.urgency, assessment.advice)
}

#[test]
fn every_rule_has_its_advice_by_severity() {
    use Severity::{Critical, Info, Warning};
    use Urgency::{Later, Now, Soon};
    for (rule, severity, limit, expected) in [
        ("overheating", Critical, None, (Now, Advice::StopEngineOff)),
        ("overheating", Warning, None, (Soon, Advice::EaseEngine)),
        (
            "overheating",
            Warning,
            Some(300.0),
            (Soon, Advice::EaseEngine),
        ),
        (
            "overheating",
            Warning,
            Some(30.0),
            (Now, Advice::EaseEngine),
        ),
        (
            "coolant-not-warming",
            Warning,
            None,
            (Soon, Advice::HaveChecked),
        ),
        (
            "charging-failure",
            Warning,
            None,
            (Soon, Advice::SaveElectricity),
        ),
        (
            "charging-failure",
            Critical,
            None,
            (Now, Advice::StopBeforeStall),
        ),
        (
            "tyre-pressure-low",
            Warning,
            None,
            (Soon, Advice::InflateTyre),
        ),
        (
            "tyre-pressure-low",
            Critical,
            None,
            (Now, Advice::StopCheckTyre),
        ),
        (
            "slow-puncture",
            Warning,
            Some(3600.0),
            (Soon, Advice::RepairTyre),
        ),
        (
            "slow-puncture",
            Warning,
            Some(500.0),
            (Now, Advice::RepairTyre),
        ),
        (
            "slow-puncture",
            Critical,
            None,
            (Now, Advice::StopCheckTyre),
        ),
        ("fuel-low", Info, None, (Later, Advice::Refuel)),
        ("check-engine", Info, None, (Later, Advice::HaveChecked)),
        ("check-engine", Warning, None, (Soon, Advice::HaveChecked)),
        ("check-engine", Critical, None, (Now, Advice::StopAndCall)),
        ("oil-hot", Critical, None, (Now, Advice::AsTold)),
        ("oil-hot", Warning, None, (Soon, Advice::AsTold)),
        ("oil-hot", Info, None, (Later, Advice::AsTold)),
    ] {
        assert_eq!(
            advice_for(rule, severity, limit),
            expected,
            "{rule} {severity}"
        );
    }
}

#[test]
fn a_short_range_is_more_urgent() {
    let mut low = alert(Severity::Info);
    low.rule = "fuel-low".to_owned();
    low.details.range_km = Some(12.0);
    assert_eq!(
        assess(&low, &AssessParams::default()).urgency,
        Urgency::Soon
    );
}

#[test]
fn zones_ask_for_what_can_still_be_done() {
    let of = |kind: &str, leaving, distance, seconds| {
        let assessment = assess(
            &zone_alert(kind, leaving, distance, seconds),
            &AssessParams::default(),
        );
        (assessment.urgency, assessment.advice)
    };
    assert_eq!(
        of("border", false, 3000.0, 120.0),
        (Urgency::Soon, Advice::MindBorder)
    );
    assert_eq!(
        of("border", true, 300.0, 20.0),
        (Urgency::Now, Advice::MindBorder)
    );
    assert_eq!(
        of("border", true, 0.0, 0.0),
        (Urgency::Now, Advice::TurnBack)
    );
    assert_eq!(
        of("closed", false, 3000.0, 120.0),
        (Urgency::Soon, Advice::AvoidZone)
    );
    assert_eq!(
        of("curfew", false, 0.0, 0.0),
        (Urgency::Now, Advice::LeaveZone)
    );
    assert_eq!(
        of("curfew", true, 100.0, 10.0),
        (Urgency::Now, Advice::Observe)
    );
}

#[test]
fn language_and_time_zone_travel_with_the_assessment() {
    let params = AssessParams {
        language: Some("de".to_owned()),
        time_zone: Some("Europe/Berlin".to_owned()),
    };
    let assessment = assess(&alert(Severity::Warning), &params);
    assert_eq!(assessment.language.as_deref(), Some("de"));
    assert_eq!(assessment.time_zone.as_deref(), Some("Europe/Berlin"));
}

#[test]
fn the_trace_of_the_event_travels_with_the_assessment() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let of = |cloudevent: serde_json::Value| {
        let input = AssessInput {
            alert: alert(Severity::Warning),
            params: AssessParams::default(),
            cloudevent,
        };
        action(input).unwrap().traceparent
    };
    let told = serde_json::json!({"id": "a", "traceparent": trace});
    assert_eq!(of(told).as_deref(), Some(trace));
    // The warning is told whatever stands there.
    for odd in [
        serde_json::json!(7),
        serde_json::json!({"traceparent": 7}),
        serde_json::json!({"traceparent": "none"}),
    ] {
        assert_eq!(of(odd), None);
    }
}

#[test]
fn bad_input_is_refused_with_a_cure() {
    let mut bad = alert(Severity::Warning);
    bad.vehicle.clear();
    let error = action(AssessInput {
        alert: bad,
        params: AssessParams::default(),
        cloudevent: serde_json::Value::Null,
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("alert.vehicle: \"\": is empty; "),
        "{error}"
    );
    let error = check_time_zone(Some("Mars/Olympus")).unwrap_err();
    assert!(
        error.to_string().starts_with("time_zone: Mars/Olympus: "),
        "{error}"
    );
}
