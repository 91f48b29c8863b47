//! What analysts ask for in PostgreSQL: base tables, loaded by binary COPY within the transaction of a run.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use millrace_contract::VehicleEvent;
use millrace_contract::analyse::AnalyseConfig;
use millrace_lake::content::Content;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use super::days::Fleet;
use super::events::{Place, PressureAlert};
use super::roads::Stretch;

// One run at a time: "analyst" and its end as a number; the same as in tables.sql.
const LOCK: i64 = 7_883_952_506_660_156_258;

/// Makes the tables and views where they are not there.
///
/// # Errors
/// The user may not, or others of the same name are there.
pub async fn prepare(client: &Client) -> anyhow::Result<()> {
    client
        .batch_execute(include_str!("tables.sql"))
        .await
        .context("the schema analysts cannot be made")?;
    Ok(())
}

/// Waits until no other run is under way.
///
/// # Errors
/// PostgreSQL fails.
pub async fn lock(transaction: &Transaction<'_>) -> anyhow::Result<()> {
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    Ok(())
}

/// From what the days of a dataset are loaded.
///
/// # Errors
/// PostgreSQL fails.
pub async fn loaded(
    transaction: &Transaction<'_>,
    dataset: &str,
) -> anyhow::Result<BTreeMap<Date, Content>> {
    let rows = transaction
        .query(
            "SELECT day, rows, sum FROM analysts.loads WHERE dataset = $1",
            &[&dataset],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let content = Content {
                rows: u64::try_from(row.try_get::<_, i64>(1)?)?,
                sum: row.try_get::<_, String>(2)?.parse()?,
            };
            Ok((row.try_get(0)?, content))
        })
        .collect()
}

/// Notes from what a day of a dataset is loaded.
///
/// # Errors
/// PostgreSQL fails.
pub async fn set_loaded(
    transaction: &Transaction<'_>,
    dataset: &str,
    day: Date,
    content: &Content,
    unreadable: i64,
) -> anyhow::Result<()> {
    transaction
        .execute(
            "INSERT INTO analysts.loads (dataset, day, rows, sum, unreadable) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (dataset, day) DO UPDATE SET rows = excluded.rows, sum = excluded.sum, unreadable = excluded.unreadable,
               loaded_at = now()",
            &[
                &dataset,
                &day,
                &i64::try_from(content.rows)?,
                &content.sum.to_string(),
                &unreadable,
            ],
        )
        .await?;
    Ok(())
}

/// A table, the columns that are written, and their types.
pub(super) struct Copied<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a [(&'a str, Type)],
}

/// One value of a row.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

impl Copied<'_> {
    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// Appends rows to `into`, which has the table's columns.
    pub(super) async fn copy<T>(
        &self,
        transaction: &Transaction<'_>,
        into: &str,
        rows: impl IntoIterator<Item = T>,
        values: impl for<'v> Fn(&'v T) -> Vec<Value<'v>>,
    ) -> anyhow::Result<()> {
        let statement = format!("COPY {into} ({}) FROM STDIN BINARY", self.names());
        let types: Vec<Type> = self.columns.iter().map(|(_, kind)| kind.clone()).collect();
        let sink = transaction.copy_in(&statement).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in rows {
            writer.as_mut().write(&values(&row)).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// Puts rows into the table; where the key is there, `or` says what becomes of the row (the part after ON CONFLICT).
    async fn merge<T>(
        &self,
        transaction: &Transaction<'_>,
        or: &str,
        rows: impl IntoIterator<Item = T>,
        values: impl for<'v> Fn(&'v T) -> Vec<Value<'v>>,
    ) -> anyhow::Result<()> {
        let (table, names) = (self.table, self.names());
        transaction
            .batch_execute(&format!(
                "CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA"
            ))
            .await?;
        self.copy(transaction, "incoming", rows, values).await?;
        transaction
            .batch_execute(&format!(
                "INSERT INTO {table} ({names}) SELECT {names} FROM incoming ON CONFLICT {or}; DROP TABLE incoming"
            ))
            .await?;
        Ok(())
    }
}

