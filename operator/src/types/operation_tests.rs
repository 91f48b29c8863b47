use super::*;
use serde_json::{Value, json};

fn windows(given: Value) -> Result<Windows, Invalid> {
    let given: Vec<MaintenanceWindow> = serde_json::from_value(given).unwrap();
    Windows::check(&given, "spec.maintenanceWindows")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_window_is_open_from_its_start_to_its_end() {
    let nightly = windows(json!([{"start": "02:00", "durationMinutes": 60}])).unwrap();
    for (now, open, next) in [
        ("2026-03-02T01:59:59Z", false, "2026-03-02T02:00:00Z"),
        ("2026-03-02T02:00:00Z", true, "2026-03-03T02:00:00Z"),
        ("2026-03-02T02:59:59Z", true, "2026-03-03T02:00:00Z"),
        ("2026-03-02T03:00:00Z", false, "2026-03-03T02:00:00Z"),
    ] {
        assert_eq!(nightly.is_open(at(now)), open, "{now}");
        assert_eq!(nightly.next(at(now)), Some(at(next)), "{now}");
    }
}

#[test]
fn days_zones_and_midnight_are_minded() {
    // 2026-03-07 is a Saturday; Vienna is one hour ahead of UTC in winter, two in summer.
    let saturday = windows(
        json!([{"days": ["Saturday"], "start": "23:00", "durationMinutes": 120, "timeZone": "Europe/Vienna"}]),
    )
    .unwrap();
    assert!(!saturday.is_open(at("2026-03-06T22:30:00Z")));
    assert!(saturday.is_open(at("2026-03-07T22:30:00Z")));
    // Sunday by the local clock, and still the window of Saturday.
    assert!(saturday.is_open(at("2026-03-07T23:59:00Z")));
    assert!(!saturday.is_open(at("2026-03-08T00:00:00Z")));
    assert_eq!(
        saturday.next(at("2026-03-28T23:00:00Z")),
        Some(at("2026-04-04T21:00:00Z"))
    );
}

#[test]
fn a_start_that_the_clocks_leave_out_comes_an_hour_later() {
    let nightly =
        windows(json!([{"start": "02:30", "durationMinutes": 30, "timeZone": "Europe/Vienna"}]))
            .unwrap();
    assert_eq!(
        nightly.next(at("2026-03-28T23:00:00Z")),
        Some(at("2026-03-29T01:30:00Z"))
    );
}

#[test]
fn no_window_is_never_open() {
    let none = windows(json!([])).unwrap();
    assert!(!none.is_open(at("2026-03-02T02:00:00Z")));
    assert_eq!(none.next(at("2026-03-02T02:00:00Z")), None);
}

#[test]
fn a_bad_window_is_named() {
    for (window, says) in [
        (
            json!({"start": "2h", "durationMinutes": 60}),
            "spec.maintenanceWindows[0].start: 2h: ",
        ),
        (
            json!({"start": "02:00", "durationMinutes": 1}),
            "durationMinutes: 1: ",
        ),
        (
            json!({"start": "02:00", "durationMinutes": 60, "timeZone": "Europe/Wien"}),
            "timeZone: Europe/Wien: ",
        ),
    ] {
        let told = windows(json!([window])).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
}

fn template() -> PodTemplateSpec {
    serde_json::from_value(json!({"metadata": {"labels": {"app.kubernetes.io/name": "kafka"}},
        "spec": {"containers": [{"name": "kafka", "image": "k", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}],
            "volumes": [{"name": "tmp", "emptyDir": {}}]}}))
    .unwrap()
}

fn overridden(with: Value) -> Result<Value, Invalid> {
    let Value::Object(with) = with else { panic!() };
    let mut template = template();
    override_pods(&mut template, &with, "spec.podOverrides")?;
    Ok(serde_json::to_value(template).unwrap())
}

#[test]
fn overrides_are_merged_by_key() {
    let made = overridden(json!({"metadata": {"labels": {"team": "a"}},
        "spec": {"priorityClassName": "high", "nodeSelector": {"disk": "ssd"},
            "containers": [{"name": "kafka", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
                {"name": "sidecar", "image": "s"}]}}))
    .unwrap();
    assert_eq!(made["metadata"]["labels"]["team"], "a");
    assert_eq!(made["spec"]["priorityClassName"], "high");
    let containers = &made["spec"]["containers"];
    assert_eq!(containers[0]["image"], "k");
    assert_eq!(
        containers[0]["env"],
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}])
    );
    assert_eq!(containers[1]["name"], "sidecar");
    assert_eq!(made["spec"]["volumes"][0]["name"], "tmp");
}

#[test]
fn no_overrides_change_nothing() {
    assert_eq!(
        overridden(json!({})).unwrap(),
        serde_json::to_value(template()).unwrap()
    );
}

#[test]
fn bad_overrides_are_named() {
    for (with, says) in [
        (
            json!({"spec": {"priorityClas": "high"}}),
            "spec.podOverrides.spec.priorityClas: \"high\": is no field",
        ),
        (
            json!({"spec": {"containers": [{"name": "kafka", "envv": []}]}}),
            "spec.podOverrides.spec.containers[0].envv",
        ),
        (
            json!({"spec": {"priorityClassName": null}}),
            "spec.podOverrides.spec.priorityClassName: null: takes nothing away",
        ),
        (
            json!({"spec": {"volumes": null}}),
            "spec.podOverrides.spec.volumes: null: takes nothing away",
        ),
        (
            json!({"metadata": {"annotations": {"a": null}}}),
            "spec.podOverrides.metadata.annotations.a: null: ",
        ),
        (
            json!({"spec": {"containers": [{"name": "kafka", "env": [{"name": "A", "value": null}]}]}}),
            "spec.podOverrides.spec.containers[0].env[0].value: null: ",
        ),
        (
            json!({"spec": {"volumes": [{"name": "tmp", "$patch": "delete"}]}}),
            "spec.podOverrides.spec.volumes[0].$patch: \"delete\": is no field",
        ),
        (
            json!({"spec": {"containers": "kafka"}}),
            "is not in the form",
        ),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "without a name",
        ),
        (
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "mine"}}}),
            "labels.app.kubernetes.io/name: mine: ",
        ),
    ] {
        let told = overridden(with).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn stopped_is_told_and_taken_back() {
    let mut conditions = Vec::new();
    tell_stopped(&mut conditions, false, 0, None);
    assert!(conditions.is_empty());
    tell_stopped(&mut conditions, true, 2, None);
    assert_eq!(
        (conditions[0].status.as_str(), conditions[0].reason.as_str()),
        ("False", "Stopping")
    );
    tell_stopped(&mut conditions, true, 0, None);
    assert_eq!(
        (conditions[0].status.as_str(), conditions[0].reason.as_str()),
        ("True", "Stopped")
    );
    tell_stopped(&mut conditions, false, 0, None);
    assert_eq!(
        (conditions[0].status.as_str(), conditions[0].reason.as_str()),
        ("False", "NotStopped")
    );
}

#[test]
fn volumes_go_only_when_asked() {
    assert_eq!(
        DeletionPolicy::Retain.of_claims().when_deleted.as_deref(),
        Some("Retain")
    );
    assert_eq!(
        DeletionPolicy::Delete.of_claims().when_deleted.as_deref(),
        Some("Delete")
    );
    assert_eq!(
        DeletionPolicy::Delete.of_claims().when_scaled.as_deref(),
        Some("Retain")
    );
}
