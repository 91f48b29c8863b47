use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn read(format: &Format, text: &[u8]) -> Result<Trip, TripError> {
    read_trip(
        text,
        format,
        "car-1",
        "2026-01-01T00:00:00Z".parse().unwrap(),
    )
}

fn carobd() -> Format {
    Format::parse("carobd", None).unwrap()
}

fn csv_format(unit: &str) -> Format {
    let mapping = format!(
        "time: {{column: t, unit: {unit}}}\ndelimiter: ';'\nmissing: ['-1']\ncolumns: {{Coolant: coolant_temperature}}"
    );
    Format::parse("csv", Some(&mapping)).unwrap()
}

fn seconds(trip: &Trip) -> Vec<f64> {
    let first = trip.samples[0].time;
    trip.samples
        .iter()
        .map(|s| s.time.duration_since(first).as_secs_f64())
        .collect()
}

#[test]
fn both_carobd_shapes_are_read() {
    let unix = "ENGINE_RUN_TINE (),ENGINE_RPM (),COOLANT_TEMPERATURE ()\n7.000000,900.5,81.000000\n8,901,82\n";
    let windows = unix
        .replace("000\n", "000,\r\n")
        .replace("82\n", "82,\r\n")
        .replace("()\n", "()\r\n");
    for text in [unix, windows.as_str()] {
        let trip = read(&carobd(), text.as_bytes()).unwrap();
        assert_eq!(trip.samples.len(), 2);
        let first = &trip.samples[0];
        assert_eq!(
            (first.engine_speed, first.coolant_temperature),
            (Some(900.5), Some(81.0))
        );
        assert_eq!(first.model.as_deref(), Some("Toyota Etios"));
        assert_eq!(first.time.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(trip.samples[1].sequence, 1);
        assert_eq!(trip.samples[1].time.to_string(), "2026-01-01T00:00:01Z");
    }
}

#[test]
fn gzip_is_recognised_and_a_cut_one_is_told() {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    for i in 0..2000 {
        let line = if i == 0 {
            "t;Coolant".to_owned()
        } else {
            format!("{i};{}", (i * 7919) % 97)
        };
        writeln!(gz, "{line}").unwrap();
    }
    let bytes = gz.finish().unwrap();
    let format = csv_format("seconds");
    assert_eq!(read(&format, &bytes).unwrap().samples.len(), 1999);
    let e = read(&format, &bytes[..bytes.len() / 2])
        .unwrap_err()
        .to_string();
    assert!(e.contains("line ") && e.contains("whole"), "{e}");
}

#[test]
fn equal_seconds_are_spread_and_gaps_kept() {
    let text = "t;Coolant\n5;1\n5;1\n5;1\n5;1\n7;1\n7;1\n22;1\n22;1\n";
    let trip = read(&csv_format("seconds"), text.as_bytes()).unwrap();
    assert_eq!(seconds(&trip), [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 17.0, 18.0]);
}

#[test]
fn restarts_and_midnight() {
    let trip = read(&csv_format("seconds"), b"t;Coolant\n10;1\n11;1\n0;1\n1;1\n").unwrap();
    assert_eq!(seconds(&trip), [0.0, 1.0, 2.0, 3.0]);
    let text = b"t;Coolant\n23:59:59.5;1\n00:00:00.5;1\n00:00:01;1\n";
    assert_eq!(
        seconds(&read(&csv_format("clock"), text).unwrap()),
        [0.0, 1.0, 1.5]
    );
    let text = b"t;Coolant\n2020-01-01T00:00:00Z;1\n2020-01-01T01:00:02+01:00;1\n";
    assert_eq!(
        seconds(&read(&csv_format("rfc3339"), text).unwrap()),
        [0.0, 2.0]
    );
    let text = b"t;Coolant\n1000;1\n2500;1\n";
    assert_eq!(
        seconds(&read(&csv_format("milliseconds"), text).unwrap()),
        [0.0, 1.5]
    );
}

#[test]
fn missing_short_and_implausible_cells() {
    let text = "t;Coolant\n0;\n1;-1\n2;NaN\n3;215\n4;999\n5;998\n6\n7;90;\n\n";
    let trip = read(&csv_format("seconds"), text.as_bytes()).unwrap();
    let coolant: Vec<_> = trip.samples.iter().map(|s| s.coolant_temperature).collect();
    assert_eq!(
        coolant,
        [None, None, None, None, None, None, None, Some(90.0)]
    );
    assert_eq!(trip.notes.len(), 1);
    assert!(trip.notes[0].starts_with("2 implausible") && trip.notes[0].contains("999"));
}

#[test]
fn errors_name_line_column_value_and_cure() {
    let format = csv_format("seconds");
    let error = |text: &str| read(&format, text.as_bytes()).unwrap_err().to_string();
    let e = error("t;Coolant\n0;90\n1;warm\n");
    assert!(
        e.starts_with("line 3, column Coolant: \"warm\": not a number; correct the cell"),
        "{e}"
    );
    let e = error("t;Coolant\n0;90\nlater;91\n");
    assert!(
        e.starts_with("line 3, column t: \"later\": not a number of seconds"),
        "{e}"
    );
    for text in [
        "t;Coolant\r\n0;90\r\n\r\n\r\n1;warm\r\n",
        "t;Coolant\n0;90\n\n\n1;warm",
        "t;Coolant\r\n0;90\n\n\n1;warm\n2;91\n",
    ] {
        let e = error(text);
        assert!(e.starts_with("line 5, column Coolant"), "{e}");
    }
    let e = error("t;Coolant\n0;90;4;5\n");
    assert!(
        e.starts_with("line 2: there are 4 cells, the header has 2"),
        "{e}"
    );
    let e = error("t;Kuehlwasser\n0;90\n");
    assert!(e.starts_with("line 1: there is no column Coolant; the mapping expects it, the file has: t, Kuehlwasser"), "{e}");
    assert!(error("").contains("the file is empty"));
    assert!(error("t;Coolant\n").contains("no rows"));
    let e = read(&carobd(), b"a,b\n1,2\n").unwrap_err().to_string();
    assert!(
        e.contains("ENGINE_RUN_TINE") && e.contains("carobd expects it"),
        "{e}"
    );
    let e = read(&carobd(), &[0x89, b'P', b'N', b'G', 0, 1, 2, b'\n', 3])
        .unwrap_err()
        .to_string();
    assert!(e.starts_with("line 1") && !e.contains('\0'), "{e}");
}

fn table(time: &str) -> Format {
    let mapping = format!("time: {{{time}}}\ncolumns: {{v: speed}}");
    Format::parse("csv", Some(&mapping)).unwrap()
}

#[test]
fn recorded_times_are_kept_when_nothing_else_is_asked_for() {
    let recorded = |time: &str, name: &str, text: &str| {
        let origin = Origin {
            vehicle: "v",
            file_name: name.to_owned(),
            signals: None,
        };
        let trip = read_stream(text.as_bytes(), &table(time), &origin, None).unwrap();
        assert!(
            trip.recorded_start
                .is_none_or(|t| t == trip.samples[0].time)
        );
        (trip.samples[0].time.to_string(), trip.notes)
    };
    for (time, text, start) in [
        (
            "column: t, unit: rfc3339",
            "t,v\n2020-01-01T01:00:00+01:00,1\n",
            "2020-01-01T00:00:00Z",
        ),
        (
            "column: t, unit: seconds, epoch: true",
            "t,v\n1577836800,1\n",
            "2020-01-01T00:00:00Z",
        ),
        (
            "column: t, unit: milliseconds, epoch: true",
            "t,v\n1577836800500.0,1\n",
            "2020-01-01T00:00:00.5Z",
        ),
        (
            "column: t, unit: clock, zone: Europe/Berlin, date: {column: d, order: dmy}",
            "d,t,v\n1.7.2020,12:00:00,1\n",
            "2020-07-01T10:00:00Z",
        ),
        (
            "column: t, unit: seconds",
            "t,v\n1577836800,1\n",
            crate::DEFAULT_START,
        ),
        ("every_seconds: 60", "v\n1\n", crate::DEFAULT_START),
    ] {
        assert_eq!(recorded(time, "", text).0, start, "{time}");
    }
    let by_name = "column: t, unit: clock, zone: Europe/Berlin, date: {file_name: true}";
    let (start, notes) = recorded(
        by_name,
        "2020-07-01_a_b.csv.gz",
        "t,v\n23:59:59.5,1\n00:00:01,2\n",
    );
    assert_eq!((start.as_str(), notes.len()), ("2020-07-01T21:59:59.5Z", 0));
    let (start, notes) = recorded(by_name, "drive.csv", "t,v\n12:00:00,1\n");
    assert_eq!(start, crate::DEFAULT_START);
    assert!(notes[0].starts_with("drive.csv: the name does not begin with a date"));
}

#[test]
fn rows_without_a_time_are_refused_or_left_out() {
    let text = "d,t,v\n03/29/2021,12:00:00,1\n90/02/2032,12:00:01,2\n03/29/2021,12:00:02,3\n";
    let time = "column: t, unit: clock, date: {column: d, order: mdy}";
    let e = read(&table(time), text.as_bytes()).unwrap_err().to_string();
    assert!(
        e.starts_with("line 3, column d: \"90/02/2032\": not a date; correct"),
        "{e}"
    );
    let lenient = table(&format!("{time}, bad_rows: skip"));
    let trip = read(&lenient, text.as_bytes()).unwrap();
    assert_eq!(seconds(&trip), [0.0, 2.0]);
    assert!(
        trip.notes[0].starts_with("1 rows without a time left out, the first: line 3"),
        "{:?}",
        trip.notes
    );
    let none = read(&lenient, b"d,t,v\nx,y,1\n").unwrap_err().to_string();
    assert!(none.starts_with("line 2, column t: \"y\""), "{none}");
    let e = read(&lenient, b"t,v\n12:00:00,1\n")
        .unwrap_err()
        .to_string();
    assert!(e.contains("there is no column d"), "{e}");
}

#[test]
fn points_of_geojson() {
    let mapping = "time: {column: at, unit: rfc3339}\ncolumns: {latitude: latitude, longitude: longitude, km/h: {field: speed, optional: true}, course: {field: heading, optional: true, missing: ['0']}}";
    let format = Format::parse("geojson", Some(mapping)).unwrap();
    let text = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","geometry":{"type":"Point","coordinates":[13.4,52.5,34.0]},
         "properties":{"at":"2020-01-01T00:00:00Z","signals":{"km/h":{"value":30.5,"unit":"km/h"},"course":{"value":0.0}}}},
        {"type":"Feature","geometry":{"type":"Point","coordinates":[13.5,52.6]},
         "properties":{"at":"2020-01-01T00:00:05Z","course":91}}]}"#;
    let trip = read(&format, text.as_bytes()).unwrap();
    let first = &trip.samples[0];
    assert_eq!(
        (first.latitude, first.longitude, first.speed, first.heading),
        (Some(52.5), Some(13.4), Some(30.5), None)
    );
    assert_eq!(
        (trip.samples[1].heading, trip.samples[1].speed),
        (Some(91.0), None)
    );
    let error = |text: &str| read(&format, text.as_bytes()).unwrap_err().to_string();
    let e = error(&text.replace("91", "\"east\""));
    assert!(
        e.starts_with("feature 2, column course: \"east\": not a number"),
        "{e}"
    );
    let e = error(&text.replace("Point", "LineString"));
    assert!(
        e.starts_with("feature 1") && e.contains("LineString"),
        "{e}"
    );
    assert!(error("{\"features\":[]}").contains("no features"));
    assert!(error("[1").contains("not a GeoJSON FeatureCollection"));
    assert!(error(&text.replace("\"at\"", "\"when\"")).contains("there is no column at"));
}

