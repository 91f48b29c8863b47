//! Hires out of PostgreSQL: figures of vehicles stay, and name no hire.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::Removed;

/// What is done to which table, where it is there. `$1` are the hires. Weeks keep their rows, by names that stand for nobody:
/// the sums of a vehicle's week stay what they were.
const CHANGES: [(&str, &str, &str); 4] = [
    (
        "millrace.trip_scores",
        "UPDATE millrace.trip_scores SET hire = NULL WHERE hire = ANY ($1)",
        "rows stay and name no hire",
    ),
    (
        "millrace.hire_scores",
        "DELETE FROM millrace.hire_scores WHERE hire = ANY ($1)",
        "rows removed",
    ),
    (
        "millrace.hire_scores_untold",
        "DELETE FROM millrace.hire_scores_untold WHERE hire = ANY ($1)",
        "rows removed",
    ),
    (
        "millrace.week_scores",
        "UPDATE millrace.week_scores SET hire = 'erased-' || md5(random()::text || clock_timestamp()::text) WHERE hire = ANY ($1)",
        "rows stay under a name that stands for nobody",
    ),
];

/// All of it or nothing.
pub(super) async fn erase(
    client: &mut Client,
    hires: &BTreeSet<String>,
) -> anyhow::Result<Vec<Removed>> {
    let hires: Vec<&str> = hires.iter().map(String::as_str).collect();
    let transaction = client.transaction().await?;
    let mut removed = Vec::new();
    for (table, change, how) in CHANGES {
        let there = transaction
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])
            .await?;
        if there.try_get::<_, bool>(0)? {
            let count = transaction.execute(change, &[&hires]).await?;
            removed.push(Removed {
                place: format!("postgresql: {table}"),
                count,
                how,
            });
        }
    }
    transaction.commit().await?;
    Ok(removed)
}
