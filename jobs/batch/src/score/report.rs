//! Scores of hires to whoever acts on them: told to the gateway after they are in PostgreSQL, until it has taken them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use millrace_contract::driver::HireScore;
use millrace_settings::{Secret, SettingsError};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// So many scores are told at once.
const BATCH: i64 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);
/// Waits between attempts at one batch, in seconds: what is not told by then is told by the next run.
const WAITS: [u64; 4] = [1, 5, 15, 30];

/// Flags that say whom scores are told to.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ReportArgs {
    /// The gateway that hears of each hire's new score, for example http://platform-gateway-internal:8080; nobody hears of them when absent
    #[arg(long, env = "MILLRACE_REPORT_TO", value_name = "URL")]
    pub report_to: Option<String>,
    /// File with the gateway's events-token
    #[arg(long, env = "MILLRACE_REPORT_TOKEN_FILE", value_name = "FILE")]
    pub report_token_file: Option<PathBuf>,
}

/// Whom scores are told to.
#[derive(Debug)]
pub struct Report {
    client: reqwest::Client,
    url: String,
    token: Secret,
}

impl ReportArgs {
    /// Puts address and token together; none where nobody is to hear of scores.
    ///
    /// # Errors
    /// The address is none, or the token cannot be read.
    pub fn open(&self) -> Result<Option<Report>, SettingsError> {
        let Some(url) = &self.report_to else {
            return Ok(None);
        };
        if !url.starts_with("http://") {
            return Err(SettingsError::Unusable {
                name: "report-to".to_owned(),
                problem: format!("{url} is no http:// address"),
                cure: "give the gateway's address inside the cluster".to_owned(),
            });
        }
        let Some(file) = &self.report_token_file else {
            return Err(SettingsError::Missing {
                name: "report-token-file".to_owned(),
                cure: "give the file with the gateway's events-token".to_owned(),
            });
        };
        Ok(Some(Report {
            client: reqwest::Client::new(),
            url: format!("{}/v1/hire-scores", url.trim_end_matches('/')),
            token: Secret::from_file(file)?,
        }))
    }
}

/// A score that was not told yet, and since when.
struct Untold {
    score: HireScore,
    since: Timestamp,
}

impl Report {
    /// Tells all scores that were not told yet. What was told is told again when the process ends before it is written down:
    /// whoever hears of scores has to bear that.
    ///
    /// # Errors
    /// PostgreSQL fails, or the gateway does not take them; then the next run tells them.
    pub async fn tell(&self, client: &Client) -> anyhow::Result<usize> {
        let mut told = 0;
        loop {
            let batch = untold(client).await?;
            if batch.is_empty() {
                return Ok(told);
            }
            let scores: Vec<&HireScore> = batch.iter().map(|untold| &untold.score).collect();
            self.send(&scores).await?;
            told += batch.len();
            forget(client, &batch).await?;
        }
    }

    async fn send(&self, scores: &[&HireScore]) -> anyhow::Result<()> {
        let body = serde_json::to_vec(scores)?;
        let mut waits = WAITS.into_iter();
        loop {
            let request = self.client.post(&self.url).bearer_auth(self.token.expose());
            let sent = request.timeout(PATIENCE).body(body.clone()).send().await;
            let problem = match sent {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    let text: String = text.chars().take(300).collect();
                    let is_final = status.is_client_error()
                        && status != reqwest::StatusCode::TOO_MANY_REQUESTS;
                    anyhow::ensure!(!is_final, "{}: {status}: {text}", self.url);
                    format!("{status}: {text}")
                }
                Err(error) => error.to_string(),
            };
            let Some(wait) = waits.next() else {
                anyhow::bail!("{}: {problem}; the next run tells them", self.url);
            };
            tracing::warn!(problem, "scores are not told; trying again");
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }
}

async fn untold(client: &Client) -> anyhow::Result<Vec<Untold>> {
    // A hire that has no score any more is nothing to be told of.
    client
        .execute(
            "DELETE FROM millrace.hire_scores_untold u WHERE NOT EXISTS
               (SELECT FROM millrace.hire_scores h WHERE h.hire = u.hire AND h.score IS NOT NULL)",
            &[],
        )
        .await?;
    let rows = client
        .query(
            "SELECT h.hire, h.score, h.distance_m / 1000, h.trips, h.first_day, h.last_day, u.since
             FROM millrace.hire_scores_untold u JOIN millrace.hire_scores h USING (hire)
             WHERE h.score IS NOT NULL ORDER BY u.since, h.hire LIMIT $1",
            &[&BATCH],
        )
        .await
        .context("scores that are not told yet")?;
    rows.iter()
        .map(|row| {
            let (first_day, last_day): (Date, Date) = (row.try_get(4)?, row.try_get(5)?);
            let since = row.try_get(6)?;
            let score = HireScore {
                hire: row.try_get(0)?,
                score: row.try_get(1)?,
                distance_km: row.try_get(2)?,
                trips: u32::try_from(row.try_get::<_, i64>(3)?)?,
                first_day,
                last_day,
                scored_at: since,
            };
            Ok(Untold { score, since })
        })
        .collect()
}

// One that has changed meanwhile stays.
async fn forget(client: &Client, batch: &[Untold]) -> anyhow::Result<()> {
    let hires: Vec<&str> = batch
        .iter()
        .map(|untold| untold.score.hire.as_str())
        .collect();
    let since: Vec<Timestamp> = batch.iter().map(|untold| untold.since).collect();
    let keys: [&(dyn ToSql + Sync); 2] = [&hires, &since];
    client
        .execute(
            "DELETE FROM millrace.hire_scores_untold u USING unnest($1::text[], $2::timestamptz[]) AS t (hire, since)
             WHERE u.hire = t.hire AND u.since = t.since",
            &keys,
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_to_tell_says_whom_and_by_what_right() {
        let open = |to: Option<&str>, file: Option<PathBuf>| {
            let args = ReportArgs {
                report_to: to.map(str::to_owned),
                report_token_file: file,
            };
            args.open()
                .map(|report| report.is_some())
                .map_err(|e| e.to_string())
        };
        assert_eq!(open(None, None), Ok(false));
        assert!(
            open(Some("https://g"), None)
                .unwrap_err()
                .contains("report-to")
        );
        assert!(
            open(Some("http://g"), None)
                .unwrap_err()
                .contains("report-token-file")
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "secret\n").unwrap();
        assert_eq!(open(Some("http://g/"), Some(file)), Ok(true));
    }
}
