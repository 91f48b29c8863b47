//! Scores in a real PostgreSQL: a day is replaced as a whole, again only when something has changed, and never by half.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod database;
mod fleet;
#[path = "fleet/made.rs"]
mod made;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use database::{Database, text};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use millrace_contract::Telemetry;
use millrace_contract::driver::HireScore;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::record::Withdrawn;
use millrace_lake::retain;
use millrace_lake::storage::Local;
use millrace_testkit::free_port;
use tokio::net::TcpListener;

struct Place {
    database: Database,
    uri: String,
    directory: tempfile::TempDir,
    day: Date,
}

impl Place {
    async fn new() -> Option<Self> {
        let database = Database::new().await?;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        Some(Self {
            uri: database.uri.clone(),
            database,
            directory: tempfile::tempdir().unwrap(),
            day: today.checked_sub(2.days()).unwrap(),
        })
    }

    fn lake(&self) -> PathBuf {
        self.directory.path().join("lake")
    }

    fn start(&self) -> Timestamp {
        midnight(self.day)
    }

    fn score(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
            .args(["score", "--lake"])
            .arg(format!("file://{}", self.lake().display()))
            .env("MILLRACE_POSTGRES_URI", &self.uri)
            .args(more)
            .output()
            .unwrap()
    }

    fn scored(&self, more: &[&str]) -> String {
        let output = self.score(more);
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    // Count, distance and the sum of scores of a table: what differs when anything does.
    async fn sums(&self, table: &str) -> (i64, f64, f64) {
        let query = format!(
            "SELECT count(*), coalesce(sum(distance_m), 0), coalesce(sum(score), 0) FROM millrace.{table}"
        );
        let row = self.database.client.query_one(&query, &[]).await.unwrap();
        (row.get(0), row.get(1), row.get(2))
    }

    /// The days that are scored.
    async fn days(&self) -> Vec<Date> {
        let query = "SELECT day FROM millrace.score_runs ORDER BY day";
        let rows = self.database.client.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The number of trips of a day, and the sum of their scores.
    async fn trips_of(&self, day: Date) -> (i64, f64) {
        let query =
            "SELECT count(*), coalesce(sum(score), 0) FROM millrace.trip_scores WHERE day = $1";
        let row = self.database.client.query_one(query, &[&day]).await;
        let row = row.unwrap();
        (row.get(0), row.get(1))
    }
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

fn fleet_of(start: Timestamp, seeds: std::ops::Range<u64>) -> Vec<Telemetry> {
    seeds
        .flat_map(|seed| {
            let at = start + SignedDuration::from_hours(i64::try_from(seed % 10).unwrap() + 4);
            made::wild(&format!("car-{seed}"), seed, at, 4000)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_day_is_replaced_and_only_when_something_has_changed() {
    let Some(place) = Place::new().await else {
        return;
    };
    let day = place.day.to_string();
    fleet::archive(&place.lake(), &fleet_of(place.start(), 0..6)).await;
    let log = place.scored(&[]);
    assert!(log.contains("scored"), "{log}");
    let first = place.sums("trip_scores").await;
    let printed = place.scored(&["--print", "--day", &day]);
    assert_eq!(i64::try_from(printed.lines().count()).unwrap(), first.0);
    // What one computes from trips is what hires and the week say, weighted by what was driven.
    let (hires, distance, _) = place.sums("hire_scores").await;
    let query = "SELECT count(DISTINCT hire), sum(distance_m) FROM millrace.trip_scores WHERE hire IS NOT NULL";
    let row = place.database.client.query_one(query, &[]).await.unwrap();
    assert_eq!(hires, row.get::<_, i64>(0));
    assert!((distance - row.get::<_, f64>(1)).abs() < 1e-3);
    let (weeks, distance, _) = place.sums("week_scores").await;
    assert!(
        weeks >= hires && (distance - first.1).abs() < 1e-3,
        "{weeks} {hires}"
    );
    let query = "SELECT abs(h.braking - 100 * (1 - least(1, t.b / greatest(t.d, 5000) * 100000 / 60))) FROM millrace.hire_scores h
        JOIN (SELECT hire, sum(harsh_brakings) AS b, sum(distance_m) AS d FROM millrace.trip_scores GROUP BY hire) t USING (hire)";
    for row in place.database.client.query(query, &[]).await.unwrap() {
        assert!(row.get::<_, f64>(0) < 1e-6);
    }

    // The same again changes nothing, and does not even try.
    let log = place.scored(&[]);
    assert!(log.contains("nothing has changed"), "{log}");
    // By name it is done anew, with the same result.
    place.scored(&["--day", &day]);
    assert_eq!(place.sums("trip_scores").await, first);
    // Telemetry that came late is taken in.
    fleet::archive_from(&place.lake(), &fleet_of(place.start(), 6..8), 1_000_000).await;
    place.scored(&[]);
    let second = place.sums("trip_scores").await;
    assert!(
        second.0 > first.0 && second.1 > first.1,
        "{first:?} {second:?}"
    );
    // Another definition scores the same trips anew.
    let config = place.directory.path().join("config.yaml");
    std::fs::write(&config, "braking: 2\n").unwrap();
    place.scored(&["--config", &config.display().to_string()]);
    let third = place.sums("trip_scores").await;
    assert_eq!(third.0, second.0);
    assert!(third.2 < second.2, "{second:?} {third:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn what_goes_wrong_is_told_and_changes_nothing() {
    let Some(place) = Place::new().await else {
        return;
    };
    let day = place.day.to_string();
    let files = fleet::archive(&place.lake(), &fleet_of(place.start(), 0..3)).await;
    place.scored(&[]);
    let good = place.sums("trip_scores").await;
    let failed = |more: &[&str]| {
        let output = place.score(more);
        assert!(!output.status.success(), "{}", text(&output));
        text(&output)
    };

    // A damaged file: same size, other bytes at its end, where Parquet's own description is.
    let victim: &Path = files.first().unwrap();
    let whole = std::fs::read(victim).unwrap();
    let mut damaged = whole.clone();
    let from = damaged.len() - 400;
    damaged[from..].fill(0xff);
    std::fs::write(victim, &damaged).unwrap();
    let name = victim.file_name().unwrap().to_string_lossy().into_owned();
    let told = failed(&["--day", &day]);
    assert!(told.contains(&name), "{told}");
    std::fs::write(victim, &whole[..whole.len() - 1]).unwrap();
    let told = failed(&["--day", &day]);
    assert!(told.contains(&name) && told.contains("bytes"), "{told}");
    assert_eq!(place.sums("trip_scores").await, good);
    std::fs::write(victim, &whole).unwrap();

    // Tables that somebody has changed: the transaction ends, and the day is as it was.
    let rename = |from: &str, to: &str| {
        format!("ALTER TABLE millrace.trip_scores RENAME COLUMN {from} TO {to}")
    };
    place
        .database
        .client
        .batch_execute(&rename("night_s", "nights"))
        .await
        .unwrap();
    let told = failed(&["--day", &day]);
    assert!(told.contains("night_s") && told.contains(&day), "{told}");
    place
        .database
        .client
        .batch_execute(&rename("nights", "night_s"))
        .await
        .unwrap();
    assert_eq!(place.sums("trip_scores").await, good);

    // Nobody there.
    let away = format!(
        "postgresql://postgres@127.0.0.1:{}/postgres",
        free_port().unwrap()
    );
    let told = failed(&["--postgres", &away, "--postgres-wait", "0s"]);
    assert!(told.contains("cannot be reached"), "{told}");

    // And afterwards all is well without hand work, two at once too.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| place.scored(&["--day", &day]));
        }
    });
    assert_eq!(place.sums("trip_scores").await, good);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_day_that_was_missed_is_found_however_old_it_is() {
    let Some(place) = Place::new().await else {
        return;
    };
    let ago = |days: i64| place.day.checked_sub((days - 2).days()).unwrap();
    let (too_old, missed, latest) = (ago(40), ago(12), ago(2));
    let on = |day: Date, seeds| fleet_of(midnight(day), seeds);
    let events = [on(too_old, 0..1), on(missed, 0..2), on(latest, 0..2)].concat();
    let files = fleet::archive(&place.lake(), &events).await;

    // The file of a day cannot be read: it is named, and other days are scored.
    let of_missed = format!("date={missed}/");
    let is_of_missed = |file: &&PathBuf| file.display().to_string().contains(&of_missed);
    let victim = files.iter().find(is_of_missed).unwrap();
    let whole = std::fs::read(victim).unwrap();
    std::fs::write(victim, &whole[..whole.len() - 1]).unwrap();
    let output = place.score(&["--catch-up", "14"]);
    let told = text(&output);
    let name = victim.file_name().unwrap().to_string_lossy();
    assert!(!output.status.success() && told.contains(&*name), "{told}");
    assert_eq!(place.days().await, [latest]);

    // Once it is back the day is found, although it is older than what a run catches up by now.
    std::fs::write(victim, &whole).unwrap();
    let log = place.scored(&["--catch-up", "7"]);
    assert_eq!(place.days().await, [missed, latest]);
    assert!(log.contains("before the first run"), "{log}");
    let first = place.trips_of(missed).await;

    // So is telemetry that comes late.
    fleet::archive_from(&place.lake(), &on(missed, 6..7), 1_000_000).await;
    place.scored(&[]);
    let grown = place.trips_of(missed).await;
    assert!(grown.0 > first.0, "{first:?} {grown:?}");

    // A new definition is for the latest days.
    let config = place.directory.path().join("config.yaml");
    std::fs::write(&config, "braking: 2\n").unwrap();
    let config = config.display().to_string();
    let before = place.trips_of(latest).await;
    place.scored(&["--config", &config]);
    assert_ne!(place.trips_of(latest).await, before);
    assert_eq!(place.trips_of(missed).await, grown);

    // What is left of a day after a retirement is not the day.
    let (storage, layout) = (Local::new(place.lake()), Layout::new("telemetry").unwrap());
    let hour = Hour::parse(&format!("date={missed}/hour=04")).unwrap();
    let retired = retain::retire(&storage, &layout, hour, Withdrawn::Removed).await;
    assert!(retired.unwrap().is_some());
    place.scored(&[]);
    place.scored(&["--day", &missed.to_string()]);
    assert_eq!(place.trips_of(missed).await, grown);
    assert_eq!(place.days().await, [missed, latest]);
}

/// Where a gateway is that takes two scores at once, and none of one hire.
async fn gateway(refused: &Arc<Mutex<String>>, taken: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (refused, taken) = (Arc::clone(refused), Arc::clone(taken));
    let take = move |body: String| async move {
        let scores: Vec<HireScore> = serde_json::from_str(&body).unwrap();
        let refused = refused.lock().unwrap().clone();
        if scores.len() > 2 || scores.iter().any(|score| score.hire == refused) {
            return StatusCode::BAD_REQUEST;
        }
        let hires = scores.into_iter().map(|score| score.hire);
        taken.lock().unwrap().extend(hires);
        StatusCode::OK
    };
    let app = Router::new().route("/v1/hire-scores", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_score_that_is_refused_holds_up_no_other_and_is_not_lost() {
    let Some(place) = Place::new().await else {
        return;
    };
    let (refused, taken) = (Arc::default(), Arc::default());
    let url = gateway(&refused, &taken).await;
    let token = place.directory.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let (day, token) = (place.day.to_string(), token.display().to_string());
    let told = ["--report-to", &url, "--report-token-file", &token];
    fleet::archive(&place.lake(), &fleet_of(place.start(), 0..6)).await;
    place.scored(&[]);
    let client = &place.database.client;
    let query = "SELECT hire FROM millrace.hire_scores WHERE score IS NOT NULL";
    let rows = client.query(query, &[]).await.unwrap();
    let mut hires: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    hires.sort_unstable();
    assert!(hires.len() > 5, "{hires:?}");
    refused.lock().unwrap().clone_from(&hires[0]);

    let output = place.score(&[&told[..], &["--day", &day]].concat());
    let log = text(&output);
    assert!(!output.status.success(), "{log}");
    assert!(log.contains("scores refused: 1, others told:"), "{log}");
    let sorted = || {
        let mut taken: Vec<String> = taken.lock().unwrap().clone();
        taken.sort_unstable();
        taken
    };
    assert_eq!(sorted(), &hires[1..]);
    let untold = "SELECT hire, refused FROM millrace.hire_scores_untold";
    let row = client.query_one(untold, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), hires[0]);
    assert!(row.get::<_, String>(1).contains("400"));
    // All are scored all the same.
    assert_eq!(place.days().await, [place.day]);

    // Each run sends it again.
    assert!(!place.score(&told).status.success());
    assert_eq!(sorted(), &hires[1..]);
    refused.lock().unwrap().clear();
    place.scored(&told);
    assert_eq!(sorted(), hires);
    assert!(client.query(untold, &[]).await.unwrap().is_empty());

    // A day that has changed for one vehicle is new to that vehicle's hires only.
    taken.lock().unwrap().clear();
    fleet::archive_from(&place.lake(), &fleet_of(place.start(), 6..7), 1_000_000).await;
    place.scored(&told);
    let new = sorted();
    let is_new = |hire: &String| hire.starts_with("car-6-");
    assert!(!new.is_empty() && new.iter().all(is_new), "{new:?}");
}
