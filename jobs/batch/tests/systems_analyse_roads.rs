//! Question 4 where little is known: breakdowns count where their kilometres do, vehicle by vehicle, and an answer without an
//! estimate says why.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod database;
mod fleet;

use std::process::Command;

use database::{Database, text};
use fleet::duckdb;
use millrace_contract::{Component, EventKind, VehicleEvent, vehicle_event};
use serde_json::{Value, json};

/// Of these two vehicles it is known which roads they took: of the first nothing else, and the odometer of the second falls.
const ROADS: &str = "vehicle,began,ended,metres,highway,main,village
matched,2026-11-01T08:00:00Z,2026-11-01T09:00:00Z,100000,1,0,0
fallen,2026-11-05T08:00:00Z,2026-11-05T09:00:00Z,40000,0,0,1
";

fn told(vehicle: &str, time: &str, kind: EventKind, odometer: Option<f64>) -> VehicleEvent {
    VehicleEvent {
        vehicle: vehicle.to_owned(),
        id: time.to_owned(),
        time: time.parse().unwrap(),
        kind,
        component: (kind == EventKind::Breakdown).then_some(Component::Engine),
        odometer,
        model: None,
        hire: None,
        note: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_breakdown_counts_where_its_kilometres_do() {
    let Some(database) = Database::new().await else {
        return;
    };
    let broken = |vehicle, time| told(vehicle, time, EventKind::Breakdown, None);
    let read = |vehicle, time, odometer| told(vehicle, time, EventKind::Check, Some(odometer));
    let events = [
        broken("matched", "2026-11-01T08:30:00Z"),
        // Not on a stretch, and how far it drove beyond is not known.
        broken("matched", "2026-11-02T08:30:00Z"),
        read("driven", "2026-11-01T08:00:00Z", 0.0),
        read("driven", "2026-11-04T08:00:00Z", 100_000.0),
        broken("driven", "2026-11-03T08:30:00Z"),
        read("fallen", "2026-11-01T08:00:00Z", 0.0),
        read("fallen", "2026-11-02T08:00:00Z", 900_000.0),
        read("fallen", "2026-11-02T20:00:00Z", 10_000.0),
        broken("fallen", "2026-11-03T08:30:00Z"),
    ];
    let values: Vec<_> = events
        .iter()
        .map(|event| (event.vehicle.as_str(), vehicle_event::encode(event)))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let (lake, roads) = (folder.path().join("lake"), folder.path().join("roads.csv"));
    let files = fleet::archive_values(&lake, "vehicle-events", &values, 0).await;
    std::fs::write(&roads, ROADS).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
        .args(["analyse", "--lake"])
        .arg(format!("file://{}", lake.display()))
        .arg("--roads")
        .arg(&roads)
        .env("MILLRACE_POSTGRES_URI", &database.uri)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let query = "SELECT row_to_json(a)::text FROM analysts.answers AS a";
    let rows = database.client.query(query, &[]).await.unwrap();
    let answers: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::from_str(&row.get::<_, String>(0)).unwrap())
        .collect();
    let rate = |road: &str| duckdb::answer(&answers, &format!("roads|{road}|per 1000 km|Garwood"));
    for (road, events, km) in [
        ("highway", 1, 100.0),
        ("village", 0, 40.0),
        ("unknown", 1, 100.0),
    ] {
        let rate = rate(road);
        assert_eq!(rate["events"], events, "{rate}");
        let exposure = rate["exposure"].as_f64().unwrap();
        assert!((exposure - km / 1000.0).abs() < 1e-9, "{rate}");
        let expected = f64::from(events) / km * 1000.0;
        assert!((rate["estimate"].as_f64().unwrap() - expected).abs() < 1e-9);
    }

    // None on village roads: the ratio has a lower limit, and nothing else.
    let ratio = duckdb::answer(&answers, "roads|highway / village|ratio|Clopper-Pearson");
    assert_eq!(
        (&ratio["estimate"], &ratio["high"]),
        (&Value::Null, &Value::Null)
    );
    let low = ratio["low"].as_f64().unwrap();
    // Beta(1, 1) at 2.5 %, solved for the ratio.
    assert!((low - 0.025 / 0.975 * 0.4).abs() < 1e-9, "{ratio}");
    for answer in &answers {
        let is_said = answer["note"].as_str().is_some_and(|note| !note.is_empty());
        assert!(is_said || !answer["estimate"].is_null(), "{answer}");
    }

    let Some(python) = duckdb::python() else {
        return;
    };
    let settings = json!({
        "events": files, "alerts": [], "telemetry": [], "roads": roads, "gone_after": 30 * 86_400, "stands_for": 900,
    });
    let theirs = duckdb::answers(&python, &settings);
    let theirs = theirs["answers"].as_array().unwrap().iter();
    let of_roads: Vec<&Value> = theirs.filter(|a| a["question"] == "roads").collect();
    assert_eq!(of_roads.len(), 3, "{of_roads:?}");
    for theirs in of_roads {
        let fields = [
            ("estimate", 1e-6),
            ("low", 1e-4),
            ("high", 1e-4),
            ("events", 0.0),
        ];
        duckdb::same_fields(rate(theirs["scope"].as_str().unwrap()), theirs, fields);
    }
}
