//! A day of a fleet through a platform of its own on real nodes: what was sent by the gateway lies in the lake, each event once;
//! scores of trips, hires and weeks, by the run itself and by executors, and the answers to the four questions, are those of a
//! second computation over the lake's files, by DuckDB and in Python; who agreed and drove well is made an offer, once; and after
//! a driver was erased nothing of them is found in any store, but what the report says is still waiting for its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_fleet;
mod cluster_support;
#[path = "../../jobs/batch/tests/duckdb/mod.rs"]
mod duckdb;
#[path = "../../jobs/batch/tests/fleet/made.rs"]
mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use cluster_fleet::day::{DRIVERS, MODELS};
use cluster_fleet::executors;
use cluster_fleet::forgotten::is_forgotten;
use cluster_fleet::identities::Identities;
use cluster_fleet::lake::Lake;
use cluster_fleet::{LIMIT, NAMESPACE, REFERENCE, RULES, Scene, found, remove};
use cluster_support::wait;
use millrace_contract::driver::Offer;
use millrace_contract::topics;
use millrace_testkit::Platform;
use serde_json::{Value, json};

/// Columns that sums and scores have in all tables.
const SCORES: [&str; 11] = [
    "distance_m",
    "driving_s",
    "score",
    "acceleration",
    "braking",
    "turning",
    "speeding",
    "idling",
    "economy",
    "night",
    "long_shift",
];
/// The four views of analysts, as answers.
const VIEWS: &str = "
    SELECT 'requests' AS question, model AS scope, 'per month' AS measure, 'Garwood' AS method, per_month AS estimate,
      per_month_low AS low, per_month_high AS high, checks + repairs + maintenance AS events, NULL::bigint AS censored
    FROM analysts.fewest_requests
    UNION ALL SELECT 'requests', model, 'per 1000 km', 'Garwood', per_1000_km, per_1000_km_low, per_1000_km_high,
      checks + repairs + maintenance, NULL FROM analysts.fewest_requests
    UNION ALL SELECT 'engine', scope, measure, method, estimate, low, high, breakdowns, censored FROM analysts.engine_breakdowns
    UNION ALL SELECT 'pressure', breakdowns_counted, measure, method, estimate, low, high, breakdowns, censored
    FROM analysts.pressure_to_breakdown
    UNION ALL SELECT 'roads', road, measure, method, estimate, low, high, breakdowns, NULL FROM analysts.highway_against_village";

/// What DuckDB computes of the lake's files: trips, or what they add up to.
fn second(scene: &Scene, lake: &Lake, by: Option<&[&str]>) -> Vec<Value> {
    let references: serde_json::Map<String, Value> = MODELS
        .iter()
        .map(|model| ((*model).to_owned(), json!(REFERENCE)))
        .collect();
    let files = &lake.files[topics::TELEMETRY];
    let mut settings = duckdb::settings(files, scene.day.start, 0, &references.into());
    if let Some(by) = by {
        settings["by"] = json!(by);
    }
    duckdb::scores(&scene.python, &settings)
}

/// The rows of a table, by these columns.
fn by_key(rows: Vec<Value>, keys: &[&str]) -> BTreeMap<String, Value> {
    let of = |row: &Value| {
        let parts = keys.iter().map(|key| match &row[*key] {
            // A week's row has no hire where nobody hired.
            Value::Null => "\"\"".to_owned(),
            part => part.to_string(),
        });
        parts.collect::<Vec<_>>().join(" ")
    };
    let count = rows.len();
    let known: BTreeMap<String, Value> = rows.into_iter().map(|row| (of(&row), row)).collect();
    assert_eq!(known.len(), count, "{keys:?} twice");
    known
}

