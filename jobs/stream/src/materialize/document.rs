//! Documents, and what a record says about one. Pure.
//!
//! A record may come twice, and records of two topics in any order: what is said newest of a thing counts, and saying the
//! same again changes nothing.

use jiff::Timestamp;
use millrace_contract::driver::{Hire, Profile};
use millrace_contract::{Alert, FIELDS, Telemetry};
use mongodb::bson::{Bson, DateTime, Document, doc, serialize_to_document};

use crate::gateway::notified::{Notified, Stage};

/// Counts the changes of a document, so that two who change it at once do not undo each other.
pub const REVISION: &str = "revision";
/// The collection with the last known state of each vehicle.
pub const VEHICLES: &str = "vehicles";
/// The collection of alerts.
pub const ALERTS: &str = "alerts";
/// The collection of what became of notifications, by alert.
pub const DELIVERIES: &str = "deliveries";

pub use millrace_contract::driver::{DRIVERS, HIRES};

/// What a record says about a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// What a vehicle has measured.
    Measured(Box<Telemetry>),
    /// That an alert was raised.
    Raised(Box<Alert>),
    /// How far a notification came.
    Notified(Notified),
    /// Which driver hires.
    Hired(Hire),
    /// What is known of a driver, and when that was told.
    Known(Profile, Timestamp),
    /// That there is to be no document.
    Removed,
}

impl Said {
    /// Makes a document say it, too. Gives whether that changed anything.
    ///
    /// # Errors
    /// It does not fit into a document.
    pub fn merge(&self, document: &mut Document) -> Result<bool, mongodb::bson::error::Error> {
        match self {
            Self::Measured(telemetry) => measured(telemetry, document),
            Self::Raised(alert) => raised(alert, document),
            Self::Notified(notified) => Ok(notified_of(notified, document)),
            Self::Hired(hire) => Ok(hired(hire, document)),
            Self::Known(profile, at) => known(profile, *at, document),
            // Whoever writes documents looks for this first.
            Self::Removed => Ok(false),
        }
    }
}

fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millisecond())
}

/// Each signal has the value that was measured last, whatever came in between without it; so have model and position. The
/// hire is that of the newest event, with or without one.
fn measured(
    telemetry: &Telemetry,
    document: &mut Document,
) -> Result<bool, mongodb::bson::error::Error> {
    let time = date(telemetry.time);
    let values = serialize_to_document(telemetry)?;
    let mut signals = match document.remove("signals") {
        Some(Bson::Document(signals)) => signals,
        _ => Document::new(),
    };
    let mut changed = false;
    for field in FIELDS {
        let Some(value) = values.get(field.name) else {
            continue;
        };
        let known = signals.get_document(field.name);
        if known.is_ok_and(|known| known.get_datetime("time").is_ok_and(|known| *known >= time)) {
            continue;
        }
        signals.insert(field.name, doc! {"value": value.clone(), "time": time});
        changed = true;
    }
    document.insert("signals", signals);
    if let Some(model) = &telemetry.model {
        changed |= latest(document, ("model", "model_time"), model.as_str(), time);
    }
    if let (Some(latitude), Some(longitude)) = (telemetry.latitude, telemetry.longitude) {
        let position = doc! {"type": "Point", "coordinates": [longitude, latitude]};
        changed |= latest(document, ("position", "position_time"), position, time);
    }
    let newest = document.get_datetime("time");
    if newest.is_ok_and(|newest| *newest >= time) {
        return Ok(changed);
    }
    document.insert("time", time);
    match &telemetry.hire {
        Some(hire) => document.insert("hire", hire.as_str()),
        // A vehicle without a hire is not that of the one before.
        None => document.remove("hire"),
    };
    Ok(true)
}

/// Puts a value and its time into a document that has none as new. Gives whether that changed anything.
fn latest(
    document: &mut Document,
    (name, time_name): (&str, &str),
    value: impl Into<Bson>,
    time: DateTime,
) -> bool {
    let known = document.get_datetime(time_name);
    // A document that was written before each had a time of its own: it is no later than that of the newest event.
    let known = known.or_else(|_| document.get_datetime("time"));
    if document.contains_key(name) && known.is_ok_and(|known| *known >= time) {
        return false;
    }
    document.insert(name, value);
    document.insert(time_name, time);
    true
}

