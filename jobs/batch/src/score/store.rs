//! Scores in PostgreSQL: a day is replaced as a whole, in one transaction.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use millrace_analytics::driving::{Exposure, Parts, score};
use millrace_contract::score::ScoreConfig;
use millrace_lake::content::Content;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use super::fleet::FleetTrip;
use super::tell::{self, Tell};

/// Columns of `trip_scores` that are added up, in the order of [`Exposure::numbers`].
pub const SUMS: [&str; Exposure::LENGTH] = [
    "distance_m",
    "watched_s",
    "driving_s",
    "engine_s",
    "harsh_accelerations",
    "harsh_brakings",
    "harsh_turns",
    "turning_distance_m",
    "speeding_s",
    "idling_s",
    "fuel_l",
    "fuel_reference_l",
    "fuel_distance_m",
    "night_s",
    "long_shift_s",
];
const SCORES: [&str; 1 + Parts::LENGTH] = [
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
// One run at a time: "millrace" as a number.
const LOCK: i64 = 0x6d69_6c6c_7261_6365;

/// From what a day was scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What the lake held of it.
    pub content: Content,
    /// A hash of the definition.
    pub definition: String,
}

/// Makes the tables where they are not there.
///
/// # Errors
/// The user may not, or tables of the same name have other columns.
pub async fn prepare(client: &Client) -> anyhow::Result<()> {
    client
        .batch_execute(include_str!("tables.sql"))
        .await
        .context("the schema millrace cannot be made")?;
    Ok(())
}

/// From what each day was scored last, of those that were.
///
/// # Errors
/// PostgreSQL fails.
pub async fn origins(client: &Client) -> anyhow::Result<BTreeMap<Date, Origin>> {
    let rows = client
        .query(
            "SELECT day, rows, sum, definition FROM millrace.score_runs",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let origin = Origin {
                content: Content {
                    rows: u64::try_from(row.try_get::<_, i64>(1)?)?,
                    sum: row.try_get::<_, String>(2)?.parse()?,
                },
                definition: row.try_get(3)?,
            };
            Ok((row.try_get(0)?, origin))
        })
        .collect()
}

/// From which day on telemetry is scored, however late it comes: the oldest day that a run has looked at, of which `oldest` is the one
/// of this run. A day that somebody had scored by name does not count: nobody asked for all that came after it.
///
/// # Errors
/// PostgreSQL fails.
pub async fn since(client: &Client, oldest: Date) -> anyhow::Result<Date> {
    client
        .execute(
            "INSERT INTO millrace.score_since (day) VALUES ($1::date)
             ON CONFLICT (only_one) DO UPDATE SET day = $1::date WHERE score_since.day > $1::date",
            &[&oldest],
        )
        .await?;
    let row = client
        .query_one("SELECT day FROM millrace.score_since", &[])
        .await?;
    Ok(row.try_get(0)?)
}