/// Scores of trips, hires and weeks in PostgreSQL are those of DuckDB. Gives hires, as DuckDB has them.
fn are_scored(scene: &Scene, lake: &Lake, identities: &Identities) -> Vec<Value> {
    let trips = "SELECT *, extract(epoch FROM started)::bigint AS begin, extract(epoch FROM ended)::bigint AS end
        FROM millrace.trip_scores";
    let ours = by_key(scene.objects("score", trips), &["vehicle", "begin"]);
    let theirs = by_key(second(scene, lake, None), &["vehicle", "started"]);
    assert!(theirs.len() > 15, "{} trips", theirs.len());
    assert!(ours.keys().eq(theirs.keys()), "{ours:?} {theirs:?}");
    for (key, theirs) in &theirs {
        let ours = &ours[key];
        assert_eq!(ours["end"], theirs["ended"], "{ours}");
        let fields = theirs.as_object().unwrap().keys().map(String::as_str);
        let fields = fields.filter(|field| !["started", "ended"].contains(field));
        duckdb::same_fields(ours, theirs, fields.map(|field| (field, 1e-6)));
        if let Some(hire) = ours["hire"].as_str() {
            assert!(identities.hires.contains_key(hire), "{hire} is nobody's");
        }
    }
    for (table, keys) in [
        ("hire_scores", &["hire"][..]),
        ("week_scores", &["vehicle", "hire"][..]),
    ] {
        let ours = scene.objects("score", &format!("SELECT * FROM millrace.{table}"));
        let ours = by_key(ours, keys);
        let theirs = by_key(second(scene, lake, Some(keys)), keys);
        assert!(
            ours.keys().eq(theirs.keys()),
            "{table}: {ours:?} {theirs:?}"
        );
        for (key, theirs) in &theirs {
            let fields = SCORES.into_iter().chain(["trips"]);
            duckdb::same_fields(&ours[key], theirs, fields.map(|field| (field, 1e-6)));
        }
    }
    second(scene, lake, Some(&["hire"][..]))
}

/// The rule that a hire fulfils and that asks for the most.
fn tier(hire: &Value) -> Option<&'static str> {
    let score = hire["score"].as_f64()?;
    let distance = hire["distance_m"].as_f64()? / 1000.0;
    // They are in this order.
    let mut rules = RULES.into_iter();
    let rule = rules.find(|(_, least, kilometres)| score >= *least && distance >= *kilometres);
    rule.map(|(name, ..)| name)
}

/// The offers in the topic, once all scores of hires have been seen to.
async fn offers(scene: &Scene) -> Vec<Offer> {
    scene
        .wait_read("dispatch-offers", topics::HIRE_SCORES)
        .await;
    let records = scene.broker().await.records_of(topics::OFFERS).await;
    let offers = records.into_iter().filter_map(|record| record.value);
    offers
        .map(|offer| serde_json::from_str(&offer).unwrap())
        .collect()
}

/// Each driver who agreed and drove a hire above a tier is made one offer for such a hire, by its rule, and nobody else any;
/// and no other one after a second run that tells all scores anew.
async fn are_offered(scene: &Scene, hires: &[Value], identities: &Identities) {
    let agreed: BTreeMap<&str, bool> = DRIVERS.into_iter().collect();
    let mut due: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut below = 0;
    for hire in hires {
        let pseudonym = hire["hire"].as_str().unwrap();
        let driver = identities.hires[pseudonym];
        match tier(hire) {
            Some(rule) if agreed[driver] => {
                due.entry(driver).or_default().insert(pseudonym, rule);
            }
            tier => below += usize::from(tier.is_none()),
        }
    }
    let is_due = |driver: &str| due.contains_key(driver);
    assert!(is_due("ann") && is_due("bob") && !is_due("cleo"), "{due:?}");
    assert!(below > 3, "all drive well: {hires:?}");
    let ids = |offers: &[Offer]| -> BTreeSet<String> {
        offers.iter().map(|offer| offer.id.clone()).collect()
    };
    let made = offers(scene).await;
    let by_id: BTreeMap<&str, &Offer> = made.iter().map(|one| (one.id.as_str(), one)).collect();
    let mut offered = BTreeSet::new();
    for offer in by_id.values() {
        let driver = identities.drivers[&offer.driver];
        let rule = due.get(driver).and_then(|due| due.get(offer.hire.as_str()));
        assert_eq!(rule.copied(), Some(offer.rule.as_str()), "{driver}");
        assert_eq!(offer.language, "de");
        assert!(offered.insert(driver), "{driver} has two open offers");
    }
    let drivers: BTreeSet<&str> = due.keys().copied().collect();
    assert_eq!(offered, drivers);
    // As after a change of the definition: all days are scored and told anew.
    let first = scene.broker().await.records_of(topics::HIRE_SCORES).await;
    scene
        .sql("score", "DELETE FROM millrace.score_runs")
        .unwrap();
    scene.run("score");
    let again = scene.broker().await.records_of(topics::HIRE_SCORES).await;
    assert!(again.len() >= 2 * first.len(), "no score was told again");
    assert_eq!(ids(&offers(scene).await), ids(&made));
    let kept = scene.documents_of("millrace-identity", "offers").await;
    assert_eq!(kept.len(), drivers.len(), "{kept:?}");
}

