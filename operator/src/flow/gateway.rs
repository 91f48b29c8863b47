//! The gateway, as the operator asks it: for a canary, and for what vehicles have not heard yet.

use std::fmt;
use std::time::Duration;

use millrace_contract::audit::Change;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longer than the gateway itself waits for Kafka.
const PATIENCE: Duration = Duration::from_secs(15);

/// A bearer token. It is not shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Where a gateway is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GatewayAt {
    /// `http://host:port`.
    pub url: String,
    /// A token that opens what is asked for.
    pub token: Token,
    /// The administrator's, for a gateway that runs on from before there was the role of `token`: it opens everything.
    pub admin_token: Option<Token>,
}

/// Why the gateway has no answer.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It cannot be reached.
    #[error("{url}: the gateway cannot be asked: {source}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It refuses.
    #[error("{url}: the gateway answers {status}: {body}")]
    Refused {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// The beginning of what it says.
        body: String,
    },
}

impl GatewayError {
    /// Whether the gateway does not know the token, or not for this.
    fn is_about_the_token(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }
}

/// Where a canary was stored.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Stored {
    /// The partition of the topic of telemetry.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// The time of the event, by the gateway's clock.
    #[serde(default)]
    pub time: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct Flow {
    notifications: Notifications,
}

#[derive(Deserialize)]
struct Notifications {
    undelivered: i64,
}

/// A client for gateways.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    http: reqwest::Client,
}

impl GatewayClient {
    /// A client.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .timeout(PATIENCE)
            // The gateway is in the cluster; a proxy of the operator's environment does not know it.
            .no_proxy()
            .build()?;
        Ok(Self { http })
    }

    /// Sends a canary and waits until it is stored.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn canary(&self, at: &GatewayAt, sequence: u64) -> Result<Stored, GatewayError> {
        let url = format!("{}/v1/canary?sequence={sequence}", at.url);
        self.ask(self.http.post(&url), &at.token, &url).await
    }

    /// Notifications that vehicles have not acknowledged; answered after the gateway has read all there are.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn undelivered(&self, at: &GatewayAt) -> Result<i64, GatewayError> {
        let url = format!("{}/v1/flow", at.url);
        let flow: Flow = self.ask(self.http.get(&url), &at.token, &url).await?;
        Ok(flow.notifications.undelivered)
    }

    /// Tells of a change of a resource, and waits until it is stored. A gateway that does not let the token in is told by the
    /// administrator's: after an upgrade of the operator it may know of no other for as long as its restart waits.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn change(
        &self,
        at: &GatewayAt,
        time: jiff::Timestamp,
        change: &Change,
    ) -> Result<(), GatewayError> {
        #[derive(Serialize)]
        struct Told<'a> {
            time: jiff::Timestamp,
            #[serde(flatten)]
            change: &'a Change,
        }
        let url = format!("{}/v1/changes", at.url);
        let request = || self.http.post(&url).json(&Told { time, change });
        let told: Result<serde_json::Value, GatewayError> =
            self.ask(request(), &at.token, &url).await;
        let told = match (told, &at.admin_token) {
            (Err(error), Some(admin)) if error.is_about_the_token() && *admin != at.token => {
                tracing::debug!(%error, "told by the administrator's token");
                self.ask(request(), admin, &url).await
            }
            (told, _) => told,
        };
        told.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        token: &Token,
        url: &str,
    ) -> Result<T, GatewayError> {
        let failed = |source: reqwest::Error| GatewayError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let answer = request.bearer_auth(&token.0).send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.text().await.map_err(failed)?;
            return Err(GatewayError::Refused {
                url: url.to_owned(),
                status: status.as_u16(),
                body: body.chars().take(300).collect(),
            });
        }
        answer.json().await.map_err(failed)
    }
}
