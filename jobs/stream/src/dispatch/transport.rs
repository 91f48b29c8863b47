//! How requests reach an OpenWhisk: by http inside a cluster, by https elsewhere.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, StatusCode, Url};

use super::https::Https;
use super::whisk::WhiskError;

/// A request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    /// The value of the header. Never shown.
    pub(super) authorization: String,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(super) enum Transport {
    Http(Client),
    Https(Https),
}

impl Transport {
    /// The way to an address. `authority` is whom to trust over https, `patience` the longest wait for an answer.
    pub(super) fn new(
        base: &Url,
        authority: Option<&str>,
        patience: Duration,
    ) -> Result<Self, WhiskError> {
        match base.scheme() {
            "https" => Https::new(authority, patience)
                .map(Self::Https)
                .map_err(WhiskError::Authority),
            "http" => Ok(Self::Http(
                Client::builder()
                    .timeout(patience)
                    .connect_timeout(Duration::from_secs(5))
                    .pool_idle_timeout(Duration::from_secs(30))
                    .build()?,
            )),
            other => Err(WhiskError::Uri {
                uri: base.to_string(),
                problem: format!("scheme {other} is not supported"),
            }),
        }
    }

    /// Status and body of the answer, or why there is none.
    pub(super) async fn send(&self, call: Call) -> Result<(StatusCode, Vec<u8>), String> {
        match self {
            Self::Http(http) => by_http(http, call).await.map_err(|error| chain(&error)),
            Self::Https(https) => https.send(call).await,
        }
    }
}

async fn by_http(http: &Client, call: Call) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
    let mut request = http
        .request(call.method, call.url)
        .header(AUTHORIZATION, call.authorization);
    if let Some(body) = call.body {
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    let response = request.send().await?;
    let status = response.status();
    Ok((status, response.bytes().await?.to_vec()))
}

// reqwest's own message leaves out the cause, which is what one wants to read.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
