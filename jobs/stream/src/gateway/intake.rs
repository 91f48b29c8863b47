//! What becomes of a body that a vehicle sent: pure, no Kafka, no clock.

use jiff::Timestamp;
use millrace_contract::pseudonym::PseudonymKey;
use millrace_contract::{Inbound, Invalid, Telemetry, TimeLimits, check_time, codec};
use serde::Serialize;

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
