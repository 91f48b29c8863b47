//! What becomes of a body that a vehicle sent: pure, no Kafka, no clock.

use jiff::Timestamp;
use millrace_contract::driver::Hire;
use millrace_contract::pseudonym::PseudonymKey;
use millrace_contract::{
    Inbound, InboundEvent, Invalid, Telemetry, TimeLimits, VehicleEvent, check_time, codec,
    vehicle_event,
};
use serde::Serialize;

use super::canary::check_not_canary;
use super::hires::WrittenHires;

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
#[derive(Debug, PartialEq)]
pub struct Judged<E = Telemetry> {
    /// What may go into Kafka: no driver in it, only the hire's pseudonym.
    pub accepted: Vec<E>,
    /// What may not.
    pub rejected: Vec<Rejected>,
    /// Who hides behind the pseudonyms of what may: each is written down before the events are.
    pub hires: Vec<SeenHire>,
    /// What [`WrittenHires::forgotten`] was before the hires were looked up.
    pub forgotten: u64,
}

/// A hire whose driver was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenHire {
    /// The pseudonym.
    pub pseudonym: String,
    /// What is written down of it.
    pub hire: Hire,
}

/// What events are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The vehicle that authenticated itself; none where a role did, which may speak of all.
    pub vehicle: Option<&'a str>,
    /// Most events in one body.
    pub max_batch: usize,
    /// Which event times are believed.
    pub limits: &'a TimeLimits,
    /// Makes the pseudonyms.
    pub key: &'a PseudonymKey,
    /// Hires that are written down already.
    pub written: &'a WrittenHires,
}

impl Judge<'_> {
    /// Judges every telemetry event of a body on its own; a body that is no JSON is one rejected event.
    #[must_use]
    pub fn telemetry(&self, body: &[u8], now: Timestamp) -> Judged {
        let mut hires = Hires::new(self, now);
        let judged = self.each(codec::decode_inbound(body), |inbound| {
            self.sample(inbound, now, &mut hires)
        });
        hires.into(judged)
    }

    /// The same of vehicle events.
    #[must_use]
    pub fn vehicle_events(&self, body: &[u8], now: Timestamp) -> Judged<VehicleEvent> {
        let mut hires = Hires::new(self, now);
        let judged = self.each(vehicle_event::decode_inbound(body), |inbound| {
            self.vehicle_event(inbound, now, &mut hires)
        });
        hires.into(judged)
    }

    fn each<I, E>(
        &self,
        decoded: Result<Vec<Result<I, Invalid>>, Invalid>,
        mut judge: impl FnMut(I) -> Result<E, Invalid>,
    ) -> Judged<E> {
        let forgotten = self.written.forgotten();
        let nothing_but = |invalid| Judged {
            accepted: Vec::new(),
            rejected: vec![Rejected::body(invalid)],
            hires: Vec::new(),
            forgotten,
        };
        let events = match decoded {
            Ok(events) => events,
            Err(invalid) => return nothing_but(invalid),
        };
        if events.len() > self.max_batch {
            return nothing_but(Invalid::new(
                "body",
                format!("{} events", events.len()),
                format!("more than {} events in one body", self.max_batch),
                "send them in several bodies",
            ));
        }
        let mut judged = Judged {
            accepted: Vec::with_capacity(events.len()),
            rejected: Vec::new(),
            hires: Vec::new(),
            forgotten,
        };
        for (index, event) in events.into_iter().enumerate() {
            match event.and_then(&mut judge) {
                Ok(event) => judged.accepted.push(event),
                Err(invalid) => judged.rejected.push(Rejected::event(index, invalid)),
            }
        }
        judged
    }

    fn sample(
        &self,
        inbound: Inbound,
        now: Timestamp,
        hires: &mut Hires<'_>,
    ) -> Result<Telemetry, Invalid> {
        let Inbound {
            mut telemetry,
            driver,
            hire_id,
        } = inbound;
        let person = Person { driver, hire_id };
        self.check_vehicle(&telemetry.vehicle, &person)?;
        // The other free texts of an event: what they hold goes on in clear.
        let codes = telemetry.dtc_list.iter().flatten();
        let texts = telemetry.model.iter().map(|text| ("model", text));
        person.check_not_in(texts.chain(codes.map(|code| ("dtc_list", code))))?;
        check_time(telemetry.time, now, self.limits)?;
        telemetry.hire = hires.pseudonym(person, &telemetry.vehicle);
        Ok(telemetry)
    }

    fn vehicle_event(
        &self,
        inbound: InboundEvent,
        now: Timestamp,
        hires: &mut Hires<'_>,
    ) -> Result<VehicleEvent, Invalid> {
        let InboundEvent {
            mut event,
            driver,
            hire_id,
        } = inbound;
        let person = Person { driver, hire_id };
        self.check_vehicle(&event.vehicle, &person)?;
        check_not_canary(&event.vehicle)?;
        if self.vehicle.is_some() && !event.kind.is_known_to_vehicle() {
            return Err(Invalid::new(
                "kind",
                event.kind.as_str(),
                "is not for the vehicle itself to tell",
                "let the workshop send it with the events-token to POST /v1/vehicle-events",
            ));
        }
        let texts = [("vehicle", &event.vehicle), ("id", &event.id)].into_iter();
        let texts = texts.chain(event.model.iter().map(|text| ("model", text)));
        person.check_not_in(texts.chain(event.note.iter().map(|code| ("note", code))))?;
        check_time(event.time, now, self.limits)?;
        event.hire = hires.pseudonym(person, &event.vehicle);
        Ok(event)
    }

    fn check_vehicle(&self, vehicle: &str, person: &Person) -> Result<(), Invalid> {
        match self.vehicle {
            Some(sender) if sender != vehicle => Err(Invalid::new(
                "vehicle",
                if person.is(vehicle) {
                    "(not shown)"
                } else {
                    vehicle
                },
                format!("is not the vehicle that sends, {sender}"),
                "send each vehicle's events with its own id and token",
            )),
            _ => Ok(()),
        }
    }
}

