//! Ingestion into a real Druid from a real Kafka: what is sent in the contract's own codec can be asked for in SQL, and is the
//! same; a specification that does not work is refused while the one that does goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod druid_support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use druid_support::{BEGIN, Topic, bring_about, counted, event, limits, until, wanted};
use jiff::Timestamp;
use millrace_contract::audit::{Action, Change, Entry, Run};
use millrace_contract::{Alert, AlertDetails, Severity, ZoneAhead, codec};
use millrace_operator::ingestion::{Source, Wanted};
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::ingestion::{IngestionChange, IngestionError};
use millrace_operator::remote::kafka::KafkaAdmin;
use millrace_testkit::{Druid, Kafka};
use serde_json::{Map, Value};

const EVENTS: usize = 600;

fn alert(n: usize) -> Alert {
    let at = Timestamp::from_second(BEGIN + i64::try_from(n).unwrap()).unwrap();
    Alert {
        id: format!("car-1/border/{n}/warning"),
        vehicle: "car-1".into(),
        hire: Some("a1b2".into()),
        model: None,
        rule: "border".into(),
        severity: Severity::Warning,
        episode: n.to_string(),
        event_time: at,
        detected_at: at,
        signal: "longitude".into(),
        value: n as f64,
        unit: "deg".into(),
        threshold: 14.5,
        trend_per_minute: None,
        seconds_to_limit: Some(60.0),
        text: "Border ahead".into(),
        details: AlertDetails {
            zone: Some(ZoneAhead {
                id: "pl".into(),
                name: "Poland".into(),
                kind: "border".into(),
                leaving: false,
                distance_m: 900.0,
                seconds: 60.0,
                until: None,
            }),
            ..AlertDetails::default()
        },
    }
}

/// What Druid is asked for, worked out of the events that were sent: by vehicle and minute.
#[derive(Debug, Default, PartialEq)]
struct Row {
    events: u64,
    speeds: u64,
    speed_sum: f64,
    speed_min: Option<f64>,
    speed_max: Option<f64>,
    coolant_max: Option<f64>,
    lamp: u64,
}

fn expected(events: usize) -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::<_, Row>::new();
    for event in (0..events).map(event) {
        let minute = event.time.as_second() / 60 * 60;
        let minute = Timestamp::from_second(minute).unwrap().strftime("%H:%M");
        let row = rows.entry((event.vehicle, minute.to_string())).or_default();
        row.events += 1;
        if let Some(speed) = event.speed {
            row.speeds += 1;
            row.speed_sum += speed;
            row.speed_min = Some(row.speed_min.map_or(speed, |min| min.min(speed)));
            row.speed_max = Some(row.speed_max.map_or(speed, |max| max.max(speed)));
        }
        let coolant = event.coolant_temperature.unwrap();
        row.coolant_max = Some(row.coolant_max.map_or(coolant, |max| max.max(coolant)));
        row.lamp += u64::from(event.mil_on == Some(true));
    }
    rows
}

fn found(row: &Map<String, Value>) -> ((String, String), Row) {
    let text = |key: &str| row[key].as_str().unwrap().to_owned();
    let count = |key: &str| row[key].as_u64().unwrap();
    let key = (text("vehicle"), text("at"));
    let row = Row {
        events: count("events"),
        speeds: count("speeds"),
        speed_sum: row["speed_sum"].as_f64().unwrap(),
        speed_min: row["speed_min"].as_f64(),
        speed_max: row["speed_max"].as_f64(),
        coolant_max: row["coolant_max"].as_f64(),
        lamp: count("lamp"),
    };
    (key, row)
}

