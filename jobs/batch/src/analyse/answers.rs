//! What SQL cannot compute: distances up to breakdowns, Weibull fits, exact limits. From the tables of a run to its answers.

mod roads;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use millrace_analytics::survival::distances::{Reading, to_breakdown};
use millrace_analytics::survival::{Estimate, KaplanMeier, Lifetime, MeanBetween, Rate, Weibull};
use millrace_contract::analyse::AnalyseConfig;
use millrace_contract::{Component, EventKind, Invalid, VehicleEvent};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::store::{Copied, Value};

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    question: &'static str,
    scope: String,
    measure: &'static str,
    method: &'static str,
    unit: &'static str,
    /// The estimate and its limits, or why there is none.
    found: Result<(f64, Option<(f64, f64)>), String>,
    note: Option<String>,
    events: i64,
    censored: Option<i64>,
    exposure: Option<f64>,
}

/// Lower and upper limit as the table has them.
type Limits = (Option<f64>, Option<f64>);

impl Answer {
    /// Estimate, limits and note as the table has them: what is infinite is empty there.
    fn told(&self) -> (Option<f64>, Limits, Option<&String>) {
        let finite = |number: f64| Some(number).filter(|number| number.is_finite());
        let (estimate, limits) = match &self.found {
            Ok((estimate, limits)) => (finite(*estimate), *limits),
            Err(_) => (None, None),
        };
        let low = limits.and_then(|(low, _)| finite(low));
        let high = limits.and_then(|(_, high)| finite(high));
        let note = self.found.as_ref().err().or(self.note.as_ref());
        (estimate, (low, high), note)
    }
}

/// Computes all answers anew.
///
/// # Errors
/// PostgreSQL fails.
pub async fn compute(transaction: &Transaction<'_>, config: &AnalyseConfig) -> anyhow::Result<()> {
    engine_distances(transaction).await?;
    let mut answers = requests(transaction).await?;
    answers.extend(lifetimes(transaction, config).await?);
    answers.extend(roads::answers(transaction).await?);
    write(transaction, &answers).await
}

// Events that a vehicle's distances are made of.
async fn events(
    transaction: &Transaction<'_>,
) -> anyhow::Result<HashMap<String, Vec<VehicleEvent>>> {
    let none: [Value<'_>; 0] = [];
    let rows = transaction
        .query_raw(
            "SELECT vehicle, id, time, kind, component, odometer_m FROM analysts.vehicle_events
             WHERE odometer_m IS NOT NULL OR kind = 'breakdown' ORDER BY vehicle, time, id",
            none,
        )
        .await?;
    let mut rows = pin!(rows);
    let mut all: HashMap<String, Vec<VehicleEvent>> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        let vehicle: String = row.try_get(0)?;
        // The tables are filled from the contract's own words.
        let Some(kind) = EventKind::parse(row.try_get(3)?) else {
            continue;
        };
        let component: Option<&str> = row.try_get(4)?;
        let event = VehicleEvent {
            vehicle: vehicle.clone(),
            id: row.try_get(1)?,
            time: row.try_get(2)?,
            kind,
            component: component.and_then(Component::parse),
            odometer: row.try_get(5)?,
            model: None,
            hire: None,
            note: None,
        };
        all.entry(vehicle).or_default().push(event);
    }
    Ok(all)
}

struct Distances {
    models: HashMap<String, String>,
    events: HashMap<String, Vec<VehicleEvent>>,
    rows: Vec<(String, String, i32, f64, bool)>,
    left_out: Vec<(String, String)>,
}

impl Distances {
    fn take(&mut self, vehicle: &str, readings: &[Reading]) {
        let events = self.events.remove(vehicle).unwrap_or_default();
        match to_breakdown(Component::Engine, &events, readings) {
            Ok(lifetimes) => {
                let model = self.models.get(vehicle).cloned().unwrap_or_default();
                for (number, lifetime) in (1..).zip(lifetimes) {
                    let failed = lifetime.has_failed();
                    let row = (
                        vehicle.to_owned(),
                        model.clone(),
                        number,
                        lifetime.length,
                        failed,
                    );
                    self.rows.push(row);
                }
            }
            Err(invalid) => self
                .left_out
                .push((vehicle.to_owned(), invalid.to_string())),
        }
    }
}