/// Who drives or hires, in clear: goes no further than this file.
struct Person {
    driver: Option<String>,
    hire_id: Option<String>,
}

impl Person {
    fn is(&self, text: &str) -> bool {
        [&self.driver, &self.hire_id]
            .into_iter()
            .flatten()
            .any(|id| !id.is_empty() && id == text)
    }

    fn check_not_in<'a>(
        &self,
        texts: impl IntoIterator<Item = (&'static str, &'a String)>,
    ) -> Result<(), Invalid> {
        match texts.into_iter().find(|(_, text)| self.is(text)) {
            None => Ok(()),
            Some((field, _)) => Err(Invalid::new(
                field,
                "(not shown)",
                "is the id of the driver or of the hire",
                "send such ids in driver and hire only",
            )),
        }
    }
}

/// The hires of a body, each once.
struct Hires<'a> {
    key: &'a PseudonymKey,
    written: &'a WrittenHires,
    now: Timestamp,
    seen: Vec<SeenHire>,
}

impl<'a> Hires<'a> {
    fn new(judge: &Judge<'a>, now: Timestamp) -> Self {
        Self {
            key: judge.key,
            written: judge.written,
            now,
            seen: Vec::new(),
        }
    }

    /// The pseudonym, if there is a driver or a hire; remembers who hides behind it.
    fn pseudonym(&mut self, person: Person, vehicle: &str) -> Option<String> {
        if person.driver.is_none() && person.hire_id.is_none() {
            return None;
        }
        let driver = person.driver.as_deref();
        let hire = person.hire_id.as_deref();
        let pseudonym = self.key.pseudonym(driver.unwrap_or_default(), hire);
        if let Some(driver) = driver.filter(|driver| !driver.is_empty())
            && !self.seen.iter().any(|seen| seen.pseudonym == pseudonym)
            && !self.written.holds(&pseudonym)
        {
            self.seen.push(SeenHire {
                pseudonym: pseudonym.clone(),
                hire: Hire {
                    driver: self.key.driver(driver),
                    vehicle: vehicle.to_owned(),
                    seen_at: self.now,
                },
            });
        }
        Some(pseudonym)
    }