#[tokio::test]
#[ignore = "systems tier"]
async fn what_is_sent_can_be_asked_for_and_a_bad_specification_stops_nothing() {
    let starting = std::thread::spawn(Druid::start);
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let Some(druid) = starting.join().unwrap().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let admin = KafkaAdmin::new(&bootstrap, limits()).unwrap();
    let topic = |name| Topic {
        bootstrap: &bootstrap,
        admin: &admin,
        name,
    };
    let (telemetry, alerts) = (topic("telemetry"), topic("alerts"));
    telemetry.create().await;
    alerts.create().await;
    telemetry
        .send((0..EVENTS).map(|n| codec::encode(&event(n))))
        .await;
    alerts
        .send((0..5).map(|n| serde_json::to_vec(&alert(n)).unwrap()))
        .await;

    let patience = Duration::from_secs(40);
    let client = DruidClient::new(&druid.coordinator(), &druid.broker(), patience).unwrap();
    let asked = wanted(Source::Telemetry, "telemetry", &bootstrap);
    let made = bring_about(&client, &asked).await.unwrap();
    assert_eq!(made.len(), 3, "{made:?}");
    let made = bring_about(&client, &asked).await.unwrap();
    assert_eq!(made, [], "what Druid adds on its own is taken for a change");
    let of_alerts = wanted(Source::Alert, "alerts", &bootstrap);
    bring_about(&client, &of_alerts).await.unwrap();

    counted(&druid, &client, "telemetry", EVENTS).await;
    let rows = client
        .sql(
            "SELECT vehicle, TIME_FORMAT(TIME_FLOOR(__time, 'PT1M'), 'HH:mm') AS \"at\", SUM(events) AS events, \
             SUM(speed_count) AS speeds, COALESCE(SUM(speed_sum), 0) AS speed_sum, MIN(speed_min) AS speed_min, \
             MAX(speed_max) AS speed_max, MAX(coolant_temperature_max) AS coolant_max, SUM(mil_on_count) AS lamp \
             FROM telemetry GROUP BY 1, 2",
        )
        .await
        .unwrap();
    let found: BTreeMap<_, _> = rows.iter().map(found).collect();
    assert_eq!(found, expected(EVENTS));

    let rows = client
        .sql(
            "SELECT APPROX_COUNT_DISTINCT_DS_HLL(vehicles) AS vehicles, \
             SUM(events) FILTER (WHERE MV_CONTAINS(dtc_list, 'P0217')) AS overheated, \
             DS_GET_QUANTILE(DS_QUANTILES_SKETCH(speed_quantiles), 0.5) AS median FROM telemetry",
        )
        .await
        .unwrap();
    assert_eq!(rows[0]["vehicles"], 3);
    assert_eq!(rows[0]["overheated"], EVENTS / 10);
    let mut speeds: Vec<f64> = (0..EVENTS).filter_map(|n| event(n).speed).collect();
    speeds.sort_by(f64::total_cmp);
    // A quantile of a sketch may be off by some percent in rank, not in value.
    let rank = |share: f64| speeds[(speeds.len() as f64 * share) as usize];
    let median = rows[0]["median"].as_f64().unwrap();
    assert!((rank(0.46)..=rank(0.54)).contains(&median), "{median}");

    let rows = client
        .sql("SELECT COLUMN_NAME AS name FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'telemetry'")
        .await
        .unwrap();
    let columns: BTreeSet<&str> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert!(columns.contains("oil_pressure_count"), "{columns:?}");
    for person in ["hire", "latitude", "longitude", "sequence"] {
        assert!(!columns.contains(person), "{person} is in Druid");
    }

    counted(&druid, &client, "alerts", 5).await;
    let rows = client
        .sql(
            "SELECT rule, severity, zone_id, zone_kind, SUM(events) AS n, SUM(value_sum) AS s FROM alerts \
             GROUP BY 1, 2, 3, 4",
        )
        .await
        .unwrap();
    let told = serde_json::json!([{"rule": "border", "severity": "warning", "zone_id": "pl",
        "zone_kind": "border", "n": 5, "s": 10.0}]);
    assert_eq!(serde_json::to_value(rows).unwrap(), told);

    // Neither one that reads nothing, nor one without a topic, nor one whose Kafka is not there replaces what runs.
    let unreadable = Wanted {
        source: Source::Alert,
        quantiles: Vec::new(),
        ..asked.clone()
    };
    let elsewhere = Wanted {
        topic: "nowhere".into(),
        ..asked.clone()
    };
    let unresolved = Wanted {
        consumer: BTreeMap::from([("bootstrap.servers".into(), "nowhere.invalid:9092".into())]),
        ..asked.clone()
    };
    for (bad, why) in [
        (unreadable, "none of the first 20 records"),
        (elsewhere, "Druid says: "),
        (unresolved, "No resolvable bootstrap urls"),
    ] {
        let told = bring_about(&client, &bad).await.unwrap_err();
        assert!(matches!(told, IngestionError::Trial(_)), "{told:?}");
        assert!(told.to_string().contains(why), "{told}");
        assert_eq!(bring_about(&client, &asked).await.unwrap(), []);
    }
    telemetry
        .send((EVENTS..EVENTS + 100).map(|n| codec::encode(&event(n))))
        .await;
    counted(&druid, &client, "telemetry", EVENTS + 100).await;
    until(&druid, "a lag of 0", || async {
        let state = client.state("telemetry").await.unwrap()?;
        (state.healthy && !state.suspended && state.aggregate_lag == Some(0)).then_some(())
    })
    .await;
    assert_eq!(client.failed_tasks("telemetry").await.unwrap(), []);

    let suspended = Wanted {
        suspended: true,
        ..asked.clone()
    };
    for (asked, change) in [(&suspended, true), (&asked, false)] {
        let made = bring_about(&client, asked).await.unwrap();
        let name = "telemetry".to_owned();
        let suspended = change;
        assert_eq!(made, [IngestionChange::Suspend { name, suspended }]);
        let state = client.state("telemetry").await.unwrap().unwrap();
        assert_eq!(state.suspended, change);
    }
    assert!(client.terminate("telemetry").await.unwrap());
    assert!(client.supervisor("telemetry").await.unwrap().is_none());
    assert!(!client.terminate("telemetry").await.unwrap());
    who_did_what(&druid, &client, &topic("audit")).await;
}

