//! The dead letters of a body: pure, no Kafka, no clock.

use std::fmt::Write as _;

use jiff::Timestamp;
use millrace_contract::{DeadLetter, Kept, Reason, check_vehicle_id};
use serde_json::Value;

use super::intake::Rejected;
use super::metrics::Channel;
use super::seal::{SealError, SealKey};

/// So much of a payload fits, sealed, into a record of Kafka's default size limit.
const SURELY_KEPT: usize = 512 * 1024;

/// A dead letter to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// With all of the payload.
    pub full: DeadLetter,
    /// With the first part of a payload that the topic might not take as a whole.
    pub cut: Option<DeadLetter>,
}

/// The dead letters of a body: one for each rejected event, its own JSON sealed, or one for the body. Without the
/// `vehicle` that sent it, each is of the vehicle that it names.
///
/// # Errors
/// When a payload cannot be sealed.
pub fn dead_letters(
    body: &[u8],
    rejected: &[Rejected],
    vehicle: Option<&str>,
    channel: Channel,
    now: Timestamp,
    key: &SealKey,
) -> Result<Vec<Letter>, SealError> {
    let letter = |vehicle: Option<&str>, reason: Reason, plain: &[u8], kept: Kept| {
        Ok(DeadLetter {
            reason,
            source_topic_or_channel: channel.as_str().to_owned(),
            vehicle: vehicle.map(str::to_owned),
            received_at: now,
            attempts: 1,
            payload: key.seal(plain)?,
            kept: Some(kept),
            origin: None,
        })
    };
    // Only a batch is taken apart; what is no JSON is kept whole.
    let events: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    let single: Option<Value> = match vehicle {
        None if events.is_empty() => serde_json::from_slice(body).ok(),
        _ => None,
    };
    rejected
        .iter()
        .map(|r| {
            // What is one object, and no batch, is its only event.
            let event = events.get(r.index).or(single.as_ref()).filter(|_| !r.whole);
            let vehicle = vehicle.or_else(|| vehicle_in(event?));
            let own = events
                .get(r.index)
                .filter(|_| !r.whole)
                .and_then(|event| serde_json::to_vec(event).ok());
            let plain = own.as_deref().unwrap_or(body);
            let reason = Reason::from(r.invalid.clone());
            let cut = match plain.get(..SURELY_KEPT) {
                Some(first) if plain.len() > SURELY_KEPT => {
                    let mut reason = reason.clone();
                    let _ = write!(
                        reason.problem,
                        "; only the first {SURELY_KEPT} of {} bytes are kept",
                        plain.len()
                    );
                    Some(letter(vehicle, reason, first, Kept::Part)?)
                }
                _ => None,
            };
            Ok(Letter {
                full: letter(vehicle, reason, plain, Kept::Whole)?,
                cut,
            })
        })
        .collect()
}

