use super::*;

const GOOD: &str = "time: {column: t, unit: seconds}\ncolumns: {A: speed, B: {field: coolant_temperature, scale: 0.5, offset: -40, optional: true}}\n";

#[test]
fn columns_are_found_with_and_without_unit() {
    let mapping = Mapping::parse(GOOD).unwrap();
    let header = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let r = mapping
        .resolve(&header(&["t ()", "x", "B [°C]", "A"]))
        .unwrap();
    assert_eq!(r.time, Some(0));
    let found: Vec<_> = r.columns.iter().map(|(i, _, f)| (*i, f.name)).collect();
    assert_eq!(found, [(3, "speed"), (2, "coolant_temperature")]);
    assert!(mapping.resolve(&header(&["t", "A"])).is_ok());
    assert!(
        mapping
            .resolve(&header(&["t", "B"]))
            .err()
            .unwrap()
            .contains("column A")
    );
    assert!(
        mapping
            .resolve(&header(&["A"]))
            .err()
            .unwrap()
            .contains("column t")
    );
}

#[test]
fn errors_name_key_value_and_cure() {
    let e = Mapping::parse(&GOOD.replace("speed", "sped")).unwrap_err();
    assert_eq!(
        (e.field.as_str(), e.value.as_str()),
        ("mapping.columns.A", "sped")
    );
    assert!(
        Mapping::parse("columns: {}")
            .unwrap_err()
            .problem
            .contains("time")
    );
    assert!(
        Mapping::parse(&format!("{GOOD}colour: red\n"))
            .unwrap_err()
            .problem
            .contains("colour")
    );
    let flag = Mapping::parse(&GOOD.replace("speed", "mil_on")).unwrap_err();
    assert_eq!(flag.problem, "not a number field");
    for (from, to, field, part) in [
        (
            "unit: seconds",
            "unit: clock, zone: Europe/Atlantis",
            "mapping.time.zone",
            "time zone",
        ),
        (
            "unit: seconds",
            "unit: clock, date: {}",
            "mapping.time.date",
            "file_name",
        ),
        (
            "column: t, unit: seconds",
            "column: t",
            "mapping.time.unit",
            "missing",
        ),
        (
            "unit: seconds",
            "unit: seconds, every_seconds: 5",
            "mapping.time.every_seconds",
            "beside",
        ),
        (
            "unit: seconds",
            "unit: clock, epoch: true",
            "mapping.time.epoch",
            "only for",
        ),
        (
            "scale: 0.5",
            "unit: psi",
            "mapping.columns.B",
            "cannot be turned into Cel",
        ),
        (
            "columns:",
            "resample: {seconds: 0}\ncolumns:",
            "mapping.resample.seconds",
            "length",
        ),
    ] {
        let e = Mapping::parse(&GOOD.replace(from, to)).unwrap_err();
        assert!(e.field == field && e.to_string().contains(part), "{e}");
    }
}

#[test]
fn units_scales_and_offsets_are_applied_in_this_order() {
    let text = GOOD.replace(
        "scale: 0.5, offset: -40",
        "scale: 2, offset: 10, unit: degF",
    );
    let mapping = Mapping::parse(&text).unwrap();
    assert!((mapping.columns["B"].convert(101.0) - 100.0).abs() < 1e-9);
}