/// Takes in vehicle events. Of one that was told several times the first in Kafka stays.
///
/// # Errors
/// PostgreSQL fails.
pub async fn events(
    transaction: &Transaction<'_>,
    events: &HashMap<(String, String), (Place, VehicleEvent)>,
) -> anyhow::Result<()> {
    let copied = Copied {
        table: "analysts.vehicle_events",
        columns: &[
            ("vehicle", Type::TEXT),
            ("id", Type::TEXT),
            ("time", Type::TIMESTAMPTZ),
            ("kind", Type::TEXT),
            ("component", Type::TEXT),
            ("odometer_m", Type::FLOAT8),
            ("model", Type::TEXT),
            ("note", Type::TEXT),
            ("kafka_partition", Type::INT4),
            ("kafka_offset", Type::INT8),
        ],
    };
    let rows = events.values().map(|((partition, offset), event)| {
        let component = event.component.map(|component| component.as_str());
        (event, event.kind.as_str(), component, *partition, *offset)
    });
    let or = "(vehicle, id) DO UPDATE SET time = excluded.time, kind = excluded.kind, component = excluded.component,
        odometer_m = excluded.odometer_m, model = excluded.model, note = excluded.note,
        kafka_partition = excluded.kafka_partition, kafka_offset = excluded.kafka_offset
      WHERE (excluded.kafka_partition, excluded.kafka_offset) <= (vehicle_events.kafka_partition, vehicle_events.kafka_offset)";
    copied
        .merge(
            transaction,
            or,
            rows,
            |(event, kind, component, partition, offset)| {
                vec![
                    &event.vehicle,
                    &event.id,
                    &event.time,
                    kind,
                    component,
                    &event.odometer,
                    &event.model,
                    &event.note,
                    partition,
                    offset,
                ]
            },
        )
        .await
}

/// Takes in alerts of tyres.
///
/// # Errors
/// PostgreSQL fails.
pub async fn alerts(
    transaction: &Transaction<'_>,
    alerts: &HashMap<String, PressureAlert>,
) -> anyhow::Result<()> {
    let copied = Copied {
        table: "analysts.pressure_alerts",
        columns: &[
            ("id", Type::TEXT),
            ("vehicle", Type::TEXT),
            ("time", Type::TIMESTAMPTZ),
            ("rule", Type::TEXT),
            ("model", Type::TEXT),
            ("tyre", Type::TEXT),
        ],
    };
    let rows = alerts
        .values()
        .map(|found| (&found.alert, found.tyre.map(|tyre| tyre.as_str())));
    let or =
        "(id) DO UPDATE SET time = excluded.time, model = excluded.model, tyre = excluded.tyre";
    copied
        .merge(transaction, or, rows, |(alert, tyre)| {
            vec![
                &alert.id,
                &alert.vehicle,
                &alert.event_time,
                &alert.rule,
                &alert.model,
                tyre,
            ]
        })
        .await
}

