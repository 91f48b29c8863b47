//! What becomes of a body that a vehicle sent: pure, no Kafka, no clock.

use std::fmt::Write as _;

use jiff::Timestamp;
use millrace_contract::pseudonym::PseudonymKey;
use millrace_contract::{
    DeadLetter, Inbound, Invalid, Reason, Telemetry, TimeLimits, check_time, codec,
};
use serde::Serialize;

use super::metrics::Channel;
use super::seal::{SealError, SealKey};

/// So much of a payload fits, sealed, into a record of Kafka's default size limit.
const SURELY_KEPT: usize = 512 * 1024;

/// One event that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Its place in the array that was sent; 0 when one object was sent.
    pub index: usize,
    /// Field, value, problem and cure.
    #[serde(flatten)]
    pub invalid: Invalid,
    /// Whether it is about the body as a whole, not about one event in it.
    #[serde(skip)]
    pub whole: bool,
}

impl Rejected {
    fn event(index: usize, invalid: Invalid) -> Self {
        Self {
            index,
            invalid,
            whole: false,
        }
    }

    fn body(invalid: Invalid) -> Self {
        Self {
            index: 0,
            invalid,
            whole: true,
        }
    }
}

/// A dead letter to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// With all of the payload.
    pub full: DeadLetter,
    /// With the first part of a payload that the topic might not take as a whole.
    pub cut: Option<DeadLetter>,
}

/// A body, judged.
#[derive(Debug, Default, PartialEq)]
pub struct Judged {
    /// What may go into Kafka: no driver in it, only the hire's pseudonym.
    pub accepted: Vec<Telemetry>,
    /// What may not.
    pub rejected: Vec<Rejected>,
}

/// What events are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The vehicle that authenticated itself.
    pub vehicle: &'a str,
    /// Most events in one body.
    pub max_batch: usize,
    /// Which event times are believed.
    pub limits: &'a TimeLimits,
    /// Makes the pseudonyms.
    pub key: &'a PseudonymKey,
}

impl Judge<'_> {
    /// Judges every event of a body on its own; a body that is no JSON is one rejected event.
    #[must_use]
    pub fn body(&self, body: &[u8], now: Timestamp) -> Judged {
        let events = match codec::decode_inbound(body) {
            Ok(events) => events,
            Err(invalid) => {
                return Judged {
                    accepted: Vec::new(),
                    rejected: vec![Rejected::body(invalid)],
                };
            }
        };
        if events.len() > self.max_batch {
            let invalid = Invalid::new(
                "body",
                format!("{} events", events.len()),
                format!("more than {} events in one body", self.max_batch),
                "send them in several bodies",
            );
            return Judged {
                accepted: Vec::new(),
                rejected: vec![Rejected::body(invalid)],
            };
        }
        let mut judged = Judged {
            accepted: Vec::with_capacity(events.len()),
            rejected: Vec::new(),
        };
        for (index, event) in events.into_iter().enumerate() {
            match event.and_then(|inbound| self.event(inbound, now)) {
                Ok(telemetry) => judged.accepted.push(telemetry),
                Err(invalid) => judged.rejected.push(Rejected::event(index, invalid)),
            }
        }
        judged
    }

    fn event(&self, inbound: Inbound, now: Timestamp) -> Result<Telemetry, Invalid> {
        let Inbound {
            mut telemetry,
            driver,
            hire_id,
        } = inbound;
        let names_person = |text: &str| {
            [&driver, &hire_id]
                .into_iter()
                .flatten()
                .any(|id| !id.is_empty() && id == text)
        };
        if telemetry.vehicle != self.vehicle {
            return Err(Invalid::new(
                "vehicle",
                if names_person(&telemetry.vehicle) {
                    "(not shown)"
                } else {
                    &telemetry.vehicle
                },
                format!("is not the vehicle that sends, {}", self.vehicle),
                "send each vehicle's events with its own id and token",
            ));
        }
        // The other free texts of an event: what they hold goes on in clear.
        let codes = telemetry.dtc_list.iter().flatten();
        let texts = telemetry.model.iter().map(|text| ("model", text));
        if let Some((field, _)) = texts
            .chain(codes.map(|code| ("dtc_list", code)))
            .find(|(_, text)| names_person(text))
        {
            return Err(Invalid::new(
                field,
                "(not shown)",
                "is the id of the driver or of the hire",
                "send such ids in driver and hire only",
            ));
        }
        check_time(telemetry.time, now, self.limits)?;
        telemetry.hire = match (driver, hire_id) {
            (None, None) => None,
            (driver, hire) => Some(
                self.key
                    .pseudonym(driver.as_deref().unwrap_or_default(), hire.as_deref()),
            ),
        };
        Ok(telemetry)
    }
}