fn raised(alert: &Alert, document: &mut Document) -> Result<bool, mongodb::bson::error::Error> {
    let detected_at = date(alert.detected_at);
    let known = document.get_datetime("detected_at");
    if known.is_ok_and(|known| *known >= detected_at) {
        return Ok(false);
    }
    let mut said = serialize_to_document(alert)?;
    said.remove("id");
    said.insert("event_time", date(alert.event_time));
    said.insert("detected_at", detected_at);
    if let Some(until) = alert.details.zone.as_ref().and_then(|zone| zone.until)
        && let Ok(zone) = said.get_document_mut("zone")
    {
        zone.insert("until", date(until));
    }
    document.extend(said);
    Ok(true)
}

fn notified_of(notified: &Notified, document: &mut Document) -> bool {
    let (name, state) = match notified.state {
        Stage::Accepted => ("accepted_at", "accepted"),
        Stage::Delivered => ("delivered_at", "delivered"),
    };
    if document.contains_key(name) {
        return false;
    }
    document.insert("vehicle", notified.vehicle.as_str());
    document.insert(name, date(notified.at));
    document.insert("expires_at", date(notified.expires_at));
    document.insert("spoken", notified.spoken);
    // Whatever comes in after it, it has been delivered.
    if !document.contains_key("delivered_at") || state == "delivered" {
        document.insert("state", state);
    }
    true
}

fn hired(hire: &Hire, document: &mut Document) -> bool {
    // A pseudonym stands for one driver for good.
    if document
        .get_str("driver")
        .is_ok_and(|driver| driver == hire.driver)
    {
        return false;
    }
    document.insert("driver", hire.driver.as_str());
    document.insert("vehicle", hire.vehicle.as_str());
    document.insert("seen_at", date(hire.seen_at));
    true
}

