//! Faults of Druid.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::repeat::Repeat;
use super::row::Fault;
use super::scene::Scene;
use crate::drill_support::LIMIT;

const COORDINATOR: &str = "d-druid-coordinator-0";
const BROKER: &str = "d-druid-broker-0";
const HISTORICAL: &str = "d-druid-historical-0";
const WORKER: &str = "d-druid-worker-0";
const PLATFORM: (&str, &str) = ("platform", "d");
const CLUSTER: (&str, &str) = ("druidcluster", "d-druid");
/// Segments are handed over by then.
const HANDED_OVER: Duration = Duration::from_secs(420);
/// Askers at once, for whom the broker plans with all that it has.
const ASKERS: usize = 8;
const INGESTION: (&str, &str) = ("druidingestion", "d-telemetry");

/// Questions that have a millisecond, and may gather one byte.
pub fn impossible_questions(scene: &Scene) -> Fault {
    let broker = scene.door(BROKER, 8082);
    let question = json!({
        "query": "SELECT vehicle, SUM(events) AS n FROM telemetry GROUP BY 1",
        "context": {"timeout": 1, "maxScatterGatherBytes": 1, "useCache": false, "populateCache": false},
    });
    let at = Instant::now();
    let asking = Repeat::every(Duration::from_millis(500), move || {
        if let Ok((200, told)) = broker.post("/druid/v2/sql", &question) {
            eprintln!("answered all the same: {told}");
        }
    });
    Fault::since(at, move |_| drop(asking))
}

/// Tasks whose input is no JSON, of which none may be passed over. They have to run: one that is refused before, as a
/// compaction of nothing is, is in no metric of Druid.
pub fn unreadable_input(scene: &Scene) -> Fault {
    let coordinator = scene.door(COORDINATOR, 8081);
    let task = json!({
        "type": "index_parallel",
        "spec": {
            "dataSchema": {
                "dataSource": "drill", "timestampSpec": {"column": "t", "format": "iso"},
                "dimensionsSpec": {"dimensions": ["a"]},
                "granularitySpec": {"segmentGranularity": "day", "queryGranularity": "none", "rollup": false},
            },
            "ioConfig": {
                "type": "index_parallel", "inputFormat": {"type": "json"},
                "inputSource": {"type": "inline", "data": "no JSON"},
            },
            "tuningConfig": {"type": "index_parallel", "maxNumConcurrentSubTasks": 1, "maxParseExceptions": 0},
        },
    });
    let at = Instant::now();
    for number in 0..4 {
        let (status, told) = coordinator.post("/druid/indexer/v1/task", &task).unwrap();
        assert_eq!(status, 200, "task {number}: {told}");
    }
    Fault::past(at)
}

/// The broker has room for so few young objects that Java collects hundreds of times a second while it plans long questions.
/// Its heap is as large as before, so that it does not end for want of memory.
pub fn little_room(scene: &Scene) -> Fault {
    let sums: Vec<String> = (0..30)
        .map(|number| format!("SUM(events + {number}) AS s{number}"))
        .collect();
    let sums = sums.join(", ");
    // Planned by the broker, and asked of nobody.
    let query = format!("EXPLAIN PLAN FOR SELECT vehicle, {sums} FROM telemetry GROUP BY 1");
    let question = json!({"query": query});
    let broker = scene.door(BROKER, 8082);
    let options = json!([{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmn512k"}]);
    let at = Instant::now();
    override_brokers(
        scene,
        &json!({"spec": {"containers": [{"name": "druid", "env": options}]}}),
    );
    let ask = |_| {
        let (broker, question) = (broker.clone(), question.clone());
        Repeat::every(Duration::from_millis(10), move || {
            // It does not answer while it restarts for the change.
            let _ = broker.post("/druid/v2/sql", &question);
        })
    };
    let asking: Vec<Repeat> = (0..ASKERS).map(ask).collect();
    Fault::since(at, move |scene| {
        drop(asking);
        override_brokers(scene, &Value::Null);
    })
}

fn override_brokers(scene: &Scene, pods: &Value) {
    let change = json!({"spec": {"brokers": {"podOverrides": pods}}});
    scene.nodes.patch(CLUSTER, &change);
}

/// Lets what is read rest until the historical answers for some of it: what rests hands over what it has.
fn hand_over(scene: &Scene) {
    let broker = scene.door(BROKER, 8082);
    let loaded = json!({"query": "SELECT COUNT(*) AS n FROM sys.segments WHERE datasource = 'telemetry' \
        AND is_published = 1 AND is_available = 1 AND is_realtime = 0"});
    let segments = || {
        let (_, text) = broker.post("/druid/v2/sql", &loaded).ok()?;
        let rows: Value = serde_json::from_str(&text).ok()?;
        rows[0]["n"].as_u64()
    };
    let limit = HANDED_OVER;
    let there = scene.nodes.wait("an answer of Druid", limit, segments);
    if there == 0 {
        let rest = |rests: Value| {
            let change = json!({"spec": {"suspended": rests}});
            scene.nodes.patch(INGESTION, &change);
        };
        rest(json!(true));
        scene.nodes.wait("segments handed over", limit, || {
            segments().filter(|count| *count > 0)
        });
        rest(Value::Null);
        scene.nodes.wait("a supervisor that reads", limit, || {
            let seen = scene.nodes.get(INGESTION.0, INGESTION.1)?;
            (seen["status"]["state"] == "RUNNING").then_some(())
        });
    }
}

/// The only historical crashes again and again.
pub fn no_historical(scene: &Scene) -> Fault {
    hand_over(scene);
    let at = Instant::now();
    let crash = scene.crash(HISTORICAL);
    Fault::since(at, move |scene| {
        drop(crash);
        scene.replace(HISTORICAL);
    })
}

/// The only worker crashes again and again: nothing is taken in.
pub fn no_worker(scene: &Scene) -> Fault {
    hand_over(scene);
    let at = Instant::now();
    let crash = scene.crash(WORKER);
    Fault::since(at, move |scene| {
        drop(crash);
        scene.replace(WORKER);
    })
}

/// Historicals may load no more than the one has loaded.
pub fn small_historical(scene: &Scene) -> Fault {
    hand_over(scene);
    let query = format!("sum(druid_segments_used_bytes{{pod=\"{HISTORICAL}\"}}) > 0");
    let used = scene.nodes.wait(&query, HANDED_OVER, || {
        let answer = scene.prometheus.ask(&query).ok()?;
        let text = answer.first()?["value"][1].as_str()?.to_owned();
        text.parse::<f64>().ok()
    });
    let limit = format!("{used:.0}");
    let at = Instant::now();
    set_limit(scene, &json!(limit));
    Fault::since(at, |scene| set_limit(scene, &Value::Null))
}

/// Comes back when the Platform has handed it on: until then its Druid looks as settled as before.
fn set_limit(scene: &Scene, bytes: &Value) {
    let change = json!({"spec": {"druid": {"config": {"druid.server.maxSize": bytes}}}});
    scene.nodes.patch(PLATFORM, &change);
    scene.nodes.wait("the limit of historicals", LIMIT, || {
        let cluster = scene.nodes.get(CLUSTER.0, CLUSTER.1)?;
        (cluster["spec"]["config"]["druid.server.maxSize"] == *bytes).then_some(())
    });
}
