//! The gateway's HTTP side, as replay needs it.

use std::path::Path;
use std::time::Duration;

use millrace_contract::{InboundEvent, Telemetry, codec};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::error::DriveError;
use crate::gateway::flow::Flow;
use crate::settings::Secret;

const REQUEST: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A client of one gateway.
#[derive(Debug, Clone)]
pub struct Rest {
    base: String,
    admin: Secret,
    client: reqwest::Client,
    patience: Duration,
}

/// What became of a batch.
#[derive(Debug, Default, Deserialize)]
pub struct Taken {
    /// Events accepted.
    pub accepted: usize,
    /// The others, with reasons.
    #[serde(default)]
    pub rejected: Vec<Value>,
}

impl Rest {
    /// A client of the gateway at `base`, which may be away for at most `patience` at a time.
    ///
    /// # Errors
    /// When the token cannot be read or the URL is none.
    pub fn new(base: &str, admin_token: &Path, patience: Duration) -> Result<Self, DriveError> {
        let admin = Secret::from_file(admin_token)?;
        if !base.starts_with("http://") {
            return Err(DriveError::Option(format!(
                "--gateway-http: {base}: is not a plain HTTP address; write for example http://127.0.0.1:8080"
            )));
        }
        let client = reqwest::Client::builder()
            .timeout(REQUEST)
            .build()
            .map_err(|e| DriveError::Option(format!("HTTP client: {e}")))?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            admin,
            client,
            patience,
        })
    }

    /// Enrols a vehicle, or gives it a new token.
    ///
    /// # Errors
    /// When the gateway refuses or stays away.
    pub async fn enrol(&self, vehicle: &str) -> Result<Secret, DriveError> {
        let url = format!("{}/v1/vehicles/{vehicle}", self.base);
        let answer = self
            .repeat("enrol", || {
                self.client.put(&url).bearer_auth(self.admin.expose())
            })
            .await?;
        match answer.get("token").and_then(Value::as_str) {
            Some(token) => Ok(Secret::new(token)),
            None => Err(DriveError::Answer {
                what: "enrol",
                answer: "no token".to_owned(),
            }),
        }
    }

    /// Whether the gateway knows a vehicle.
    ///
    /// # Errors
    /// When the gateway refuses or stays away.
    pub async fn knows(&self, vehicle: &str) -> Result<bool, DriveError> {
        let url = format!("{}/v1/vehicles/{vehicle}", self.base);
        let answer = self
            .repeat("vehicle", || {
                self.client.get(&url).bearer_auth(self.admin.expose())
            })
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(DriveError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a batch until it is acknowledged. What is sent twice is dropped by its sequence.
    ///
    /// # Errors
    /// When the gateway refuses it or stays away.
    pub async fn send(
        &self,
        vehicle: &str,
        token: &Secret,
        batch: &[Telemetry],
    ) -> Result<Taken, DriveError> {
        let url = format!("{}/v1/vehicles/{vehicle}/telemetry", self.base);
        let body = body_of(batch);
        let answer = self
            .repeat("telemetry", || {
                self.client
                    .post(&url)
                    .bearer_auth(token.expose())
                    .body(body.clone())
            })
            .await?;
        serde_json::from_value(answer).map_err(|e| DriveError::Answer {
            what: "telemetry",
            answer: e.to_string(),
        })
    }

    /// Tells what happened to vehicles, until it is acknowledged. What is sent twice is dropped by its id.
    ///
    /// # Errors
    /// When the gateway refuses it or stays away.
    pub async fn tell(&self, events: &[InboundEvent]) -> Result<Taken, DriveError> {
        let url = format!("{}/v1/vehicle-events", self.base);
        let events: Vec<Value> = events.iter().map(InboundEvent::to_json).collect();
        let body = Value::from(events).to_string();
        let answer = self
            .repeat("vehicle events", || {
                let request = self.client.post(&url).bearer_auth(self.admin.expose());
                request.body(body.clone())
            })
            .await?;
        serde_json::from_value(answer).map_err(|e| DriveError::Answer {
            what: "vehicle events",
            answer: e.to_string(),
        })
    }

    /// Where events of these vehicles wait. With the mark of an earlier answer, what others sent since then does
    /// not count.
    ///
    /// # Errors
    /// When the gateway refuses or stays away.
    pub async fn flow(&self, vehicles: &[String], mark: Option<&str>) -> Result<Flow, DriveError> {
        let mut query: Vec<String> = vehicles.iter().map(|v| format!("vehicle={v}")).collect();
        query.extend(mark.map(|mark| format!("mark={mark}")));
        let url = format!("{}/v1/flow?{}", self.base, query.join("&"));
        let answer = self
            .repeat("flow", || {
                self.client.get(&url).bearer_auth(self.admin.expose())
            })
            .await?;
        serde_json::from_value(answer).map_err(|e| DriveError::Answer {
            what: "flow",
            answer: e.to_string(),
        })
    }

    // A gateway that restarts, is busy or waits for Kafka is tried again; one that refuses is not. A batch of
    // which nothing is accepted comes as 400 with the list of reasons, which the caller reads.
    async fn repeat(
        &self,
        what: &'static str,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Value, DriveError> {
        let until = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let problem = match request().send().await {
                Ok(response) => {
                    let status = response.status();
                    let text = response.text().await.unwrap_or_default();
                    let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                    let value: Option<Value> = serde_json::from_str(&text).ok();
                    match value {
                        Some(value) if status.is_success() || value.get("rejected").is_some() => {
                            return Ok(value);
                        }
                        _ if !again => {
                            return Err(DriveError::Refused {
                                what,
                                status: status.as_u16(),
                                answer: text,
                            });
                        }
                        _ => format!("{status} {text}"),
                    }
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() + pause > until {
                return Err(DriveError::Away {
                    what,
                    problem,
                    seconds: self.patience.as_secs(),
                });
            }
            tracing::debug!(what, problem, "trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The body of a batch: a JSON array.
#[must_use]
pub fn body_of(batch: &[Telemetry]) -> Vec<u8> {
    let mut body = vec![b'['];
    for (n, sample) in batch.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&codec::encode(sample));
    }
    body.push(b']');
    body
}