// The vehicle that an event names, unless that is really the id of a person.
fn vehicle_in(event: &Value) -> Option<&str> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let vehicle = text("vehicle").filter(|v| check_vehicle_id(v).is_ok())?;
    let person = [text("driver"), text("hire")];
    (!person.contains(&Some(vehicle))).then_some(vehicle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::intake::{Judge, Judged};
    use millrace_contract::TimeLimits;
    use millrace_contract::pseudonym::PseudonymKey;

    use crate::gateway::hires::WrittenHires;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn judged(body: &str) -> Judged {
        let key = PseudonymKey::from_bytes(&[7; 32]).unwrap();
        let limits = TimeLimits::default();
        Judge {
            vehicle: Some("car-1"),
            max_batch: 3,
            limits: &limits,
            key: &key,
            written: &WrittenHires::default(),
        }
        .telemetry(body.as_bytes(), now())
    }

    const GOOD: &str = r#"{"vehicle":"car-1","sequence":1,"time":"2026-11-23T11:59:59Z","coolant_temperature":91.5}"#;

    #[test]
    fn dead_letters_name_no_driver_in_clear_and_can_be_opened() {
        let key = SealKey::from_text("a secret of more than thirty-two characters").unwrap();
        let bad = GOOD
            .replace("\"sequence\":1", "\"sequence\":1,\"driver\":\"D-4711\"")
            .replace("91.5", "9999");
        let truncated = &bad[..bad.len() - 3];
        for body in [
            bad.as_str(),
            truncated,
            &format!("[{GOOD},{bad}]"),
            &bad.replace("car-1", "D-4711"),
        ] {
            let rejected = judged(body).rejected;
            assert_eq!(rejected.len(), 1, "{body}");
            let letters = dead_letters(
                body.as_bytes(),
                &rejected,
                Some("car-1"),
                Channel::Mqtt,
                now(),
                &key,
            )
            .unwrap();
            let text = serde_json::to_string(&letters[0].full).unwrap();
            assert!(!text.contains("4711"), "{text}");
            let opened = String::from_utf8(key.open(&letters[0].full.payload).unwrap()).unwrap();
            assert!(
                opened.contains("D-4711") && !opened.contains("91.5"),
                "{opened}"
            );
            assert_eq!(letters[0].cut, None);
        }
    }

    fn letter(body: &str) -> (Letter, SealKey) {
        let key = SealKey::from_text("a secret of more than thirty-two characters").unwrap();
        let rejected = judged(body).rejected;
        assert_eq!(rejected.len(), 1);
        let mut letters = dead_letters(
            body.as_bytes(),
            &rejected,
            Some("car-1"),
            Channel::Http,
            now(),
            &key,
        )
        .unwrap();
        (letters.remove(0), key)
    }

    #[test]
    fn a_body_of_too_many_events_is_kept_whole() {
        let body = format!("[{GOOD},{GOOD},{GOOD},{GOOD}]");
        let (letter, key) = letter(&body);
        assert_eq!(key.open(&letter.full.payload).unwrap(), body.as_bytes());
    }

    #[test]
    fn of_a_large_payload_the_first_part_can_be_kept() {
        let body = format!("{{\"vehicle\":\"{}", "x".repeat(900_000));
        let (letter, key) = letter(&body);
        assert_eq!(key.open(&letter.full.payload).unwrap(), body.as_bytes());
        let cut = letter.cut.unwrap();
        assert_eq!(
            (letter.full.kept, cut.kept),
            (Some(Kept::Whole), Some(Kept::Part))
        );
        assert_eq!(
            key.open(&cut.payload).unwrap(),
            &body.as_bytes()[..SURELY_KEPT]
        );
        assert!(
            cut.reason
                .problem
                .ends_with("; only the first 524288 of 900012 bytes are kept"),
            "{}",
            cut.reason.problem
        );
        // Kafka's default limit, and room for key, headers and framing.
        assert!(serde_json::to_vec(&cut).unwrap().len() < 1_000_000);
    }

    #[test]
    fn without_a_sender_a_letter_is_of_the_vehicle_that_the_event_names() {
        let of = |event: &str| vehicle_in(&serde_json::from_str(event).unwrap()).map(str::to_owned);
        assert_eq!(
            of(r#"{"vehicle":"car-1","driver":"d"}"#).as_deref(),
            Some("car-1")
        );
        assert_eq!(of(r#"{"vehicle":"d","driver":"d"}"#), None);
        assert_eq!(of(r#"{"vehicle":"a b"}"#), None);
        assert_eq!(of("7"), None);
        let key = SealKey::from_text("a secret of more than thirty-two characters").unwrap();
        let rejected = judged(&GOOD.replace("91.5", "9999")).rejected;
        let letters = |body: &str| {
            dead_letters(
                body.as_bytes(),
                &rejected,
                None,
                Channel::Events,
                now(),
                &key,
            )
            .unwrap()
        };
        let vehicle = |body: &str| letters(body).remove(0).full.vehicle;
        assert_eq!(vehicle(r#"{"vehicle":"car-7"}"#).as_deref(), Some("car-7"));
        assert_eq!(
            vehicle(r#"[{"vehicle":"car-8"}]"#).as_deref(),
            Some("car-8")
        );
        assert_eq!(vehicle("no JSON"), None);
    }
}