/// The dead letters of a body: one for each rejected event, its own JSON sealed, or one for the body.
///
/// # Errors
/// When a payload cannot be sealed.
pub fn dead_letters(
    body: &[u8],
    rejected: &[Rejected],
    vehicle: &str,
    channel: Channel,
    now: Timestamp,
    key: &SealKey,
) -> Result<Vec<Letter>, SealError> {
    let letter = |reason: Reason, plain: &[u8]| {
        Ok(DeadLetter {
            reason,
            source_topic_or_channel: channel.as_str().to_owned(),
            vehicle: Some(vehicle.to_owned()),
            received_at: now,
            attempts: 1,
            payload: key.seal(plain)?,
        })
    };
    // Only a batch is taken apart; what is no JSON is kept whole.
    let events: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap_or_default();
    rejected
        .iter()
        .map(|r| {
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
                    Some(letter(reason, first)?)
                }
                _ => None,
            };
            Ok(Letter {
                full: letter(reason, plain)?,
                cut,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn judged(body: &str) -> Judged {
        let key = PseudonymKey::from_bytes(&[7; 32]).unwrap();
        let limits = TimeLimits::default();
        Judge {
            vehicle: "car-1",
            max_batch: 3,
            limits: &limits,
            key: &key,
        }
        .body(body.as_bytes(), now())
    }

    fn only(body: &str) -> Invalid {
        let judged = judged(body);
        assert!(judged.accepted.is_empty());
        assert_eq!(judged.rejected.len(), 1);
        judged.rejected[0].invalid.clone()
    }

    const GOOD: &str = r#"{"vehicle":"car-1","sequence":1,"time":"2026-11-23T11:59:59Z","coolant_temperature":91.5}"#;

    #[test]
    fn a_good_event() {
        let judged = judged(GOOD);
        assert!(judged.rejected.is_empty());
        assert_eq!(judged.accepted[0].coolant_temperature, Some(91.5));
        assert_eq!(judged.accepted[0].hire, None);
    }

    #[test]
    fn drivers_become_pseudonyms() {
        let with = |extra: &str| {
            judged(&GOOD.replace("\"sequence\":1", &format!("\"sequence\":1,{extra}")))
        };
        let a = with(r#""driver":"D-4711","hire":"H-1""#).accepted[0].clone();
        let b = with(r#""driver":"D-4711","hire":"H-2""#).accepted[0].clone();
        assert_eq!(a.hire.as_ref().unwrap().len(), 22);
        assert_ne!(a.hire, b.hire);
        assert!(
            !String::from_utf8(codec::encode(&a))
                .unwrap()
                .contains("4711")
        );
        assert!(with(r#""hire":"H-1""#).accepted[0].hire.is_some());
    }

    #[test]
    fn each_wrong_event_names_field_value_and_cure() {
        let e = only(&GOOD.replace("car-1", "car-2"));
        assert_eq!((e.field.as_str(), e.value.as_str()), ("vehicle", "car-2"));
        for (time, year) in [
            ("1970-01-01T00:00:00Z", "1970"),
            ("2100-01-01T00:00:00Z", "2100"),
        ] {
            let e = only(&GOOD.replace("2026-11-23T11:59:59Z", time));
            assert_eq!(e.field, "time");
            assert!(e.value.contains(year) && !e.cure.is_empty());
        }
        assert!(
            only(&GOOD.replace("91.5", "NaN"))
                .to_string()
                .contains("NaN")
        );
        assert_eq!(only(&GOOD[..40]).field, "body");
        assert_eq!(
            only(&GOOD.replace("coolant_temperature", "coolant")).field,
            "coolant"
        );
    }

    #[test]
    fn a_batch_is_judged_event_by_event() {
        let body = format!("[{GOOD},{},{GOOD}]", GOOD.replace("91.5", "9999"));
        let judged = judged(&body);
        assert_eq!(judged.accepted.len(), 2);
        assert_eq!(judged.rejected[0].index, 1);
        assert_eq!(judged.rejected[0].invalid.field, "coolant_temperature");
        let e = only(&format!("[{GOOD},{GOOD},{GOOD},{GOOD}]"));
        assert_eq!((e.field.as_str(), e.value.as_str()), ("body", "4 events"));
    }

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
                "car-1",
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
            "car-1",
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
    fn no_field_that_goes_on_in_clear_may_name_a_person() {
        let event = |extra: &str| {
            GOOD.replace(
                "\"sequence\":1",
                &format!("\"sequence\":1,\"driver\":\"P0420\",\"hire\":\"H-1\",{extra}"),
            )
        };
        for (field, extra) in [
            ("model", r#""model":"P0420""#),
            ("model", r#""model":"H-1""#),
            ("dtc_list", r#""dtc_list":["P0300","P0420"]"#),
        ] {
            let e = only(&event(extra));
            assert_eq!(
                (e.field.as_str(), e.value.as_str()),
                (field, "(not shown)"),
                "{extra}"
            );
        }
        let other = judged(&event(r#""model":"roadster","dtc_list":["P0300"]"#));
        assert_eq!(other.accepted.len(), 1, "{:?}", other.rejected);
    }
}
