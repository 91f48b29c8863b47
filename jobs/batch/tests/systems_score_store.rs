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

use database::{Database, text};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use millrace_contract::Telemetry;
use millrace_testkit::free_port;

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
        self.day.to_zoned(TimeZone::UTC).unwrap().timestamp()
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
