//! A driver who is erased: after it a scan of every store finds none of their hires, and what others drove is as it was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod database;
mod fleet;
#[path = "fleet/made.rs"]
mod made;

use std::path::Path;
use std::process::Command;

use database::{Database, text};
use futures::TryStreamExt as _;
use futures::executor::block_on;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use millrace_lake::Storage as _;
use millrace_lake::content::Content;
use millrace_lake::layout::Layout;
use millrace_lake::parquet_file;
use millrace_lake::reader::Records;
use millrace_lake::storage::Local;
use millrace_lake::verify::verify;
use millrace_testkit::DocumentStore;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

const DRIVER: &str = "driver-key-of-the-erased";
/// Pseudonyms as `made::wild` has them: of the first car.
const ERASED: [&str; 3] = ["car-0-0", "car-0-1", "car-0-2"];

/// Every file in a folder that holds one of these texts, as it lies or unpacked.
fn scan_lake(root: &Path, datasets: &[&str], needles: &[&str]) -> Vec<String> {
    let storage = Local::new(root);
    let mut found = Vec::new();
    for dataset in datasets {
        let layout = Layout::new(dataset).unwrap();
        let mut folders = vec![layout.dataset().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in block_on(storage.list(&folder)).unwrap() {
                let path = format!("{folder}/{}", entry.name);
                if entry.folder {
                    folders.push(path);
                    continue;
                }
                let bytes = block_on(storage.read(&path)).unwrap();
                let mut shown = String::from_utf8_lossy(&bytes).into_owned();
                if path.ends_with(".parquet") {
                    for batch in parquet_file::read(&path, bytes).unwrap() {
                        shown += &format!("{:?}", batch.unwrap());
                    }
                }
                if needles.iter().any(|needle| shown.contains(needle)) {
                    found.push(path);
                }
            }
        }
    }
    found
}

/// Every table whose rows, as text, hold one of these.
async fn scan_postgres(database: &Database, needles: &[&str]) -> Vec<String> {
    let tables = "SELECT schemaname || '.' || quote_ident(tablename) FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut found = Vec::new();
    for row in database.client.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let pattern = format!("({})", needles.join("|"));
        let query = format!("SELECT count(*) FROM {table} AS t WHERE t::text ~ $1");
        let row = database
            .client
            .query_one(&query, &[&pattern])
            .await
            .unwrap();
        if row.get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    found
}

/// Every collection whose documents hold one of these.
async fn scan_documents(client: &Client, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["millrace", "millrace-identity"] {
        let database = client.database(name);
        for collection in [
            "vehicles",
            "alerts",
            "deliveries",
            "hires",
            "drivers",
            "offers",
            "open_offers",
        ] {
            let all = database
                .collection::<Document>(collection)
                .find(doc! {})
                .await
                .unwrap();
            let all: Vec<Document> = all.try_collect().await.unwrap();
            let shown = format!("{all:?}");
            if needles.iter().any(|needle| shown.contains(needle)) {
                found.push(format!("{name}.{collection}"));
            }
        }
    }
    found
}