async fn engine_distances(transaction: &Transaction<'_>) -> anyhow::Result<()> {
    transaction
        .batch_execute("DELETE FROM analysts.engine_distances; DELETE FROM analysts.left_out")
        .await?;
    let models = transaction
        .query("SELECT vehicle, model FROM analysts.vehicles", &[])
        .await?;
    let mut all = Distances {
        models: models
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, tokio_postgres::Error>>()?,
        events: events(transaction).await?,
        rows: Vec::new(),
        left_out: Vec::new(),
    };
    {
        let none: [Value<'_>; 0] = [];
        let days = transaction
            .query_raw(
                "SELECT vehicle, first_at, first_m, highest_at, highest_m, last_at, last_m FROM analysts.vehicle_days
                 WHERE first_m IS NOT NULL ORDER BY vehicle, day",
                none,
            )
            .await?;
        let mut days = pin!(days);
        let mut vehicle = String::new();
        let mut readings: Vec<Reading> = Vec::new();
        while let Some(row) = days.try_next().await? {
            let of: String = row.try_get(0)?;
            if of != vehicle {
                if !readings.is_empty() {
                    all.take(&vehicle, &readings);
                }
                readings.clear();
                vehicle = of;
            }
            for at in [1, 3, 5] {
                readings.push(Reading {
                    time: row.try_get(at)?,
                    odometer: row.try_get(at + 1)?,
                });
            }
        }
        if !readings.is_empty() {
            all.take(&vehicle, &readings);
        }
    }
    // Those of which nothing but events is known.
    let mut others: Vec<String> = all.events.keys().cloned().collect();
    others.sort_unstable();
    for vehicle in others {
        all.take(&vehicle, &[]);
    }
    let copied = Copied {
        table: "analysts.engine_distances",
        columns: &[
            ("vehicle", Type::TEXT),
            ("model", Type::TEXT),
            ("number", Type::INT4),
            ("km", Type::FLOAT8),
            ("failed", Type::BOOL),
        ],
    };
    copied
        .copy(
            transaction,
            copied.table,
            all.rows,
            |(vehicle, model, number, km, failed)| vec![vehicle, model, number, km, failed],
        )
        .await?;
    if !all.left_out.is_empty() {
        tracing::warn!(
            vehicles = all.left_out.len(),
            "vehicles are left out of questions 1 and 2, see the table left_out"
        );
    }
    let copied = Copied {
        table: "analysts.left_out",
        columns: &[("vehicle", Type::TEXT), ("why", Type::TEXT)],
    };
    copied
        .copy(transaction, copied.table, all.left_out, |(vehicle, why)| {
            vec![vehicle, why]
        })
        .await
}

fn of_rate(rate: Result<Rate, Invalid>) -> Result<(f64, Option<(f64, f64)>), String> {
    rate.map(|rate| (rate.rate, Some((rate.low, rate.high))))
        .map_err(|invalid| invalid.to_string())
}

async fn requests(transaction: &Transaction<'_>) -> anyhow::Result<Vec<Answer>> {
    let rows = transaction
        .query(
            "SELECT model, requests, vehicle_months, km FROM analysts.request_rates",
            &[],
        )
        .await?;
    let mut answers = Vec::new();
    for row in rows {
        let (model, requests): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (months, km): (f64, f64) = (row.try_get(2)?, row.try_get(3)?);
        for (measure, unit, exposure) in [
            ("per month", "1/month", months),
            ("per 1000 km", "1/1000 km", km / 1000.0),
        ] {
            answers.push(Answer {
                question: "requests",
                scope: model.clone(),
                measure,
                method: "Garwood",
                unit,
                found: of_rate(Rate::of(u64::try_from(requests)?, exposure)),
                note: None,
                events: requests,
                censored: None,
                exposure: Some(exposure),
            });
        }
    }
    Ok(answers)
}

async fn lifetimes(
    transaction: &Transaction<'_>,
    config: &AnalyseConfig,
) -> anyhow::Result<Vec<Answer>> {
    let rows = transaction
        .query(
            "SELECT question, scope, length, failed FROM analysts.lifetimes",
            &[],
        )
        .await?;
    let mut all: BTreeMap<(&'static str, String), Vec<Lifetime>> = BTreeMap::new();
    // What was asked is answered, if only by that nothing is known.
    for (question, scope) in [("engine", "all"), ("pressure", "any"), ("pressure", "tyre")] {
        all.insert((question, scope.to_owned()), Vec::new());
    }
    for row in &rows {
        let question = match row.try_get(0)? {
            "engine" => "engine",
            _ => "pressure",
        };
        let (length, failed): (f64, bool) = (row.try_get(2)?, row.try_get(3)?);
        let lifetime = if failed {
            Lifetime::failed(length)
        } else {
            Lifetime::censored(length)
        };
        let scope: String = row.try_get(1)?;
        all.entry((question, scope)).or_default().push(lifetime);
    }
    let mut answers = Vec::new();
    for ((question, scope), lifetimes) in all {
        let (unit, first) = match question {
            "engine" => ("km", config.first_km),
            _ => ("h", config.first_hours),
        };
        answers.extend(of_lifetimes(question, &scope, unit, first, &lifetimes)?);
    }
    Ok(answers)
}

type Found = Result<(f64, Option<(f64, f64)>, Option<String>), Invalid>;

fn of_estimate(
    estimate: Estimate,
    note: Option<String>,
) -> (f64, Option<(f64, f64)>, Option<String>) {
    let limits = (estimate.value > 0.0).then(|| estimate.limits());
    (estimate.value, limits, note)
}

/// The answers from lifetimes, each by every method; `first`: the restricted mean is that of so much.
///
/// # Errors
/// There are more of them than can be counted.
pub fn of_lifetimes(
    question: &'static str,
    scope: &str,
    unit: &'static str,
    first: Option<f64>,
    lifetimes: &[Lifetime],
) -> anyhow::Result<Vec<Answer>> {
    let failed = lifetimes.iter().filter(|l| l.has_failed()).count();
    let exposure: f64 = lifetimes.iter().map(|l| l.length).sum();
    let weibull = || -> Found {
        let fit = Weibull::fit(lifetimes)?;
        let note = format!("shape {:.4}, scale {:.4} {unit}", fit.shape(), fit.scale());
        Ok(of_estimate(fit.mean, Some(note)))
    };
    let between = || -> Found {
        let between = MeanBetween::of(failed as u64, exposure)?;
        Ok((between.mean, Some((between.low, between.high)), None))
    };
    let restricted = || -> Found {
        let curve = KaplanMeier::of(lifetimes)?;
        let until = first.unwrap_or(curve.longest());
        let note = format!("of the first {until:.3} {unit}");
        Ok(of_estimate(curve.restricted_mean(until)?, Some(note)))
    };
    let median = || -> Found {
        let curve = KaplanMeier::of(lifetimes)?;
        let median = curve.median().ok_or_else(|| {
            Invalid::new(
                "lifetimes",
                format!("{failed} of {} failed", lifetimes.len()),
                "more than half went on for longer than was observed",
                "observe longer",
            )
        })?;
        Ok((median, None, None))
    };
    let (events, censored) = (
        i64::try_from(failed)?,
        i64::try_from(lifetimes.len() - failed)?,
    );
    let methods: [(&'static str, &'static str, Found); 4] = [
        ("mean", "Weibull, maximum likelihood", weibull()),
        ("mean", "constant rate", between()),
        ("restricted mean", "Kaplan-Meier", restricted()),
        ("median", "Kaplan-Meier", median()),
    ];
    Ok(methods
        .into_iter()
        .map(|(measure, method, found)| {
            let (found, note) = match found {
                Ok((value, limits, note)) => (Ok((value, limits)), note),
                Err(invalid) => (Err(invalid.to_string()), None),
            };
            Answer {
                question,
                scope: scope.to_owned(),
                measure,
                method,
                unit,
                found,
                note,
                events,
                censored: Some(censored),
                exposure: Some(exposure),
            }
        })
        .collect())
}

async fn write(transaction: &Transaction<'_>, answers: &[Answer]) -> anyhow::Result<()> {
    let row = transaction
        .query_one("SELECT as_of FROM analysts.run", &[])
        .await?;
    let as_of: Timestamp = row.try_get(0)?;
    transaction
        .batch_execute("DELETE FROM analysts.answers")
        .await?;
    let copied = Copied {
        table: "analysts.answers",
        columns: &[
            ("question", Type::TEXT),
            ("scope", Type::TEXT),
            ("measure", Type::TEXT),
            ("method", Type::TEXT),
            ("unit", Type::TEXT),
            ("estimate", Type::FLOAT8),
            ("low", Type::FLOAT8),
            ("high", Type::FLOAT8),
            ("note", Type::TEXT),
            ("events", Type::INT8),
            ("censored", Type::INT8),
            ("exposure", Type::FLOAT8),
            ("as_of", Type::TIMESTAMPTZ),
        ],
    };
    let rows = answers.iter().map(|answer| (answer, answer.told()));
    copied
        .copy(
            transaction,
            copied.table,
            rows,
            |(answer, (estimate, limits, note))| {
                vec![
                    &answer.question,
                    &answer.scope,
                    &answer.measure,
                    &answer.method,
                    &answer.unit,
                    estimate,
                    &limits.0,
                    &limits.1,
                    note,
                    &answer.events,
                    &answer.censored,
                    &answer.exposure,
                    &as_of,
                ]
            },
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lifetimes: &[Lifetime]) -> Vec<Answer> {
        of_lifetimes("engine", "all", "km", None, lifetimes).unwrap()
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        for answer in of(&[]) {
            assert!(answer.found.is_err(), "{answer:?}");
        }
        let answers = of(&[Lifetime::censored(10.0), Lifetime::censored(20.0)]);
        let found = |measure, method: &str| {
            let mut all = answers.iter();
            all.find(|a| a.measure == measure && a.method == method)
                .unwrap()
        };
        assert!(found("mean", "Weibull, maximum likelihood").found.is_err());
        // None has failed: of the first 20 km all have driven all.
        assert!(found("restricted mean", "Kaplan-Meier").found.is_ok());
        assert_eq!(found("median", "Kaplan-Meier").censored, Some(2));
    }
}
