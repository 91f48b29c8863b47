//! From a drop of tyre pressure that nobody sees to, to the breakdown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use millrace_contract::{Alert, Component, EventKind, Invalid, VehicleEvent};

use super::Lifetime;
use super::distances::{once, one_vehicle};
use crate::tyres::{low, puncture};

/// Hours from each drop of a tyre's pressure to the next breakdown of that vehicle, for one vehicle.
///
/// A drop begins with an alert of `slow-puncture` or `tyre-pressure-low` and is over at whatever comes first:
/// - a breakdown of a component for which `counts` holds (failed),
/// - a check, repair or maintenance of that tyre, of tyres at large, or of the vehicle as a whole (no `component`):
///   it is attended, and how long it would have gone on is not known (censored),
/// - `until`, the end of the observation (censored).
///
/// An alert of the same tyre before that is of the same drop. Each tyre has drops of its own. A breakdown and an
/// attendance at the same time count as the breakdown: it was seen to because of it.
///
/// # Errors
/// Alerts or events of several vehicles.
pub fn hours_to_breakdown(
    alerts: &[Alert],
    events: &[VehicleEvent],
    until: Timestamp,
    counts: impl Fn(Option<Component>) -> bool,
) -> Result<Vec<Lifetime>, Invalid> {
    one_vehicle(events)?;
    let mut drops: Vec<&Alert> = alerts
        .iter()
        .filter(|a| begins_drop(&a.rule))
        .filter(|a| a.event_time < until)
        .collect();
    drops.sort_by_key(|alert| alert.event_time);
    let vehicle = events.first().map(|event| event.vehicle.as_str());
    let vehicle = vehicle.or(drops.first().map(|alert| alert.vehicle.as_str()));
    if let Some(other) = drops.iter().find(|a| Some(a.vehicle.as_str()) != vehicle) {
        return Err(Invalid::new(
            "vehicle",
            &other.vehicle,
            format!(
                "an alert of it, among what is of {}",
                vehicle.unwrap_or_default()
            ),
            "give alerts and events of one vehicle at a time",
        ));
    }
    let events = once(events);
    let mut over: BTreeMap<Option<Component>, Timestamp> = BTreeMap::new();
    let mut lifetimes = Vec::new();
    for alert in drops {
        let tyre = alert.details.wheel.as_deref().and_then(Component::tyre_of);
        let begin = alert.event_time;
        if over.get(&tyre).is_some_and(|over| begin < *over) {
            continue;
        }
        let later = || events.iter().filter(|e| begin < e.time && e.time <= until);
        let broken = later().find(|e| e.kind == EventKind::Breakdown && counts(e.component));
        let attended = later().find(|e| attends(e, tyre));
        let (end, failed) = match (broken, attended) {
            (Some(b), Some(a)) if b.time <= a.time => (b.time, true),
            (_, Some(a)) => (a.time, false),
            (Some(b), None) => (b.time, true),
            (None, None) => (until, false),
        };
        over.insert(tyre, end);
        let hours = end.duration_since(begin).as_secs_f64() / 3600.0;
        lifetimes.push(if failed {
            Lifetime::failed(hours)
        } else {
            Lifetime::censored(hours)
        });
    }
    Ok(lifetimes)
}

/// Whether an alert of this rule begins a drop of pressure.
#[must_use]
pub fn begins_drop(rule: &str) -> bool {
    rule == puncture::RULE || rule == low::RULE
}