/// What a profile leaves out is not known any more.
fn known(
    profile: &Profile,
    at: Timestamp,
    document: &mut Document,
) -> Result<bool, mongodb::bson::error::Error> {
    let at = date(at);
    if document.get_datetime("at").is_ok_and(|known| *known > at) {
        return Ok(false);
    }
    let mut said = serialize_to_document(profile)?;
    said.insert("at", at);
    let kept: Document = ["_id", REVISION]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), document.get(name)?.clone())))
        .collect();
    let before: Document = std::mem::take(document)
        .into_iter()
        .filter(|(name, _)| !kept.contains_key(name))
        .collect();
    let same = before == said;
    *document = kept;
    document.extend(said);
    Ok(!same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_764_000_000 + second).unwrap()
    }

    fn telemetry(second: i64, speed: Option<f64>, fuel: Option<f64>) -> Said {
        Said::Measured(Box::new(Telemetry {
            vehicle: "v".into(),
            time: at(second),
            hire: speed.map(|speed| format!("h{speed}")),
            model: fuel.map(|fuel| format!("m{fuel}")),
            latitude: speed,
            longitude: speed,
            speed,
            fuel_level: fuel,
            ..Telemetry::default()
        }))
    }

    fn all(said: &[Said]) -> Document {
        let mut document = Document::new();
        for one in said {
            one.merge(&mut document).unwrap();
        }
        document
    }

    #[test]
    fn each_signal_is_the_last_that_was_measured() {
        let new = telemetry(2, Some(50.0), None);
        let old = telemetry(1, Some(40.0), Some(70.0));
        let document = all(&[new.clone(), old.clone()]);
        let signals = document.get_document("signals").unwrap();
        let value = |name: &str| {
            signals
                .get_document(name)
                .unwrap()
                .get_f64("value")
                .unwrap()
        };
        assert_eq!((value("speed"), value("fuel_level")), (50.0, 70.0));
        assert_eq!(document.get_str("hire").unwrap(), "h50");
        assert_eq!(document.get_str("model").unwrap(), "m70");
        let mut again = document.clone();
        assert!(!new.merge(&mut again).unwrap() && !old.merge(&mut again).unwrap());
        assert_eq!(again, document);
        // The hire is over.
        let mut over = document;
        telemetry(3, None, None).merge(&mut over).unwrap();
        assert!(!over.contains_key("hire") && over.contains_key("position"));
    }

    #[test]
    fn what_an_older_event_tells_first_is_kept() {
        let silent = telemetry(2, None, None);
        let telling = telemetry(1, Some(40.0), Some(70.0));
        let document = all(&[silent, telling]);
        let expected = doc! {"type": "Point", "coordinates": [40.0, 40.0]};
        assert_eq!(document.get_document("position").unwrap(), &expected);
        assert_eq!(document.get_str("model").unwrap(), "m70");
        let told_at = document.get_datetime("position_time").unwrap();
        assert_eq!(*told_at, date(at(1)));
        assert_eq!(*document.get_datetime("time").unwrap(), date(at(2)));
        assert!(!document.contains_key("hire"), "the newest event has none");
    }

    #[test]
    fn a_document_of_before_positions_had_times_is_not_set_back() {
        let before = doc! {"time": date(at(5)), "model": "m", "position": "there"};
        let mut document = before.clone();
        telemetry(4, Some(40.0), Some(70.0))
            .merge(&mut document)
            .unwrap();
        assert_eq!(document.get("model"), before.get("model"));
        assert_eq!(document.get("position"), before.get("position"));
        telemetry(6, Some(40.0), Some(70.0))
            .merge(&mut document)
            .unwrap();
        assert_eq!(document.get_str("model").unwrap(), "m70");
        assert!(document.contains_key("position_time"));
    }

    #[test]
    fn a_delivery_stays_delivered() {
        let notified = |state, second| {
            Said::Notified(Notified {
                state,
                at: at(second),
                vehicle: "v".into(),
                expires_at: at(900),
                spoken: true,
            })
        };
        let (accepted, delivered) = (notified(Stage::Accepted, 1), notified(Stage::Delivered, 2));
        let forward = all(&[accepted.clone(), delivered.clone(), accepted.clone()]);
        assert_eq!(forward.get_str("state").unwrap(), "delivered");
        let sorted = |document: Document| {
            let mut keys: Vec<_> = document.into_iter().collect();
            keys.sort_by(|a, b| a.0.cmp(&b.0));
            keys
        };
        assert_eq!(sorted(forward), sorted(all(&[delivered, accepted])));
    }

    #[test]
    fn what_a_profile_leaves_out_is_not_known_any_more() {
        let profile = |mail: Option<&str>| Profile {
            language: Some("de".into()),
            mail: mail.map(str::to_owned),
            offers: mail.is_some(),
            ..Profile::default()
        };
        let mut document = doc! {"_id": "d", REVISION: 3_i64};
        let first = Said::Known(profile(Some("a@b.example")), at(1));
        assert!(first.merge(&mut document).unwrap());
        assert!(!first.merge(&mut document).unwrap());
        let second = Said::Known(profile(None), at(2));
        assert!(second.merge(&mut document).unwrap());
        assert!(!first.merge(&mut document).unwrap(), "it is older");
        let expected = doc! {"_id": "d", REVISION: 3_i64, "language": "de", "offers": false, "at": date(at(2))};
        assert_eq!(document, expected);
    }

    proptest! {
        /// In any order, and any number of times, with each time told once: the same state.
        #[test]
        fn order_and_repetition_do_not_matter(
            order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
            again in prop::collection::vec(0..8_usize, 0..8),
        ) {
            let said: Vec<Said> = (0..8_i32)
                .map(|n| telemetry(
                    i64::from(n),
                    (n % 2 == 0).then(|| f64::from(n)),
                    (n % 3 == 0).then(|| f64::from(n)),
                ))
                .collect();
            let shuffled: Vec<Said> = order.iter().chain(&again).map(|n| said[*n].clone()).collect();
            let (one, other) = (all(&said), all(&shuffled));
            for name in ["time", "hire", "model", "model_time", "position", "position_time"] {
                prop_assert_eq!(one.get(name), other.get(name), "{}", name);
            }
            // The newest event tells neither; the one before tells both.
            prop_assert_eq!(other.get_datetime("model_time").unwrap(), &date(at(6)));
            prop_assert_eq!(other.get_datetime("position_time").unwrap(), &date(at(6)));
            let of = |document: &Document, name: &str| {
                document.get_document("signals").unwrap().get(name).cloned()
            };
            for name in ["speed", "fuel_level", "latitude"] {
                prop_assert_eq!(of(&one, name), of(&other, name));
            }
        }
    }
}
