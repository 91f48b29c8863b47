//! Answers of tyre pressure control units, of models whose signals nobody wrote down here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use millrace_trips::{TripArguments, TripOptions};

fn options(mapping: Option<&str>) -> TripOptions {
    TripOptions::parse(&TripArguments {
        format: "obdb_tpms",
        mapping,
        ..TripArguments::default()
    })
    .unwrap()
}

#[test]
fn answers_of_a_model_that_nobody_knows_are_read_too() {
    let case = |id: &str, p: f64, t: f64| {
        let wheels = ["FL", "FR", "RL", "RR"];
        let tp: String = wheels.map(|w| format!("    {id}_TP_{w}: {p}\n")).concat();
        let tt: String = wheels.map(|w| format!("    {id}_TT_{w}: {t}\n")).concat();
        format!("- expected_values:\n{tp}{tt}")
    };
    for (p, kpa) in [(36.0, 248.2), (2.4, 240.0), (232.0, 232.0)] {
        let text = format!(
            "test_cases:\n{}{}",
            case("NEW", p, 21.0),
            case("NEW", 0.0, -40.0)
        );
        let trip = options(None).read(text.as_bytes(), "v").unwrap();
        let pressures: Vec<_> = trip
            .samples
            .iter()
            .map(|s| s.tyre_pressure_rear_left)
            .collect();
        assert!((pressures[0].unwrap() - kpa).abs() < 0.1, "{pressures:?}");
        // The sensors slept.
        assert_eq!(pressures[1], None);
        assert_eq!(trip.samples[0].tyre_temperature_front_right, Some(21.0));
        assert_eq!(trip.samples[1].tyre_temperature_front_right, None);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers");
    let _ = std::fs::remove_dir_all(&folder);
    let year = folder.join("Some-Model/2024");
    std::fs::create_dir_all(&year).unwrap();
    let file = year.join("7A0.yaml");
    std::fs::write(&file, "test_cases:\n- expected_values: {W1: 99, W2: 255}\n").unwrap();
    let e = options(None).read_path(&file, "v").unwrap_err().to_string();
    assert!(
        e.contains("no column with a known signal")
            && e.contains("W1, W2")
            && e.contains("--mapping"),
        "{e}"
    );
    // The model's own set of signals tells what they are; all bits set is no reading.
    let set = r#"{"commands": [{"signals": [
        {"id": "W1", "fmt": {"len": 8, "mul": 2.5, "unit": "kilopascal"}, "suggestedMetric": "frontLeftTirePressure"},
        {"id": "W2", "fmt": {"len": 8, "unit": "celsius"}, "suggestedMetric": "frontLeftTireTemperature"}]}]}"#;
    let beside = folder.join("Some-Model/signalset_v3_default.json");
    std::fs::write(&beside, set).unwrap();
    let trip = options(None).read_path(&file, "v").unwrap();
    assert_eq!(trip.samples[0].tyre_pressure_front_left, Some(99.0));
    assert_eq!(trip.samples[0].tyre_temperature_front_left, None);
    std::fs::write(&beside, "{").unwrap();
    let e = options(None).read_path(&file, "v").unwrap_err().to_string();
    assert!(e.contains("signalset_v3_default.json"), "{e}");
    // And a mapping reads whatever the answers have.
    let mapping = "time: {every_seconds: 10}\ncolumns: {W1: oil_temperature}";
    let trip = options(Some(mapping)).read_path(&file, "v").unwrap();
    assert_eq!(trip.samples[0].oil_temperature, Some(99.0));
}
