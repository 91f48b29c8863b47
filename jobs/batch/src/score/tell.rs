//! Of which hires of a day the score is to be told.

use std::collections::HashMap;

use jiff::civil::Date;
use tokio_postgres::Transaction;

/// Of which hires of a day the score is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// Of none: nobody hears of scores.
    Nothing,
    /// Of those whose score is another one than before.
    Changed,
    /// Of all.
    All,
}

/// What is told of a hire: score, distance in m, trips, first and last day.
pub(super) type Known = (Option<f64>, f64, i64, Date, Date);

/// What is known of these hires, of those that have a score.
///
/// # Errors
/// PostgreSQL fails.
pub(super) async fn known(
    transaction: &Transaction<'_>,
    hires: &[String],
) -> anyhow::Result<HashMap<String, Known>> {
    let rows = transaction
        .query(
            "SELECT hire, score, distance_m, trips, first_day, last_day FROM millrace.hire_scores WHERE hire = ANY ($1)",
            &[&hires],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (score, distance, trips) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let (first_day, last_day) = (row.try_get(4)?, row.try_get(5)?);
            let known: Known = (score, distance, trips, first_day, last_day);
            Ok((row.try_get(0)?, known))
        })
        .collect()
}

/// Whether a hire's score is another one than before. Sums in another order differ in their last digits, and that is none.
pub(super) fn is_new(before: Option<&Known>, now: Option<&Known>) -> bool {
    let near = |one: f64, other: f64| (one - other).abs() < 1e-6 * one.abs().max(1.0);
    match (before, now) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(now)) => {
            let is_same_score = match (before.0, now.0) {
                (Some(before), Some(now)) => near(before, now),
                (before, now) => before == now,
            };
            let counts = |known: &Known| (known.2, known.3, known.4);
            !is_same_score || !near(before.1, now.1) || counts(before) != counts(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn only_a_score_that_is_another_one_is_new() {
        let day = date(2026, 11, 1);
        let known: Known = (Some(90.0), 12_000.0, 2, day, day);
        let is_new = |now: Known| is_new(Some(&known), Some(&now));
        assert!(!is_new(known));
        // The same in another order.
        assert!(!is_new((
            Some(90.000_000_000_1),
            12_000.000_000_1,
            2,
            day,
            day
        )));
        for now in [
            (Some(90.1), 12_000.0, 2, day, day),
            (None, 12_000.0, 2, day, day),
            (Some(90.0), 12_001.0, 2, day, day),
            (Some(90.0), 12_000.0, 3, day, day),
            (Some(90.0), 12_000.0, 2, day, date(2026, 11, 2)),
        ] {
            assert!(is_new(now), "{now:?}");
        }
        assert!(super::is_new(None, Some(&known)));
        // It is gone: nothing can be told.
        assert!(!super::is_new(Some(&known), None));
    }
}
