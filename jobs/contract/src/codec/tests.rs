use proptest::prelude::*;

use super::*;
use crate::FIELDS;
use crate::field::Kind;

fn one(json: &str) -> Result<Inbound, Invalid> {
    let mut all = decode_inbound(json.as_bytes())?;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// An event with these members after the required ones.
fn event(rest: &str) -> String {
    format!(r#"{{"vehicle":"car-1","sequence":7,"time":"2026-01-01T00:00:00Z"{rest}}}"#)
}

fn refused(json: &str) -> (String, String, String, String) {
    let e = one(json).unwrap_err();
    (e.field, e.value, e.problem, e.cure)
}

#[test]
fn a_good_event() {
    let inbound = one(&event(
        r#","speed":50,"coolant_temperature":91.5,"mil_on":1,"dtc_list":["P0217"],"driver":"ivan","hire":"h-9","throttle":null"#,
    ))
    .unwrap();
    let t = &inbound.telemetry;
    assert_eq!((t.vehicle.as_str(), t.sequence), ("car-1", 7));
    assert_eq!(
        (t.speed, t.coolant_temperature, t.mil_on),
        (Some(50.0), Some(91.5), Some(true))
    );
    assert_eq!(t.dtc_list.as_deref(), Some(&["P0217".to_owned()][..]));
    assert_eq!((t.hire.as_deref(), t.throttle), (None, None));
    assert_eq!(inbound.driver.as_deref(), Some("ivan"));
    assert_eq!(inbound.hire_id.as_deref(), Some("h-9"));
    assert!(!format!("{inbound:?}").contains("ivan"));
    let stored = String::from_utf8(encode(t)).unwrap();
    assert!(
        !stored.contains("ivan") && !stored.contains("h-9"),
        "{stored}"
    );
}

#[test]
fn times_are_cut_to_microseconds_and_offsets_understood() {
    let json = event("").replace("00:00:00Z", "01:00:00.123456789+01:00");
    let t = one(&json).unwrap().telemetry;
    assert_eq!(t.time.to_string(), "2026-01-01T00:00:00.123456Z");
}

#[test]
fn sentinels_are_dropped() {
    let t = one(&event(
        r#","coolant_temperature":215,"ambient_temperature":1774.969,"fuel_level":102,"oil_pressure":1020,
           "throttle":127.5,"fuel_rate":3012.8,"tyre_pressure_front_left":0,"tyre_pressure_rear_left":389.655,
           "tyre_temperature_front_left":-40,"tyre_temperature_rear_left":-50,"mil_on":3,"speed":255,"engine_speed":900"#,
    ))
    .unwrap()
    .telemetry;
    let only = Telemetry {
        engine_speed: Some(900.0),
        ..Telemetry::new("car-1", 7, t.time)
    };
    assert_eq!(t, only);
}

#[test]
fn bad_fields_are_named_with_value_and_cure() {
    let (field, value, problem, cure) = refused(&event(r#","coolant_temperature":999"#));
    assert_eq!(
        (field.as_str(), value.as_str()),
        ("coolant_temperature", "999")
    );
    assert!(problem.contains("-60 to 200 Cel") && cure.contains("leave the field out"));

    let (field, value, problem, _) = refused(&event(r#","speed":"fast""#));
    assert_eq!((field.as_str(), value.as_str()), ("speed", "\"fast\""));
    assert_eq!(problem, "not a number");

    let (field, _, problem, cure) = refused(&event(r#","speed":"50""#));
    assert_eq!(
        (field.as_str(), problem.as_str()),
        ("speed", "a number written as text")
    );
    assert!(cure.contains("quotation marks"));

    let (field, _, problem, cure) = refused(&event(r#","cooland_temperature":90"#));
    assert_eq!(
        (field.as_str(), problem.as_str()),
        ("cooland_temperature", "unknown field")
    );
    assert!(cure.contains("coolant_temperature"), "{cure}");

    assert_eq!(refused(&event(r#","mil_on":"yes""#)).0, "mil_on");
    assert_eq!(refused(&event(r#","mil_on":7"#)).0, "mil_on");
    assert_eq!(refused(&event(r#","dtc_list":"P0217""#)).0, "dtc_list");
    assert_eq!(refused(&event(r#","dtc_list":["P 1"]"#)).1, "P 1");
    assert_eq!(refused(&event(r#","model":"""#)).0, "model");
    assert_eq!(refused(&event(r#","speed":1,"speed":2"#)).2, "there twice");
    assert_eq!(
        refused(r#"{"sequence":1,"time":"2026-01-01T00:00:00Z"}"#).0,
        "vehicle"
    );
    assert_eq!(
        refused(r#"{"vehicle":"a","time":"2026-01-01T00:00:00Z"}"#).0,
        "sequence"
    );
    assert_eq!(refused(r#"{"vehicle":"a","sequence":1}"#).0, "time");
    assert_eq!(
        refused(r#"{"vehicle":"a","sequence":-1,"time":"x"}"#).1,
        "-1"
    );
    assert_eq!(
        refused(r#"{"vehicle":"a b","sequence":1,"time":"2026-01-01T00:00:00Z"}"#).0,
        "vehicle"
    );
    let (field, value, _, cure) = refused(r#"{"vehicle":"a","sequence":1,"time":"yesterday"}"#);
    assert_eq!((field.as_str(), value.as_str()), ("time", "yesterday"));
    assert!(cure.contains("RFC 3339"));
    assert_eq!(
        refused(r#"{"vehicle":"a","sequence":1,"time":1767225600}"#).2,
        "not a text"
    );
}

#[test]
fn nan_is_no_json() {
    for token in ["NaN", "Infinity", "-Infinity"] {
        let e = decode_inbound(event(&format!(r#","coolant_temperature": {token}"#)).as_bytes())
            .unwrap_err();
        assert_eq!(
            (e.field.as_str(), e.value.as_str()),
            ("coolant_temperature", token)
        );
        assert!(e.problem.contains("no NaN"), "{e}");
        assert!(e.cure.contains("leave the field out"), "{e}");
    }
    let e = decode_inbound(br#"{"coolant_temperature": NaN}"#).unwrap_err();
    assert_eq!(e.field, "coolant_temperature");
    assert_eq!(refused(&event(r#","speed":"NaN""#)).1, "NaN");
}

#[test]
fn broken_bodies() {
    let whole = event(r#","speed":1"#);
    for cut in 1..whole.len() {
        let e = decode_inbound(&whole.as_bytes()[..cut]).unwrap_err();
        assert_eq!(e.field, "body", "{e}");
        assert!(e.problem.contains("ends too early"), "{e}");
    }
    assert_eq!(decode_inbound(b"").unwrap_err().problem, "empty");
    assert_eq!(decode_inbound(b"42").unwrap_err().value, "a number");
    assert_eq!(decode_inbound(b"\"x\"").unwrap_err().value, "a text");
    assert_eq!(
        decode_inbound(b"\xff\xfe").unwrap_err().problem,
        "not UTF-8"
    );
    assert!(
        decode_inbound(b"{speed:1}")
            .unwrap_err()
            .problem
            .starts_with("not JSON")
    );
    assert_eq!(decode_inbound(b"[]").unwrap(), vec![]);
    let deep = "[".repeat(100_000);
    assert_eq!(decode_inbound(deep.as_bytes()).unwrap_err().field, "body");
}

#[test]
fn a_batch_is_judged_one_by_one() {
    let good = event(r#","speed":1"#);
    let bad = event(r#","speed":-5"#);
    let unknown = event(r#","sped":1"#);
    let all = decode_inbound(format!("[{good},{bad},{unknown},3,{good}]").as_bytes()).unwrap();
    let errors: Vec<Option<&str>> = all
        .iter()
        .map(|r| r.as_ref().err().map(|e| e.field.as_str()))
        .collect();
    assert_eq!(
        errors,
        [None, Some("speed"), Some("sped"), Some("event"), None]
    );
}

#[test]
fn persons_are_never_quoted() {
    let secret = "ivan.ivanovich@example.com";
    for rest in [
        format!(r#","drivr":"{secret}""#),
        format!(r#","driver":{{"id":"{secret}"}}"#),
        format!(r#","driver":["{secret}"]"#),
        format!(r#","hire":["{secret}"]"#),
        format!(r#","driver":"{secret}","speed":"{secret}""#),
        format!(r#","driver":"{secret}","model":"{secret}\u0007""#),
        format!(r#","driver":"{secret}","{secret}":1"#),
        format!(r#","driver":"{secret}","dtc_list":["{secret}"]"#),
        format!(r#","driver":"{secret}","speed":900"#),
        format!(r#","driver":"{secret}","driver":"{secret}""#),
        format!(r#","driver":"{}""#, secret.repeat(20)),
        format!(r#","driver":"{secret}" "speed":1"#),
        format!(r#","driver":"{secret}","speed":NaN"#),
    ] {
        let e = match decode_inbound(event(&rest).as_bytes()) {
            Ok(mut all) => all.remove(0).unwrap_err(),
            Err(e) => e,
        };
        let text = format!("{e} {e:?}");
        assert!(!text.contains(secret), "{text}");
    }
    let own_id = format!(
        r#"{{"vehicle":"{secret}","sequence":1,"time":"2026-01-01T00:00:00Z","driver":"{secret}"}}"#
    );
    assert!(!one(&own_id).unwrap_err().to_string().contains(secret));
}

#[test]
fn stored_telemetry_tolerates_what_is_new() {
    let t = decode(
        event(r#","speed":1,"field_of_tomorrow":{"a":[1]},"hire":"pseudonym"#)
            .replace("pseudonym", "p\"")
            .as_bytes(),
    );
    let t = t.unwrap();
    assert_eq!((t.speed, t.hire.as_deref()), (Some(1.0), Some("p")));
    assert_eq!(
        decode(event(r#","speed":"x""#).as_bytes())
            .unwrap_err()
            .field,
        "speed"
    );
    assert_eq!(decode(b"[1]").unwrap_err().value, "an array");
    assert!(decode(b"{\"vehicle\":").is_err());
}

fn telemetry() -> impl Strategy<Value = Telemetry> {
    let numbers =
        proptest::collection::vec(proptest::option::weighted(0.3, 0.0..1.0f64), FIELDS.len());
    let time = 946_684_800_000_000i64..4_000_000_000_000_000;
    (
        "[A-Za-z0-9_-]{1,64}",
        any::<u64>(),
        time,
        numbers,
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(vehicle, sequence, time, numbers, mil_on)| {
            let time = jiff::Timestamp::from_microsecond(time).unwrap();
            let mut t = Telemetry {
                mil_on,
                ..Telemetry::new(vehicle, sequence, time)
            };
            for (field, share) in FIELDS.iter().zip(numbers) {
                if field.kind == Kind::Number
                    && let Some(share) = share
                    && let Ok(value) = field.accept(field.min + share * (field.max - field.min))
                {
                    *t.number_mut(field.name).unwrap() = value;
                }
            }
            t
        })
}

proptest! {
    #[test]
    fn round_trip(t in telemetry()) {
        let bytes = encode(&t);
        prop_assert_eq!(&decode(&bytes).unwrap(), &t);
        let inbound = decode_inbound(&bytes).unwrap().remove(0).unwrap();
        prop_assert_eq!(inbound, Inbound { telemetry: t, driver: None, hire_id: None });
    }

    #[test]
    fn any_sentinel_of_any_field_is_dropped(index in 0..FIELDS.len(), pick in any::<prop::sample::Index>(), share in 0.0..=1.0f64) {
        let field = &FIELDS[index];
        if !field.not_available.is_empty() {
            let (from, to) = field.not_available[pick.index(field.not_available.len())];
            let value = (from + share * (to - from)).clamp(from, to);
            let t = one(&event(&format!(r#","{}":{value:?}"#, field.name))).unwrap().telemetry;
            prop_assert_eq!(t.number(field.name), None);
        }
    }

    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_inbound(&bytes);
        let _ = decode(&bytes);
    }

    #[test]
    fn almost_json_does_not_panic(text in r#"[\[\]{}:,"\\a-cNan0-9.eE+ -]{0,60}"#) {
        let _ = decode_inbound(text.as_bytes());
    }
}