/// Puts a day's trips in the place of those that are there, and brings hires and weeks up to date. All of it or nothing.
/// The hires whose score is to be told are written down.
///
/// # Errors
/// PostgreSQL fails; then the day is as it was.
pub async fn replace(
    client: &mut Client,
    config: &ScoreConfig,
    day: Date,
    trips: &[FleetTrip],
    origin: &Origin,
    tell: Tell,
) -> anyhow::Result<()> {
    let transaction = client.transaction().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    let mut hires = hires_of(&transaction, day).await?;
    hires.extend(trips.iter().filter_map(|trip| trip.hire.clone()));
    hires.sort_unstable();
    hires.dedup();
    let before = tell::known(&transaction, &hires).await?;
    transaction
        .execute("DELETE FROM millrace.trip_scores WHERE day = $1", &[&day])
        .await?;
    copy_trips(&transaction, config, day, trips).await?;
    replace_hires(&transaction, config, &hires).await?;
    match tell {
        Tell::Nothing => hires.clear(),
        Tell::Changed => {
            let now = tell::known(&transaction, &hires).await?;
            hires.retain(|hire| tell::is_new(before.get(hire), now.get(hire)));
        }
        Tell::All => {}
    }
    if !hires.is_empty() {
        transaction
            .execute(
                "INSERT INTO millrace.hire_scores_untold (hire, since) SELECT unnest($1::text[]), now()
                 ON CONFLICT (hire) DO UPDATE SET since = excluded.since, refused = NULL",
                &[&hires],
            )
            .await?;
    }
    replace_week(&transaction, config, day).await?;
    transaction
        .execute(
            "INSERT INTO millrace.score_runs (day, rows, sum, definition, trips) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (day) DO UPDATE SET rows = excluded.rows, sum = excluded.sum, definition = excluded.definition,
               trips = excluded.trips, ran_at = now()",
            &[
                &day,
                &i64::try_from(origin.content.rows)?,
                &origin.content.sum.to_string(),
                &origin.definition,
                &i64::try_from(trips.len())?,
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok(())
}

async fn hires_of(transaction: &Transaction<'_>, day: Date) -> anyhow::Result<Vec<String>> {
    let rows = transaction
        .query(
            "SELECT DISTINCT hire FROM millrace.trip_scores WHERE day = $1 AND hire IS NOT NULL",
            &[&day],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Loads a day's trips, in the transaction that takes away those before.
///
/// # Errors
/// PostgreSQL fails.
pub async fn copy_trips(
    transaction: &Transaction<'_>,
    config: &ScoreConfig,
    day: Date,
    trips: &[FleetTrip],
) -> anyhow::Result<()> {
    let columns = ["day", "vehicle", "model", "hire", "started", "ended"];
    let mut types = vec![
        Type::DATE,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
    ];
    types.resize(columns.len() + SUMS.len() + SCORES.len(), Type::FLOAT8);
    let names: Vec<&str> = columns.into_iter().chain(SUMS).chain(SCORES).collect();
    let statement = format!(
        "COPY millrace.trip_scores ({}) FROM STDIN BINARY",
        names.join(", ")
    );
    let writer = BinaryCopyInWriter::new(transaction.copy_in(&statement).await?, &types);
    let mut writer = pin!(writer);
    for trip in trips {
        let started = Timestamp::from_second(trip.trip.start)?;
        let ended = Timestamp::from_second(trip.trip.end)?;
        let sums = trip.trip.exposure.numbers();
        let scores = scores(config, &trip.trip.exposure);
        let mut row: Vec<&(dyn ToSql + Sync)> = vec![
            &day,
            &trip.vehicle,
            &trip.model,
            &trip.hire,
            &started,
            &ended,
        ];
        row.extend(sums.iter().map(|sum| sum as &(dyn ToSql + Sync)));
        row.extend(scores.iter().map(|score| score as &(dyn ToSql + Sync)));
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}

// Total and parts, in the order of SCORES.
fn scores(config: &ScoreConfig, drive: &Exposure) -> [Option<f64>; 1 + Parts::LENGTH] {
    let mut all = [None; 1 + Parts::LENGTH];
    if let Some(score) = score(config, drive) {
        all[0] = Some(score.total);
        all[1..].copy_from_slice(&score.parts.all());
    }
    all
}

fn sums() -> String {
    SUMS.map(|name| format!("sum({name})")).join(", ")
}

fn exposure(row: &Row, first: usize) -> anyhow::Result<Exposure> {
    let mut numbers = [0.0; Exposure::LENGTH];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = row.try_get(first + index)?;
    }
    Ok(Exposure::of(numbers))
}

async fn replace_hires(
    transaction: &Transaction<'_>,
    config: &ScoreConfig,
    hires: &[String],
) -> anyhow::Result<()> {
    transaction
        .execute(
            "DELETE FROM millrace.hire_scores WHERE hire = ANY ($1)",
            &[&hires],
        )
        .await?;
    let query = format!(
        "SELECT hire, count(*), min(day), max(day), {} FROM millrace.trip_scores WHERE hire = ANY ($1) GROUP BY hire",
        sums()
    );
    let rows = transaction.query(&query, &[&hires]).await?;
    let insert = insert("hire_scores", &["hire", "trips", "first_day", "last_day"]);
    let insert = transaction.prepare(&insert).await?;
    for row in &rows {
        let hire: String = row.try_get(0)?;
        let trips: i64 = row.try_get(1)?;
        let (first, last): (Date, Date) = (row.try_get(2)?, row.try_get(3)?);
        let drive = exposure(row, 4)?;
        let keys: [&(dyn ToSql + Sync); 4] = [&hire, &trips, &first, &last];
        add(transaction, &insert, &keys, config, &drive).await?;
    }
    Ok(())
}

async fn replace_week(
    transaction: &Transaction<'_>,
    config: &ScoreConfig,
    day: Date,
) -> anyhow::Result<()> {
    transaction
        .execute(
            "DELETE FROM millrace.week_scores WHERE week = date_trunc('week', $1::date)::date",
            &[&day],
        )
        .await?;
    let query = format!(
        "SELECT date_trunc('week', $1::date)::date, vehicle, coalesce(hire, ''), count(*), {} FROM millrace.trip_scores
         WHERE day >= date_trunc('week', $1::date)::date AND day < date_trunc('week', $1::date)::date + 7
         GROUP BY vehicle, coalesce(hire, '')",
        sums()
    );
    let rows = transaction.query(&query, &[&day]).await?;
    let insert = insert("week_scores", &["week", "vehicle", "hire", "trips"]);
    let insert = transaction.prepare(&insert).await?;
    for row in &rows {
        let week: Date = row.try_get(0)?;
        let (vehicle, hire): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let trips: i64 = row.try_get(3)?;
        let drive = exposure(row, 4)?;
        let keys: [&(dyn ToSql + Sync); 4] = [&week, &vehicle, &hire, &trips];
        add(transaction, &insert, &keys, config, &drive).await?;
    }
    Ok(())
}

fn insert(table: &str, keys: &[&str]) -> String {
    let names: Vec<&str> = keys
        .iter()
        .copied()
        .chain(["distance_m", "driving_s"])
        .chain(SCORES)
        .collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
    format!(
        "INSERT INTO millrace.{table} ({}) VALUES ({})",
        names.join(", "),
        places.join(", ")
    )
}

async fn add(
    transaction: &Transaction<'_>,
    insert: &tokio_postgres::Statement,
    keys: &[&(dyn ToSql + Sync)],
    config: &ScoreConfig,
    drive: &Exposure,
) -> anyhow::Result<()> {
    let scores = scores(config, drive);
    let mut row = keys.to_vec();
    row.extend([&drive.distance as &(dyn ToSql + Sync), &drive.driving]);
    row.extend(scores.iter().map(|score| score as &(dyn ToSql + Sync)));
    transaction.execute(insert, &row).await?;
    Ok(())
}