/// Puts a day of telemetry in the place of what is there.
///
/// # Errors
/// PostgreSQL fails.
pub async fn days(transaction: &Transaction<'_>, day: Date, fleet: &Fleet) -> anyhow::Result<()> {
    let copied = Copied {
        table: "analysts.vehicle_days",
        columns: &[
            ("vehicle", Type::TEXT),
            ("day", Type::DATE),
            ("model", Type::TEXT),
            ("first_seen", Type::TIMESTAMPTZ),
            ("last_seen", Type::TIMESTAMPTZ),
            ("readings", Type::INT8),
            ("first_at", Type::TIMESTAMPTZ),
            ("first_m", Type::FLOAT8),
            ("highest_at", Type::TIMESTAMPTZ),
            ("highest_m", Type::FLOAT8),
            ("last_at", Type::TIMESTAMPTZ),
            ("last_m", Type::FLOAT8),
        ],
    };
    transaction
        .execute("DELETE FROM analysts.vehicle_days WHERE day = $1", &[&day])
        .await?;
    let rows = fleet
        .vehicles
        .iter()
        .map(|(vehicle, of_day)| {
            let seen = [time(of_day.seen.0)?, time(of_day.seen.1)?];
            let mut odometers = [(None, None); 3];
            if let Some(known) = of_day.odometers {
                for (odometer, (at, metres)) in odometers.iter_mut().zip(known) {
                    *odometer = (Some(time(at)?), Some(metres));
                }
            }
            Ok((vehicle, of_day, seen, odometers))
        })
        .collect::<Result<Vec<_>, jiff::Error>>()?;
    copied
        .copy(
            transaction,
            copied.table,
            rows,
            |(vehicle, of_day, seen, odometers)| {
                let mut row: Vec<Value<'_>> = vec![
                    *vehicle,
                    &day,
                    &of_day.model,
                    &seen[0],
                    &seen[1],
                    &of_day.readings,
                ];
                for (at, metres) in odometers {
                    row.extend([at as Value<'_>, metres]);
                }
                row
            },
        )
        .await
}

fn time(micros: i64) -> Result<Timestamp, jiff::Error> {
    Timestamp::from_microsecond(micros)
}

/// Takes in stretches; one of a vehicle that begins at the same time as a known one takes its place.
///
/// # Errors
/// PostgreSQL fails.
pub async fn stretches(transaction: &Transaction<'_>, stretches: &[Stretch]) -> anyhow::Result<()> {
    if stretches.is_empty() {
        return Ok(());
    }
    let copied = Copied {
        table: "analysts.road_stretches",
        columns: &[
            ("vehicle", Type::TEXT),
            ("began", Type::TIMESTAMPTZ),
            ("ended", Type::TIMESTAMPTZ),
            ("metres", Type::FLOAT8),
            ("highway", Type::FLOAT8),
            ("main", Type::FLOAT8),
            ("village", Type::FLOAT8),
        ],
    };
    let last: BTreeMap<_, _> = stretches
        .iter()
        .map(|stretch| ((&stretch.vehicle, stretch.began), stretch))
        .collect();
    let or = "(vehicle, began) DO UPDATE SET ended = excluded.ended, metres = excluded.metres, highway = excluded.highway,
        main = excluded.main, village = excluded.village";
    copied
        .merge(transaction, or, last.values(), |stretch| {
            let [highway, main, village] = &stretch.shares;
            vec![
                &stretch.vehicle,
                &stretch.began,
                &stretch.ended,
                &stretch.metres,
                highway,
                main,
                village,
            ]
        })
        .await
}

/// Notes until when events are known: just after the last one. False when there is none.
///
/// # Errors
/// PostgreSQL fails.
pub async fn set_run(
    transaction: &Transaction<'_>,
    config: &AnalyseConfig,
) -> anyhow::Result<bool> {
    let made = transaction
        .execute(
            "INSERT INTO analysts.run (as_of, gone_after, stands_for, ran_at)
             SELECT max(last) + interval '1 microsecond', make_interval(secs => $1), make_interval(secs => $2), now() FROM (
               SELECT max(last_seen) AS last FROM analysts.vehicle_days
               UNION ALL SELECT max(time) FROM analysts.vehicle_events
               UNION ALL SELECT max(time) FROM analysts.pressure_alerts) AS l
             HAVING max(last) IS NOT NULL
             ON CONFLICT (only_one) DO UPDATE SET as_of = excluded.as_of, gone_after = excluded.gone_after,
               stands_for = excluded.stands_for, ran_at = excluded.ran_at",
            &[
                &config.gone_after.0.as_secs_f64(),
                &config.stands_for.0.as_secs_f64(),
            ],
        )
        .await?;
    Ok(made > 0)
}
