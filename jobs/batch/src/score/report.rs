//! Scores of hires to whoever acts on them: told to the gateway after they are in PostgreSQL, until it has taken them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use millrace_contract::driver::HireScore;
use millrace_settings::{Secret, SettingsError};
use reqwest::StatusCode;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// So many scores are told at once.
const BATCH: i64 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);
/// Waits between attempts at one batch, in seconds: what is not told by then is told by the next run.
const WAITS: [u64; 4] = [1, 5, 15, 30];
/// Answers that refuse a body for what is in it: too many scores, or one that cannot be. Without those it may be taken.
const OF_CONTENT: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

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
#[derive(Debug)]
struct Untold {
    score: HireScore,
    since: Timestamp,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Sent<'a> {
    taken: Vec<&'a Untold>,
    /// With what the gateway said to each alone.
    refused: Vec<(&'a Untold, String)>,
    /// Why those that are neither were not taken.
    failed: Option<anyhow::Error>,
}

impl Report {
    /// Tells all scores that were not told yet, those last that were refused before. What was told is told again when the process
    /// ends before it is written down: whoever hears of scores has to bear that.
    ///
    /// # Errors
    /// PostgreSQL fails, or the gateway does not take them; then the next run tells them. Or it refuses some for what is in them:
    /// all others are told then, and these stay untold, with the reason.
    pub async fn tell(&self, client: &Client) -> anyhow::Result<usize> {
        let mut told = 0;
        // They are not asked for again in this run.
        let mut refused: Vec<String> = Vec::new();
        let mut why = None;
        loop {
            let batch = untold(client, &refused).await?;
            if batch.is_empty() {
                break;
            }
            let sent = self.deliver(&batch).await;
            forget(client, &sent.taken).await?;
            told += sent.taken.len();
            keep(client, &sent.refused).await?;
            for (untold, said) in sent.refused {
                refused.push(untold.score.hire.clone());
                why.get_or_insert(said);
            }
            if let Some(error) = sent.failed {
                return Err(error);
            }
        }
        let Some(why) = why else {
            return Ok(told);
        };
        anyhow::bail!(
            "{}: scores refused: {}, others told: {told}; the first refusal: {why}; the column refused of millrace.hire_scores_untold \
             says which and why: mend what it says, or delete the row there, since each run sends them again",
            self.url,
            refused.len()
        )
    }