async fn put(client: &Client, database: &str, collection: &str, document: Document) {
    let collection = client.database(database).collection::<Document>(collection);
    collection.insert_one(document).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and a document store"]
async fn nothing_of_an_erased_driver_is_found() {
    let Some(database) = Database::new().await else {
        return;
    };
    let Some(store) = DocumentStore::start().unwrap() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path().join("lake");
    let yesterday = Timestamp::now()
        .to_zoned(TimeZone::UTC)
        .date()
        .checked_sub(1.days())
        .unwrap();
    let start =
        yesterday.to_zoned(TimeZone::UTC).unwrap().timestamp() + SignedDuration::from_hours(6);
    let events: Vec<_> = (0..3)
        .flat_map(|n| made::wild(&format!("car-{n}"), n, start, 4000))
        .collect();
    fleet::archive(&lake, &events).await;
    let hired: Vec<(&str, Vec<u8>)> = [("car-0", ERASED[0]), ("car-1", "car-1-0")]
        .iter()
        .map(|(vehicle, hire)| {
            let event = json!({"vehicle": vehicle, "id": format!("e-{vehicle}"), "time": start, "kind": "hire_started", "hire": hire});
            (*vehicle, event.to_string().into_bytes())
        })
        .collect();
    // One of a name that nobody knows.
    for dataset in ["vehicle-events", "of-my-own"] {
        fleet::archive_values(&lake, dataset, &hired, 0).await;
    }
    let batch = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
            .args(arguments)
            .args(["--lake", &format!("file://{}", lake.display())])
            .env("MILLRACE_POSTGRES_URI", &database.uri)
            .env("MILLRACE_MONGODB", store.uri())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    batch(&["score"]);
    let client = Client::with_uri_str(store.uri()).await.unwrap();
    put(
        &client,
        "millrace",
        "vehicles",
        doc! {"_id": "car-0", "hire": ERASED[1], "revision": 1_i64},
    )
    .await;
    put(
        &client,
        "millrace",
        "alerts",
        doc! {"_id": "car-0/a", "hire": ERASED[0]},
    )
    .await;
    put(
        &client,
        "millrace",
        "alerts",
        doc! {"_id": "car-1/a", "hire": "car-1-0"},
    )
    .await;
    for hire in ERASED {
        put(
            &client,
            "millrace-identity",
            "hires",
            doc! {"_id": hire, "driver": DRIVER},
        )
        .await;
    }
    put(
        &client,
        "millrace-identity",
        "drivers",
        doc! {"_id": DRIVER, "mail": "gone@example.com"},
    )
    .await;
    put(
        &client,
        "millrace-identity",
        "offers",
        doc! {"_id": "o", "driver": DRIVER, "hire": ERASED[0]},
    )
    .await;
    put(
        &client,
        "millrace-identity",
        "open_offers",
        doc! {"_id": DRIVER},
    )
    .await;

    let needles = [&ERASED[..], &[DRIVER, "gone@example.com"]].concat();
    let datasets = ["telemetry", "vehicle-events", "of-my-own"];
    assert!(scan_lake(&lake, &datasets, &needles).len() >= 3);
    let found = scan_postgres(&database, &needles).await;
    assert!(
        found.iter().any(|table| table == "millrace.trip_scores"),
        "{found:?}"
    );
    assert_eq!(scan_documents(&client, &needles).await.len(), 6);
    let sums = "SELECT sum(distance_m), count(*), sum(score) FROM millrace.trip_scores";
    let before = database.client.query_one(sums, &[]).await.unwrap();
    let rows = |dataset: &str| {
        let layout = Layout::new(dataset).unwrap();
        let report = block_on(verify(&Local::new(&lake), &layout, None, None)).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        report.content().rows
    };
    let all = rows("telemetry");

    let hires: Vec<String> = ERASED.iter().map(|hire| format!("--hire={hire}")).collect();
    let arguments: Vec<&str> = ["erase", "--driver", DRIVER]
        .into_iter()
        .chain(hires.iter().map(String::as_str))
        .collect();
    let report = batch(&arguments);
    let lines: Vec<Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |place: &str| {
        let line = lines.iter().find(|line| line["place"] == place);
        line.unwrap_or_else(|| panic!("{place}: {report}"))["count"]
            .as_u64()
            .unwrap()
    };
    assert!(count("lake: telemetry") >= 1 && count("postgresql: millrace.trip_scores") >= 1);
    assert_eq!(count("lake: of-my-own"), 1);
    assert_eq!((count("mongodb: hires"), count("mongodb: alerts")), (3, 1));

    assert_eq!(scan_lake(&lake, &datasets, &needles), [""; 0]);
    assert_eq!(scan_postgres(&database, &needles).await, [""; 0]);
    assert_eq!(scan_documents(&client, &needles).await, [""; 0]);
    // No row is lost, the figures of vehicles stay, and others are still known.
    assert_eq!(rows("telemetry"), all);
    let after = database.client.query_one(sums, &[]).await.unwrap();
    assert_eq!(after.get::<_, i64>(1), before.get::<_, i64>(1));
    assert_eq!(
        after.get::<_, f64>(0).to_bits(),
        before.get::<_, f64>(0).to_bits()
    );
    assert!(!scan_lake(&lake, &datasets, &["car-1-0"]).is_empty());
    assert_eq!(
        scan_documents(&client, &["car-1-0"]).await,
        ["millrace.alerts"]
    );
    // Again it finds nothing to do, and a score of the same day brings nobody back.
    batch(&arguments);
    batch(&["score", "--day", &yesterday.to_string()]);
    assert_eq!(scan_postgres(&database, &needles).await, [""; 0]);
    let records = block_on(Records::read(
        &Local::new(&lake),
        &Layout::new("telemetry").unwrap(),
    ))
    .unwrap();
    let held = records
        .rewrites
        .iter()
        .filter_map(|(_, rewrite)| rewrite.held.as_ref());
    assert!(Content::total(held).rows > 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a document store"]
async fn databases_that_are_named_are_gone_through() {
    let Some(store) = DocumentStore::start().unwrap() else {
        return;
    };
    let client = Client::with_uri_str(store.uri()).await.unwrap();
    let hired = doc! {"_id": "car-0", "hire": ERASED[0], "revision": 1_i64};
    let known = doc! {"_id": ERASED[0], "driver": DRIVER};
    put(&client, "fleet", "vehicles", hired.clone()).await;
    put(&client, "persons", "hires", known.clone()).await;
    // Nobody has named these.
    put(&client, "other", "vehicles", hired).await;
    put(&client, "other-identity", "hires", known).await;
    let hire = format!("--hire={}", ERASED[0]);
    let output = Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
        .args(["erase", "--driver", DRIVER, &hire])
        .args([
            "--without=lake",
            "--without=postgres",
            "--database=fleet=persons",
        ])
        .env("MILLRACE_MONGODB", store.uri())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("mongodb: fleet.vehicles"), "{report}");
    assert!(report.contains("mongodb: persons.hires"), "{report}");
    let left = async |database: &str, collection: &str| {
        let collection = client.database(database).collection::<Document>(collection);
        let all: Vec<Document> = collection
            .find(doc! {})
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        all
    };
    let vehicles = left("fleet", "vehicles").await;
    assert_eq!(
        (vehicles.len(), vehicles[0].contains_key("hire")),
        (1, false)
    );
    assert!(left("persons", "hires").await.is_empty());
    assert!(left("other", "vehicles").await[0].contains_key("hire"));
    assert_eq!(left("other-identity", "hires").await.len(), 1);
}
