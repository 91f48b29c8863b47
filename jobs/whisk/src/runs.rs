//! Runs of actions, told to a gateway, which writes them into the topic `audit`: who, what, and how it ended. What actions are
//! given and answer is not told.
//!
//! What has ended waits in memory and is sent in batches until the gateway has taken it; a stop waits for that, for some
//! seconds. What waits when this process is killed is lost to the topic; the record of the activation is not. What is cut off
//! by that is told at the next start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use millrace_contract::TraceParent;
use millrace_contract::audit::Run;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::activation::Activation;
use crate::metrics::Metrics;

/// So many wait at most: some minutes of a busy server.
const MOST: usize = 20_000;
/// So many are sent at once.
const BATCH: usize = 200;
/// Those that end within this time go together.
const TOGETHER: Duration = Duration::from_millis(250);
/// A gateway has so long to answer: longer than it waits for Kafka itself, a minute where its login changes meanwhile.
const PATIENCE: Duration = Duration::from_secs(75);
/// Between two tries, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Where runs are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTo {
    /// The gateway, `http://host:port`.
    pub gateway: String,
    /// A file with its `activations-token`. It is read for each batch: a new one is used at once.
    pub token_file: PathBuf,
}

/// A run that has ended.
#[derive(Debug, Clone, Serialize)]
struct Ended {
    time: Timestamp,
    #[serde(flatten)]
    run: Run,
}

/// Runs that wait to be told.
#[derive(Debug)]
pub struct Runs {
    /// Nothing more is taken once it is gone.
    sender: Mutex<Option<mpsc::Sender<Ended>>>,
    closing: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// Runs on their way to the gateway.
pub struct Teller {
    to: ToldTo,
    ended: mpsc::Receiver<Ended>,
    closing: watch::Receiver<bool>,
    client: reqwest::Client,
    metrics: Arc<Metrics>,
}

impl Runs {
    /// Runs, and who tells them.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(to: ToldTo, metrics: &Arc<Metrics>) -> Result<(Self, Teller), reqwest::Error> {
        let (sender, ended) = mpsc::channel(MOST);
        let (close, closing) = watch::channel(false);
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // The gateway is in the cluster; a proxy of the environment does not know it.
            .no_proxy()
            .build()?;
        let runs = Self {
            sender: Mutex::new(Some(sender)),
            closing: close,
            metrics: Arc::clone(metrics),
        };
        let teller = Teller {
            to,
            ended,
            closing,
            client,
            metrics: Arc::clone(metrics),
        };
        Ok((runs, teller))
    }