/// Records of the topic `audit` can be asked for, and which driver one is about cannot.
async fn who_did_what(druid: &Druid, client: &DruidClient, topic: &Topic<'_>) {
    topic.create().await;
    let mut erased = Entry::now("admin", Action::Erase);
    erased.driver = Some("key-of-a-driver".into());
    let mut changed = Entry::now("operations", Action::ChangeResource);
    changed.change = Some(Change {
        resource: "kafkatopics".into(),
        namespace: "m".into(),
        name: Some("t".into()),
        operation: "patch".into(),
        user: Some("ada".into()),
        manager: None,
        generation: None,
        audit_id: Some("a-1".into()),
    });
    let mut ran = Entry::now("activations", Action::RunAction);
    ran.run = Some(Run {
        subject: "millrace".into(),
        action_name: "millrace/assess-vehicle".into(),
        activation: "a1".into(),
        status: "success".into(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
    });
    let records = [&erased, &changed, &ran].map(|entry| serde_json::to_vec(entry).unwrap());
    topic.send(records.into_iter()).await;
    let asked = wanted(Source::Audit, topic.name, topic.bootstrap);
    bring_about(client, &asked).await.unwrap();
    counted(druid, client, "audit", 3).await;
    let rows = client
        .sql("SELECT \"user\", operation, resource, name, audit_id, SUM(events) AS n FROM audit WHERE action = 'change-resource' GROUP BY 1, 2, 3, 4, 5")
        .await
        .unwrap();
    let told = serde_json::json!([{"user": "ada", "operation": "patch", "resource": "kafkatopics", "name": "t",
        "audit_id": "a-1", "n": 1}]);
    assert_eq!(serde_json::to_value(rows).unwrap(), told);
    let rows = client
        .sql("SELECT subject, action_name, activation, status, trace FROM audit WHERE action = 'run-action'")
        .await
        .unwrap();
    let told = serde_json::to_value(ran.run.as_ref().unwrap()).unwrap();
    assert_eq!(
        serde_json::to_value(rows).unwrap(),
        serde_json::json!([told])
    );
    let rows = client
        .sql("SELECT MAX(newest) AS newest FROM audit")
        .await
        .unwrap();
    assert_eq!(rows[0]["newest"], ran.time.as_millisecond());
    let columns = client
        .sql("SELECT COLUMN_NAME AS name FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'audit' AND COLUMN_NAME = 'driver'")
        .await
        .unwrap();
    assert!(columns.is_empty(), "which driver it is about is in Druid");
}
