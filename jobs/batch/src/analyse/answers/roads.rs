//! Question 4: breakdowns by kind of road, and how those on highways compare with those on village roads.

use std::collections::BTreeMap;

use millrace_analytics::survival::{CONFIDENCE, Rate, RateRatio};
use tokio_postgres::Transaction;

use super::{Answer, of_rate};

/// The rates of all kinds of roads, and the ratio.
///
/// # Errors
/// PostgreSQL fails.
pub(super) async fn answers(transaction: &Transaction<'_>) -> anyhow::Result<Vec<Answer>> {
    let rows = transaction
        .query(
            "SELECT road, km, breakdowns FROM analysts.road_rates ORDER BY road",
            &[],
        )
        .await?;
    let mut answers = Vec::new();
    let mut rates: BTreeMap<String, Rate> = BTreeMap::new();
    let mut all = 0;
    for row in rows {
        let road: String = row.try_get(0)?;
        let (km, breakdowns): (f64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let rate = Rate::of(u64::try_from(breakdowns)?, km / 1000.0);
        if let Ok(rate) = &rate {
            rates.insert(road.clone(), *rate);
        }
        if road == "highway" || road == "village" {
            all += breakdowns;
        }
        answers.push(Answer {
            question: "roads",
            scope: road,
            measure: "per 1000 km",
            method: "Garwood",
            unit: "1/1000 km",
            found: of_rate(rate),
            note: None,
            events: breakdowns,
            censored: None,
            exposure: Some(km / 1000.0),
        });
    }
    answers.push(ratio(rates.get("highway"), rates.get("village"), all));
    Ok(answers)
}

/// How much more often vehicles break down on highways than on village roads, from the rates of both where something was driven on
/// them; `events`: the breakdowns of both.
fn ratio(highway: Option<&Rate>, village: Option<&Rate>, events: i64) -> Answer {
    let mut note = None;
    let found = match (highway, village) {
        (Some(highway), Some(village)) => match RateRatio::of(highway, village) {
            Ok(ratio) => {
                note = (village.events == 0).then(|| above(&ratio, highway));
                Ok((ratio.ratio, Some((ratio.low, ratio.high))))
            }
            Err(invalid) => Err(invalid.to_string()),
        },
        _ => Err(
            "nothing is known to have been driven on one of them: fill the table road_stretches"
                .to_owned(),
        ),
    };
    Answer {
        question: "roads",
        scope: "highway / village".to_owned(),
        measure: "ratio",
        method: "Clopper-Pearson",
        unit: "1",
        found,
        note,
        events,
        censored: None,
        exposure: None,
    }
}

// The lower limit of the two holds by itself, with half of the doubt.
fn above(ratio: &RateRatio, highway: &Rate) -> String {
    format!(
        "{} breakdowns on highways and none on village roads: the ratio has no upper limit and cannot be estimated; it is above {:.6} \
         with {:.1} % confidence",
        highway.events,
        ratio.low,
        50.0 * (1.0 + CONFIDENCE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(highway: (u64, f64), village: (u64, f64)) -> Answer {
        let rate = |(events, exposure)| Rate::of(events, exposure).ok();
        ratio(rate(highway).as_ref(), rate(village).as_ref(), 0)
    }

    #[test]
    fn without_an_estimate_there_is_a_note() {
        let both = of((5, 4.0), (4, 4.0));
        let (estimate, (low, high), note) = both.told();
        assert_eq!((estimate, note), (Some(1.25), None));
        assert!(low.unwrap() < 1.25 && high.unwrap() > 1.25, "{both:?}");
        // None on one side is a ratio of 0, with an upper limit.
        let fewer = of((0, 4.0), (4, 4.0));
        let (estimate, (low, high), note) = fewer.told();
        assert_eq!((estimate, low, note), (Some(0.0), Some(0.0), None));
        assert!(high.is_some(), "{fewer:?}");
        // None on the other is one without: the lower limit is all that can be told.
        let more = of((5, 4.0), (0, 4.0));
        let (estimate, (low, high), note) = more.told();
        assert_eq!((estimate, high), (None, None));
        // Beta(5, 1) at 2.5 % is 0.025 to the power of 1/5; solved for the ratio at equal exposures.
        let p = 0.025_f64.powf(0.2);
        let low = low.unwrap();
        assert!((low - p / (1.0 - p)).abs() < 1e-6, "{low}");
        let note = note.unwrap();
        assert!(
            note.contains(&format!("above {low:.6}")) && note.contains("97.5 %"),
            "{note}"
        );
        for nothing in [of((0, 4.0), (0, 4.0)), of((5, 0.0), (4, 4.0))] {
            let (estimate, limits, note) = nothing.told();
            assert_eq!((estimate, limits), (None, (None, None)));
            assert!(note.is_some(), "{nothing:?}");
        }
    }
}