    /// An action ran. Where too many wait, this one is not told, and counted.
    pub fn note(&self, record: &Activation, trace: Option<String>) {
        let ended = Ended {
            time: Timestamp::from_millisecond(record.ended()).unwrap_or_default(),
            run: Run {
                subject: record.subject.clone(),
                action_name: record.path().unwrap_or(&record.name).to_owned(),
                activation: record.activation_id.clone(),
                status: record.response.status.label().to_owned(),
                trace,
            },
        };
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(ended).is_ok());
        if !taken {
            self.metrics.runs_untold.inc();
        }
    }

    /// Takes nothing more; what waits is told yet, and at once.
    pub fn close(&self) {
        // Fails only when nobody tells any more.
        let _ = self.closing.send(true);
        drop(
            self.sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

/// The trace of the event that an action runs for, if its input names one: `cloudevent.traceparent` as dispatch gives it, or
/// `traceparent` as actions hand it on.
#[must_use]
pub fn trace(input: &Value) -> Option<String> {
    let of_event = input.pointer("/cloudevent/traceparent");
    let told = of_event.or_else(|| input.get("traceparent"))?.as_str()?;
    told.parse::<TraceParent>().ok().map(TraceParent::trace_id)
}

impl Teller {
    /// Tells all that ends, until nothing more can come.
    pub async fn tell(mut self) {
        while let Some(first) = self.ended.recv().await {
            if self.ended.len() < BATCH && !self.is_ending() {
                tokio::time::sleep(TOGETHER).await;
            }
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.ended.try_recv()
            {
                batch.push(next);
            }
            let mut parts = vec![&batch[..]];
            while let Some(part) = parts.pop() {
                parts.extend(self.tell_part(part).await.into_iter().flatten());
            }
        }
    }

    /// Tells a part of what ended, until it is taken. Gives its halves when it was not read as a whole.
    async fn tell_part<'a>(&self, batch: &'a [Ended]) -> Option<[&'a [Ended]; 2]> {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let mut wait = AGAIN.0;
        loop {
            let problem = match self.post(batch).await {
                Ok(status) if status.is_success() => {
                    self.metrics.runs_told.inc_by(count);
                    return None;
                }
                // Too large, or one of them is at fault. It will not read them at another time either.
                Ok(status) if matches!(status.as_u16(), 400 | 413) && batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    return Some([second, first]);
                }
                Ok(status) if matches!(status.as_u16(), 400 | 413) => {
                    tracing::error!(%status, count, "the gateway does not read what ran");
                    self.metrics.runs_untold.inc_by(count);
                    return None;
                }
                Ok(status) => format!("it answers {status}"),
                Err(problem) => problem,
            };
            tracing::warn!(
                gateway = self.to.gateway,
                problem,
                count,
                "what ran is told again"
            );
            self.pause(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    /// Whether nothing more can come.
    fn is_ending(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }

    /// Waits for the next try. At the end there is little time left: the next one is made at once, and further ones soon.
    async fn pause(&self, wait: Duration) {
        if self.is_ending() {
            return tokio::time::sleep(wait.min(AGAIN.0)).await;
        }
        let mut closing = self.closing.clone();
        let ending = async {
            // An error means that nobody is there to close it, which is an end too.
            let _ = closing.wait_for(|closing| *closing).await;
        };
        // Whichever comes first.
        let _ = tokio::time::timeout(wait, ending).await;
    }

    async fn post(&self, batch: &[Ended]) -> Result<reqwest::StatusCode, String> {
        let token = token(&self.to.token_file).await?;
        let url = format!("{}/v1/activations", self.to.gateway);
        let answer = self
            .client
            .post(url)
            .bearer_auth(token)
            .json(&json!({ "activations": batch }))
            .send()
            .await;
        answer
            .map(|answer| answer.status())
            .map_err(|error| error.without_url().to_string())
    }
}

async fn token(file: &Path) -> Result<String, String> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|error| format!("--audit-token-file {}: {error}", file.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::tests::activation;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_trace_is_that_of_the_event() {
        let id = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        let of = |input: Value| trace(&input);
        assert_eq!(of(json!({"cloudevent": {"traceparent": TRACE}})), id);
        assert_eq!(of(json!({"traceparent": TRACE})), id);
        // Whatever else stands there is not told.
        assert_eq!(of(json!({"traceparent": "ada@example.org"})), None);
        assert_eq!(of(json!({"traceparent": 1})), None);
        assert_eq!(of(json!([1])), None);
    }

    #[test]
    fn who_what_and_how_it_ended_and_nothing_else() {
        let to = ToldTo {
            gateway: "http://g".into(),
            token_file: "/none".into(),
        };
        let metrics = Arc::new(Metrics::default());
        let (runs, mut teller) = Runs::new(to, &metrics).unwrap();
        runs.note(&activation("i", 5), None);
        let ended = teller.ended.try_recv().unwrap();
        assert_eq!(
            json!(ended),
            json!({"time": "1970-01-01T00:00:00.006Z", "subject": "guest", "action_name": "guest/echo",
                "activation": "i", "status": "success"})
        );
        assert_eq!(metrics.runs_untold.get(), 0);
        assert!(!teller.is_ending());
        runs.close();
        assert!(teller.is_ending());
        runs.note(&activation("i", 5), None);
        assert_eq!(metrics.runs_untold.get(), 1);
    }

    #[tokio::test]
    async fn the_end_cuts_a_long_wait_short() {
        let to = ToldTo {
            gateway: "http://g".into(),
            token_file: "/none".into(),
        };
        let (runs, teller) = Runs::new(to, &Arc::new(Metrics::default())).unwrap();
        // Nothing is measured: a wait that is not cut short lasts an hour.
        let wait = teller.pause(Duration::from_secs(3600));
        tokio::join!(wait, async { runs.close() });
        assert!(teller.is_ending());
    }
}
