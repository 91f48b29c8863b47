//! A fleet with a life: it drives, loses air, breaks down, is told of twice, and is seen to.

use jiff::{SignedDuration, Timestamp};
use millrace_contract::alert::{AlertDetails, episode_id};
use millrace_contract::{Alert, Component, EventKind, Severity, Telemetry, VehicleEvent};

use crate::made::Numbers;

/// Models with how likely an engine breaks down, and somebody asks for a check, on a day.
const MODELS: [(&str, f64, f64); 3] = [
    ("Golf", 0.02, 0.05),
    ("Zoe", 0.01, 0.02),
    ("Van", 0.05, 0.1),
];
const WHEELS: [(&str, Component); 4] = [
    ("front_left", Component::TyreFrontLeft),
    ("front_right", Component::TyreFrontRight),
    ("rear_left", Component::TyreRearLeft),
    ("rear_right", Component::TyreRearRight),
];

/// What happened to a fleet.
#[derive(Default)]
pub struct Life {
    pub telemetry: Vec<Telemetry>,
    pub events: Vec<VehicleEvent>,
    pub alerts: Vec<Alert>,
    /// Lines of a file of stretches.
    pub roads: Vec<String>,
}

impl Life {
    /// So many vehicles from `start` on, for so many days. The same every time.
    pub fn of(vehicles: u64, start: Timestamp, days: i64) -> Self {
        let mut life = Self::default();
        for seed in 0..vehicles {
            life.vehicle(seed, start, days);
        }
        life
    }

    /// What of it happened before a time, and the rest.
    pub fn split(self, at: Timestamp) -> (Self, Self) {
        let (telemetry, later_telemetry) = self.telemetry.into_iter().partition(|t| t.time < at);
        let (events, later_events) = self.events.into_iter().partition(|e| e.time < at);
        let (alerts, later_alerts) = self.alerts.into_iter().partition(|a| a.event_time < at);
        let first = Self {
            telemetry,
            events,
            alerts,
            roads: self.roads,
        };
        let rest = Self {
            telemetry: later_telemetry,
            events: later_events,
            alerts: later_alerts,
            roads: Vec::new(),
        };
        (first, rest)
    }

    fn vehicle(&mut self, seed: u64, start: Timestamp, days: i64) {
        let mut numbers = Numbers::new(seed * 7919 + 1);
        let vehicle = format!("car-{seed}");
        let (model, breaks, asks) = MODELS[usize::try_from(seed % 3).unwrap()];
        let mut odometer = (numbers.next() * 90_000_000.0).round();
        let mut event = |id: String, time, kind, component, odometer| {
            self.events.push(VehicleEvent {
                vehicle: vehicle.clone(),
                id,
                time,
                kind,
                component,
                odometer,
                model: None,
                hire: kind.is_hire().then(|| "pseudonym-of-somebody".to_owned()),
                note: None,
            });
        };
        // Some are sold after a third of the time.
        let days = if seed % 11 == 5 { days / 3 } else { days };
        for day in 0..days {
            let morning = start + SignedDuration::from_hours(24 * day);
            let at = |hours: f64| morning + SignedDuration::from_secs((hours * 3600.0) as i64);
            for hour in [7.0, 9.5, 13.0, 17.25] {
                let mut sample = Telemetry::new(
                    &vehicle,
                    u64::try_from(day).unwrap() * 10 + hour as u64,
                    at(hour),
                );
                odometer += (numbers.next() * 60_000.0).round();
                sample.odometer = (numbers.next() < 0.8).then_some(odometer);
                sample.model = (numbers.next() < 0.7).then(|| model.to_owned());
                sample.hire = Some("pseudonym-of-somebody".to_owned());
                // One instrument was replaced.
                if seed == 7 && day == 9 {
                    sample.odometer = Some(10.0);
                }
                self.telemetry.push(sample);
            }
            if numbers.next() < 0.6 {
                let (highway, main) = (numbers.next(), numbers.next());
                let sum = highway + main + numbers.next();
                self.roads.push(format!(
                    "{vehicle},{},{},{},{},{},{}",
                    at(7.0),
                    at(17.25),
                    (numbers.next() * 120_000.0).round(),
                    highway / sum * 0.95,
                    main / sum * 0.95,
                    (1.0 - (highway + main) / sum) * 0.95
                ));
            }
            let broken = numbers.next() < breaks;
            if broken {
                // The driver tells, and the workshop too, with what it reads.
                let known = (numbers.next() < 0.7).then_some(odometer);
                event(
                    format!("{day}-b"),
                    at(17.3),
                    EventKind::Breakdown,
                    Some(Component::Engine),
                    known,
                );
                event(
                    format!("{day}-w"),
                    at(17.6),
                    EventKind::Breakdown,
                    Some(Component::Engine),
                    Some(odometer + 300.0),
                );
            }
            if numbers.next() < asks || broken {
                let kinds = [EventKind::Check, EventKind::Repair, EventKind::Maintenance];
                let kind = kinds[(numbers.next() * 3.0) as usize % 3];
                let component = broken.then_some(Component::Engine);
                event(format!("{day}-r"), at(20.0), kind, component, None);
            }
            event(
                format!("{day}-h"),
                at(7.0),
                EventKind::HireStarted,
                None,
                None,
            );
            if numbers.next() < 0.08 {
                let (wheel, tyre) = WHEELS[(numbers.next() * 4.0) as usize % 4];
                for (n, hours) in [7.5, 8.25, 21.0].into_iter().enumerate() {
                    let known = numbers.next() < 0.95;
                    let rule = if n == 0 {
                        "slow-puncture"
                    } else {
                        "tyre-pressure-low"
                    };
                    self.alerts
                        .push(alert(&vehicle, rule, known.then_some(wheel), at(hours)));
                }
                let dice = numbers.next();
                let (kind, component) = match dice {
                    d if d < 0.3 => (EventKind::Breakdown, Some(tyre)),
                    d if d < 0.5 => (EventKind::Repair, Some(Component::Tyre)),
                    d if d < 0.6 => (EventKind::Check, None),
                    _ => (EventKind::Check, Some(Component::TyreFrontLeft)),
                };
                event(
                    format!("{day}-t"),
                    at(9.0 + dice * 10.0),
                    kind,
                    component,
                    None,
                );
            }
            if numbers.next() < 0.1 {
                self.alerts
                    .push(alert(&vehicle, "overheating", None, at(12.0)));
            }
        }
    }
}

fn alert(vehicle: &str, rule: &str, wheel: Option<&str>, time: Timestamp) -> Alert {
    let episode = episode_id(vehicle, rule, time);
    Alert {
        id: Alert::id_of(vehicle, rule, &episode, Severity::Warning),
        vehicle: vehicle.to_owned(),
        hire: Some("pseudonym-of-somebody".to_owned()),
        model: None,
        rule: rule.to_owned(),
        severity: Severity::Warning,
        episode,
        event_time: time,
        detected_at: time,
        signal: "tyre_pressure_front_left".to_owned(),
        value: 180.0,
        unit: "kPa".to_owned(),
        threshold: 200.0,
        trend_per_minute: None,
        seconds_to_limit: None,
        text: "low".to_owned(),
        details: AlertDetails {
            wheel: wheel.map(str::to_owned),
            ..AlertDetails::default()
        },
    }
}