#[test]
fn rows_of_other_days_are_left_out_where_bad_rows_are() {
    let text = |skip: &str| {
        let mapping = format!(
            "time: {{column: Time, unit: clock, date: {{column: Date, order: mdy}}{skip}}}\ncolumns: {{v: speed}}"
        );
        let format = Format::parse("csv", Some(&mapping)).unwrap();
        let rows = "Date,Time,v\n1/6/1980,00:00:03,0\n3/29/2021,10:00:00,1\n3/29/2021,10:00:01,2\n\
                    2/1/2090,10:00:02,99\n3/29/2021,10:00:03,3\n3/29/2021,10:00:04,4\n";
        read_stream(rows.as_bytes(), &format, &Origin::of("v"), None).unwrap()
    };
    let trip = text(", bad_rows: skip");
    let speeds: Vec<_> = trip.samples.iter().filter_map(|s| s.speed).collect();
    assert_eq!(speeds, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(trip.samples[0].time.to_string(), "2021-03-29T10:00:00Z");
    assert_eq!(trip.duration().as_secs(), 4);
    assert!(
        trip.notes[0].starts_with("2 rows of other days left out, the first: 1980-01-06"),
        "{:?}",
        trip.notes
    );
    assert_eq!(
        text("").samples.len(),
        6,
        "without it they are taken as they are"
    );
}