    fn into<E>(self, judged: Judged<E>) -> Judged<E> {
        Judged {
            hires: self.seen,
            ..judged
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::event::Event;

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

    fn events(sender: Option<&str>, body: &str) -> Judged<VehicleEvent> {
        let key = PseudonymKey::from_bytes(&[7; 32]).unwrap();
        let limits = TimeLimits::default();
        Judge {
            vehicle: sender,
            max_batch: 3,
            limits: &limits,
            key: &key,
            written: &WrittenHires::default(),
        }
        .vehicle_events(body.as_bytes(), now())
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
    fn who_hides_behind_a_pseudonym_is_told_once_and_by_a_key() {
        let named = GOOD.replace(
            "\"sequence\":1",
            r#""sequence":1,"driver":"D-4711","hire":"H-1""#,
        );
        let other = named.replace("H-1", "H-2");
        let judged = judged(&format!("[{named},{named},{other}]"));
        let hires = &judged.hires;
        assert_eq!(hires.len(), 2);
        assert_eq!(Some(&hires[0].pseudonym), judged.accepted[0].hire.as_ref());
        assert_eq!(hires[0].hire.driver, hires[1].hire.driver);
        assert!(!format!("{hires:?}").contains("4711"));
        // Without a driver nobody is known to hide behind it; what is refused is not told of.
        let nobody = GOOD.replace("\"sequence\":1", r#""sequence":1,"hire":"H-1""#);
        assert!(super::tests::judged(&nobody).hires.is_empty());
        let written = WrittenHires::default();
        written.add(hires.iter().map(|seen| seen.pseudonym.as_str()), 0);
        let (key, limits) = (
            PseudonymKey::from_bytes(&[7; 32]).unwrap(),
            TimeLimits::default(),
        );
        let judge = Judge {
            vehicle: Some("car-1"),
            max_batch: 3,
            limits: &limits,
            key: &key,
            written: &written,
        };
        assert!(judge.telemetry(named.as_bytes(), now()).hires.is_empty());
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

    const BREAKDOWN: &str = r#"{"vehicle":"car-1","id":"b-1","time":"2026-11-23T11:59:59Z","kind":"breakdown","component":"engine"}"#;

    #[test]
    fn a_role_speaks_of_all_vehicles_and_a_vehicle_of_what_it_knows_of_itself() {
        let repair = BREAKDOWN.replace("breakdown", "repair");
        let other = BREAKDOWN.replace("car-1", "car-2");
        let body = format!("[{BREAKDOWN},{repair},{other}]");
        assert_eq!(events(None, &body).accepted.len(), 3);
        let own = events(Some("car-1"), &body);
        assert_eq!(own.accepted.len(), 1);
        let fields: Vec<&str> = own
            .rejected
            .iter()
            .map(|r| r.invalid.field.as_str())
            .collect();
        assert_eq!(fields, ["kind", "vehicle"]);
        let canary = BREAKDOWN.replace("car-1", "millrace-canary");
        assert_eq!(events(None, &canary).rejected[0].invalid.field, "vehicle");
        let late = BREAKDOWN.replace("2026", "2027");
        assert_eq!(events(None, &late).rejected[0].invalid.field, "time");
        let many = format!("[{BREAKDOWN},{BREAKDOWN},{BREAKDOWN},{BREAKDOWN}]");
        assert!(events(None, &many).rejected[0].whole);
    }

    #[test]
    fn a_hire_has_the_pseudonym_of_its_telemetry() {
        let hire = r#"{"vehicle":"car-1","id":"h-1","time":"2026-11-23T11:59:59Z","kind":"hire_started","driver":"D-4711","hire":"H-1"}"#;
        let event = events(None, hire).accepted.remove(0);
        let driven = GOOD.replace(
            "\"sequence\":1",
            "\"sequence\":1,\"driver\":\"D-4711\",\"hire\":\"H-1\"",
        );
        assert_eq!(event.hire, judged(&driven).accepted[0].hire);
        assert!(!String::from_utf8(event.payload()).unwrap().contains("4711"));
        assert!(
            event
                .attributes()
                .headers()
                .contains(&("ce_id".into(), "car-1/events/h-1".into()))
        );
        for (field, text) in [("vehicle", "car-1"), ("id", "h-1")] {
            let e = events(None, &hire.replace(text, "D-4711"))
                .rejected
                .remove(0);
            assert_eq!(
                (e.invalid.field.as_str(), e.invalid.value.as_str()),
                (field, "(not shown)")
            );
        }
    }
}