    /// Sends a batch. What is refused for what is in it is sent again in halves, down to single scores: so neither too many at once nor
    /// one that cannot be holds up the others.
    async fn deliver<'a>(&self, batch: &'a [Untold]) -> Sent<'a> {
        let mut sent = Sent::default();
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match (self.send(part).await, part) {
                (Ok(None), _) => sent.taken.extend(part),
                (Ok(Some(said)), [one]) => sent.refused.push((one, said)),
                (Ok(Some(_)), _) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                (Err(error), _) => {
                    sent.failed = Some(error);
                    break;
                }
            }
        }
        sent
    }

    // None where they are taken, else what the gateway said of what is in them.
    async fn send(&self, batch: &[Untold]) -> anyhow::Result<Option<String>> {
        let scores: Vec<&HireScore> = batch.iter().map(|untold| &untold.score).collect();
        let body = serde_json::to_vec(&scores)?;
        let mut waits = WAITS.into_iter();
        loop {
            let request = self.client.post(&self.url).bearer_auth(self.token.expose());
            let sent = request.timeout(PATIENCE).body(body.clone()).send().await;
            let problem = match sent {
                Ok(answer) if answer.status().is_success() => return Ok(None),
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    let text: String = text.chars().take(300).collect();
                    let said = format!("{status}: {text}");
                    if OF_CONTENT.contains(&status) {
                        return Ok(Some(said));
                    }
                    let is_final =
                        status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
                    anyhow::ensure!(!is_final, "{}: {said}", self.url);
                    said
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

// But for those of these hires.
async fn untold(client: &Client, but: &[String]) -> anyhow::Result<Vec<Untold>> {
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
            // Former versions rounded some to a little more than 100.
            "SELECT h.hire, least(h.score, 100), h.distance_m / 1000, h.trips, h.first_day, h.last_day, u.since
             FROM millrace.hire_scores_untold u JOIN millrace.hire_scores h USING (hire)
             WHERE h.score IS NOT NULL AND h.hire <> ALL ($2)
             ORDER BY u.refused IS NOT NULL, u.since, h.hire LIMIT $1",
            &[&BATCH, &but],
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
async fn forget(client: &Client, taken: &[&Untold]) -> anyhow::Result<()> {
    let (hires, since) = keys(taken.iter().copied());
    let values: [&(dyn ToSql + Sync); 2] = [&hires, &since];
    client
        .execute(
            "DELETE FROM millrace.hire_scores_untold u USING unnest($1::text[], $2::timestamptz[]) AS t (hire, since)
             WHERE u.hire = t.hire AND u.since = t.since",
            &values,
        )
        .await?;
    Ok(())
}

// One that has changed meanwhile is another one.
async fn keep(client: &Client, refused: &[(&Untold, String)]) -> anyhow::Result<()> {
    let (hires, since) = keys(refused.iter().map(|(untold, _)| *untold));
    let said: Vec<&str> = refused.iter().map(|(_, said)| said.as_str()).collect();
    let values: [&(dyn ToSql + Sync); 3] = [&hires, &since, &said];
    client
        .execute(
            "UPDATE millrace.hire_scores_untold u SET refused = t.said
             FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS t (hire, since, said)
             WHERE u.hire = t.hire AND u.since = t.since",
            &values,
        )
        .await?;
    Ok(())
}

fn keys<'a>(scores: impl Iterator<Item = &'a Untold>) -> (Vec<&'a str>, Vec<Timestamp>) {
    scores
        .map(|untold| (untold.score.hire.as_str(), untold.since))
        .unzip()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::routing::post;
    use jiff::civil::date;
    use tokio::net::TcpListener;

    use super::*;

    fn untold(hire: &str, score: f64) -> Untold {
        let score = HireScore {
            hire: hire.to_owned(),
            score,
            distance_km: 12.5,
            trips: 2,
            first_day: date(2026, 11, 1),
            last_day: date(2026, 11, 2),
            scored_at: Timestamp::UNIX_EPOCH,
        };
        Untold {
            score,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    /// How many scores bodies had, and what was answered.
    type Answered = Arc<Mutex<Vec<(usize, StatusCode)>>>;

    /// The way to a gateway that takes so many scores at once, and all of a body or none.
    async fn gateway(most: usize) -> (Report, Answered) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/hire-scores", listener.local_addr().unwrap());
        let answered = Answered::default();
        let log = Arc::clone(&answered);
        let take = move |body: String| async move {
            let scores: Vec<HireScore> = serde_json::from_str(&body).unwrap();
            let of = |wrong: &HireScore| wrong.validate().unwrap_err().to_string();
            let wrong = scores.iter().find(|score| score.validate().is_err());
            let (status, said) = match wrong {
                _ if scores.len() > most => (StatusCode::BAD_REQUEST, "too many".to_owned()),
                Some(wrong) => (StatusCode::BAD_REQUEST, of(wrong)),
                None if scores.iter().any(|score| score.hire == "forbidden") => {
                    (StatusCode::FORBIDDEN, String::new())
                }
                None => (StatusCode::OK, String::new()),
            };
            log.lock().unwrap().push((scores.len(), status));
            (status, said)
        };
        let app = Router::new().route("/v1/hire-scores", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let report = Report {
            client: reqwest::Client::new(),
            url,
            token: Secret::new("secret"),
        };
        (report, answered)
    }

    fn hires(sent: &[&Untold]) -> Vec<String> {
        let hires = sent.iter().map(|untold| untold.score.hire.clone());
        hires.collect()
    }

    #[tokio::test]
    async fn one_that_cannot_be_holds_up_no_other() {
        let (report, answered) = gateway(1000).await;
        let mut batch: Vec<Untold> = (0..10).map(|n| untold(&n.to_string(), 90.0)).collect();
        batch[6].score.score = 100.5;
        let sent = report.deliver(&batch).await;
        assert!(sent.failed.is_none(), "{sent:?}");
        let others = ["0", "1", "2", "3", "4", "5", "7", "8", "9"];
        assert_eq!(hires(&sent.taken), others);
        let [(refused, said)] = sent.refused.as_slice() else {
            panic!("{sent:?}");
        };
        assert_eq!(refused.score.hire, "6");
        assert!(said.contains("400") && said.contains("score"), "{said}");
        // Halves of halves, and not each one alone.
        assert_eq!(answered.lock().unwrap().len(), 7);
    }

    #[tokio::test]
    async fn too_many_at_once_are_told_in_several_bodies() {
        let (report, answered) = gateway(3).await;
        let batch: Vec<Untold> = (0..10).map(|n| untold(&n.to_string(), 90.0)).collect();
        let sent = report.deliver(&batch).await;
        assert!(sent.failed.is_none() && sent.refused.is_empty(), "{sent:?}");
        assert_eq!(sent.taken.len(), batch.len());
        let answered = answered.lock().unwrap();
        let taken = answered
            .iter()
            .filter(|(_, status)| *status == StatusCode::OK);
        assert!(taken.clone().all(|(length, _)| *length <= 3));
        assert_eq!(taken.map(|(length, _)| length).sum::<usize>(), 10);
    }

    #[tokio::test]
    async fn a_gateway_that_lets_nobody_in_is_not_asked_for_each() {
        let (report, answered) = gateway(2).await;
        let batch = ["0", "1", "forbidden", "3"].map(|hire| untold(hire, 90.0));
        let sent = report.deliver(&batch).await;
        let told = sent.failed.unwrap().to_string();
        assert!(told.contains("403"), "{told}");
        // What it took before stays told.
        assert_eq!(hires(&sent.taken), ["0", "1"]);
        assert!(sent.refused.is_empty());
        assert_eq!(answered.lock().unwrap().len(), 3);
    }

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
