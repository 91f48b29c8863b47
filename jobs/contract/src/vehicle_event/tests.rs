use proptest::prelude::*;

use super::*;

fn one(json: &str) -> Result<InboundEvent, Invalid> {
    let mut all = decode_inbound(json.as_bytes())?;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// An event with these members after the required ones.
fn event(rest: &str) -> String {
    format!(
        r#"{{"vehicle":"car-1","id":"g7-1","time":"2026-01-01T00:00:00.1234567Z","kind":"repair"{rest}}}"#
    )
}

fn refused(json: &str) -> Invalid {
    let e = one(json).unwrap_err();
    assert!(!e.problem.is_empty() && !e.cure.is_empty(), "{e}");
    e
}

#[test]
fn a_good_event() {
    let inbound = one(&event(
        r#","component":"tyre_front_left","odometer":12500300,"model":"Van","driver":"ivan","hire":"h-9","note":"P0217""#,
    ))
    .unwrap();
    let e = &inbound.event;
    assert_eq!((e.vehicle.as_str(), e.id.as_str()), ("car-1", "g7-1"));
    assert_eq!(
        (e.kind, e.component, e.odometer),
        (
            EventKind::Repair,
            Some(Component::TyreFrontLeft),
            Some(12_500_300.0)
        )
    );
    assert_eq!(e.time.to_string(), "2026-01-01T00:00:00.123456Z");
    assert_eq!(
        (e.model.as_deref(), e.note.as_deref()),
        (Some("Van"), Some("P0217"))
    );
    assert_eq!((&e.hire, inbound.driver.as_deref()), (&None, Some("ivan")));
    assert!(!format!("{inbound:?}").contains("ivan"));
    let stored = encode(e);
    assert_eq!(&decode(&stored).unwrap(), e);
    let stored = String::from_utf8(stored).unwrap();
    assert!(
        !stored.contains("ivan") && !stored.contains("h-9"),
        "{stored}"
    );
    // What a bus says when it does not know.
    assert_eq!(
        one(&event(r#","odometer":21474836475"#))
            .unwrap()
            .event
            .odometer,
        None
    );
    assert_eq!(
        one(&event(r#","component":null"#)).unwrap().event.component,
        None
    );
}

#[test]
fn bad_fields_are_named_with_value_and_cure() {
    let e = refused(&event("").replace("repair", "repairs"));
    assert_eq!((e.field.as_str(), e.value.as_str()), ("kind", "repairs"));
    assert!(e.cure.contains("maintenance"), "{e}");
    let e = refused(&event(r#","component":"tire_front_left""#));
    assert_eq!(e.field, "component");
    assert!(e.cure.contains("tyre_front_left"), "{e}");
    assert!(
        refused(&event(r#","component":"flux""#))
            .cure
            .contains("other")
    );
    for (field, rest) in [
        ("component", r#","component":7"#),
        ("odometer", r#","odometer":-1"#),
        ("odometer", r#","odometer":"125""#),
        ("odometer", r#","odometer":NaN"#),
        ("model", r#","model":"""#),
        ("model", r#","model":7"#),
        ("note", r#","note":"the driver was rude""#),
        ("note", r#","note":7"#),
        ("note", r#","note":"""#),
        ("driver", r#","driver":7"#),
        ("hire", r#","hire":"""#),
        ("phone", r#","phone":"0123""#),
        ("odometer", r#","odometer":1,"odometer":2"#),
    ] {
        assert_eq!(refused(&event(rest)).field, field, "{rest}");
    }
    assert!(refused(&event(r#","odometr":5"#)).cure.contains("odometer"));
    assert_eq!(refused(&event("").replace("g7-1", "a b")).field, "id");
    assert_eq!(refused(&event("").replace("car-1", "a b")).field, "vehicle");
    for missing in ["vehicle", "id", "time", "kind"] {
        let mut value: serde_json::Value = serde_json::from_str(&event("")).unwrap();
        value.as_object_mut().unwrap().remove(missing);
        let e = refused(&value.to_string());
        assert_eq!((e.field.as_str(), e.problem.as_str()), (missing, "missing"));
    }
    assert_eq!(
        refused(&event("").replace("2026-01-01T", "yesterday")).field,
        "time"
    );
    assert_eq!(one("[7]").unwrap_err().field, "event");
    assert_eq!(decode_inbound(b"").unwrap_err().field, "body");
    assert_eq!(decode_inbound(b"{\"vehicle\":").unwrap_err().field, "body");
}

#[test]
fn a_hire_has_a_hire_and_no_component() {
    let hire = |rest: &str| event(rest).replace("repair", "hire_started");
    assert!(one(&hire(r#","hire":"h-9""#)).is_ok());
    assert!(one(&hire(r#","driver":"ivan""#)).is_ok());
    assert_eq!(refused(&hire("")).field, "hire");
    let e = refused(&hire(r#","hire":"h-9","component":"engine""#));
    assert_eq!(
        (e.field.as_str(), e.value.as_str()),
        ("component", "engine")
    );
}

#[test]
fn no_error_names_a_person() {
    for rest in [
        r#","driver":"D-4711","note":"D-4711 was rude""#,
        r#","driver":"D-4711","component":"D-4711""#,
        r#","hire":"D-4711","model":["D-4711"]"#,
        r#","driver":"D-4711","D-4711":1"#,
        r#","driver":["D-4711"]"#,
        r#","drivr":"D-4711""#,
    ] {
        let e = refused(&event(rest));
        assert!(!e.to_string().contains("4711"), "{e}");
    }
    let e = refused(&event(r#","driver":"D-4711""#).replace("repair", "D-4711"));
    assert!(!e.to_string().contains("4711"), "{e}");
}

#[test]
fn a_batch_is_judged_event_by_event() {
    let body = format!(
        "[{},{},{}]",
        event(""),
        event("").replace("g7-1", ""),
        event("")
    );
    let all = decode_inbound(body.as_bytes()).unwrap();
    assert_eq!(
        all.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
}

#[test]
fn stored_events_tolerate_what_is_new_and_name_what_is_wrong() {
    let stored = event(r#","hire":"abc","later":1"#);
    assert_eq!(
        decode(stored.as_bytes()).unwrap().hire.as_deref(),
        Some("abc")
    );
    assert_eq!(
        decode(event("").replace("repair", "x").as_bytes())
            .unwrap_err()
            .field,
        "kind"
    );
    assert_eq!(decode(b"7").unwrap_err().field, "value");
}

#[test]
fn words_and_tables_agree() {
    for (kind, _) in EventKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
    }
    for (component, _) in Component::ALL {
        assert_eq!(serde_json::to_value(component).unwrap(), component.as_str());
        assert_eq!(Component::parse(component.as_str()), Some(component));
    }
    for wheel in ["front_left", "front_right", "rear_left", "rear_right"] {
        let tyre = Component::tyre_of(wheel).unwrap();
        assert_eq!(tyre.as_str(), format!("tyre_{wheel}"));
        assert!(tyre.is_tyre());
    }
    assert_eq!(Component::tyre_of("spare"), None);
}

proptest! {
    #[test]
    fn events_round_trip(
        kind in 0..4_usize, component in 0..20_usize, odometer in proptest::option::of(0.0..1e9), id in "[A-Za-z0-9._-]{1,64}",
        note in proptest::option::of("[A-Za-z0-9-]{1,16}"),
    ) {
        let event = VehicleEvent {
            vehicle: "car-1".into(),
            id,
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            kind: EventKind::ALL[kind].0,
            component: Some(Component::ALL[component].0),
            odometer,
            model: None,
            hire: None,
            note,
        };
        prop_assert_eq!(&decode(&encode(&event)).unwrap(), &event);
        let inbound = decode_inbound(&encode(&event)).unwrap().remove(0).unwrap();
        prop_assert_eq!(inbound.event, event);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_inbound(&bytes);
        let _ = decode(&bytes);
    }
}