fn attends(event: &VehicleEvent, tyre: Option<Component>) -> bool {
    event.kind.is_request()
        && match event.component {
            None | Some(Component::Tyre) => true,
            // Which tyre lost air is not known: any of them may be the one.
            Some(component) if tyre.is_none() => component.is_tyre(),
            component => component == tyre,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survival::testing::{event, time};
    use millrace_contract::{AlertDetails, Severity};

    fn drop_of(wheel: &str, hour: i64) -> Alert {
        Alert {
            id: format!("{wheel}-{hour}"),
            vehicle: "car-1".into(),
            hire: None,
            model: None,
            rule: puncture::RULE.into(),
            severity: Severity::Warning,
            episode: hour.to_string(),
            event_time: time(hour),
            detected_at: time(hour),
            signal: "tyre_pressure".into(),
            value: 180.0,
            unit: "kPa".into(),
            threshold: 190.0,
            trend_per_minute: None,
            seconds_to_limit: None,
            text: String::new(),
            details: AlertDetails {
                wheel: Some(wheel.into()),
                ..AlertDetails::default()
            },
        }
    }

    fn seen(id: &str, kind: EventKind, component: Option<Component>, hour: i64) -> VehicleEvent {
        VehicleEvent {
            component,
            ..event("car-1", id, kind, hour)
        }
    }

    fn of(alerts: &[Alert], events: &[VehicleEvent]) -> Vec<Lifetime> {
        hours_to_breakdown(alerts, events, time(1000), |_| true).unwrap()
    }

    use Component::{Engine, Tyre, TyreFrontLeft, TyreRearRight};
    use EventKind::{Breakdown, Check, Maintenance, Repair};

    #[test]
    fn unattended_to_the_breakdown() {
        let alerts = [drop_of("front_left", 10)];
        let broken = seen("b", Breakdown, Some(TyreFrontLeft), 34);
        assert_eq!(
            of(&alerts, std::slice::from_ref(&broken)),
            [Lifetime::failed(24.0)]
        );
        assert_eq!(of(&alerts, &[]), [Lifetime::censored(990.0)]);
        // What is seen to elsewhere does not attend the tyre.
        let elsewhere = [
            seen("e", Repair, Some(Engine), 20),
            seen("r", Repair, Some(TyreRearRight), 21),
            broken.clone(),
        ];
        assert_eq!(of(&alerts, &elsewhere), [Lifetime::failed(24.0)]);
        // Nor does what was done before.
        let before = [seen("c", Check, Some(Tyre), 9), broken];
        assert_eq!(of(&alerts, &before), [Lifetime::failed(24.0)]);
    }

    #[test]
    fn attended_is_censored() {
        let alerts = [drop_of("front_left", 10)];
        let broken = seen("b", Breakdown, Some(TyreFrontLeft), 34);
        for attended in [
            seen("a", Check, Some(TyreFrontLeft), 16),
            seen("a", Repair, Some(Tyre), 16),
            seen("a", Maintenance, None, 16),
        ] {
            assert_eq!(
                of(&alerts, &[attended, broken.clone()]),
                [Lifetime::censored(6.0)]
            );
        }
        // Towed in and repaired within the hour: the breakdown came first.
        let at_once = seen("a", Repair, Some(Tyre), 34);
        assert_eq!(of(&alerts, &[at_once, broken]), [Lifetime::failed(24.0)]);
    }

    #[test]
    fn repeated_alerts_are_of_one_drop_and_tyres_have_their_own() {
        let mut low = drop_of("front_left", 12);
        low.rule = crate::tyres::low::RULE.into();
        let mut other = drop_of("front_left", 11);
        other.rule = "overheating".into();
        let alerts = [
            low,
            other,
            drop_of("front_left", 10),
            drop_of("rear_right", 20),
            drop_of("front_left", 40),
        ];
        let events = [
            seen("a", Repair, Some(TyreFrontLeft), 30),
            seen("b", Breakdown, None, 50),
        ];
        let expected = [
            Lifetime::censored(20.0),
            Lifetime::failed(30.0),
            Lifetime::failed(10.0),
        ];
        assert_eq!(of(&alerts, &events), expected);
        // Only breakdowns of tyres count, if that is asked for.
        let tyres = |c: Option<Component>| c.is_some_and(Component::is_tyre);
        let all = hours_to_breakdown(&alerts, &events, time(1000), tyres).unwrap();
        assert!(all.iter().all(|l| !l.has_failed()));
        // Nothing after the end counts.
        let cut = hours_to_breakdown(&alerts, &events, time(45), |_| true).unwrap();
        assert_eq!(cut[2], Lifetime::censored(5.0));
    }

    #[test]
    fn vehicles_are_not_mixed() {
        let mut other = drop_of("front_left", 10);
        other.vehicle = "car-2".into();
        let events = [seen("b", Breakdown, None, 50)];
        assert!(hours_to_breakdown(&[other], &events, time(60), |_| true).is_err());
    }
}