/// The four answers, as the role sees them that may see them, are those of the second computation.
fn are_answered(scene: &Scene, lake: &Lake) {
    scene.run("analyse");
    let settings = json!({
        "events": lake.files[topics::VEHICLE_EVENTS], "alerts": lake.files[topics::ALERTS],
        "telemetry": lake.files[topics::TELEMETRY], "roads": lake.roads, "gone_after": 30 * 86_400, "stands_for": 900,
    });
    let theirs = duckdb::answers(&scene.python, &settings);
    // The schema came with the first run, and the operator grants the reading of it when it looks the next time.
    wait("what analysts may read", LIMIT, || {
        let read = "SELECT 1 FROM analysts.answers LIMIT 1";
        scene.sql("analyst", read).ok()
    });
    let ours = scene.objects("analyst", VIEWS);
    duckdb::same_answers(&ours, &theirs);
    for wanted in [
        "engine|all|mean|Weibull, maximum likelihood",
        "pressure|tyre|mean|Weibull, maximum likelihood",
        "roads|highway / village|ratio|Clopper-Pearson",
    ] {
        assert!(!duckdb::answer(&ours, wanted)["estimate"].is_null());
    }
    duckdb::same_survival(&scene.objects("analyst", duckdb::SURVIVAL), &theirs);
    assert!(
        scene
            .sql("analyst", "SELECT 1 FROM millrace.trip_scores")
            .is_err()
    );
}

/// Says on standard error, which a test that succeeds shows too where it is asked for, how far it is.
fn told(what: &str, begin: Instant) {
    eprintln!("{what}: {:.0} s", begin.elapsed().as_secs_f64());
}

/// The platform, where there is one, and a Python with DuckDB.
fn prepared() -> Option<(Platform, PathBuf)> {
    let mut platform = Platform::find().unwrap()?;
    platform.namespace = NAMESPACE.to_owned();
    Some((platform, duckdb::python()?))
}

async fn day_of(platform: Platform, python: PathBuf, begin: Instant) {
    let mut scene = Scene::open(platform, python).await;
    let keys = scene.gateway.tell_drivers().await;
    let identities = Identities::new(&scene, &keys);
    let lake = Lake::of_day(&scene).await;
    lake.holds_what_was_sent(&scene);
    // Else a score might be seen to before it is known who hides behind the hire.
    for topic in [topics::DRIVERS, topics::HIRES] {
        let group = format!("materialize-{topic}");
        scene.wait_read(&group, topic).await;
    }
    told("archived", begin);
    scene.run("score");
    let hires = are_scored(&scene, &lake, &identities);
    told("scored", begin);
    are_offered(&scene, &hires, &identities).await;
    told("offered", begin);
    scene.rotate();
    told("new password", begin);
    are_answered(&scene, &lake);
    told("answered", begin);
    // Executors give the same, and the driver is erased of theirs.
    executors::score(&scene);
    are_scored(&scene, &lake, &identities);
    executors::are_removed(&scene);
    told("scored by executors", begin);
    is_forgotten(&scene, &identities).await;
    told("forgotten", begin);
}

// Waits by kubectl hold up a thread each; the ways into pods need others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "cluster tier"]
async fn a_day_of_a_fleet_is_scored_offered_answered_and_its_driver_forgotten() {
    let Some((platform, python)) = prepared() else {
        return;
    };
    let begin = Instant::now();
    remove(&platform);
    found(&platform);
    told("available", begin);
    day_of(platform.clone(), python, begin).await;
    remove(&platform);
    told("removed", begin);
}
