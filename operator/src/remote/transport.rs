//! How requests reach a server that is asked by HTTP with a password: in plain text inside a cluster, else by TLS.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use ureq::Agent;

use crate::remote::code::{Roots, agent};

/// The name and the password in the form of a header.
#[must_use]
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// An answer is no larger than code in base64 and what is said of it.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A request.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    /// The value of the header, where the server asks who one is. Never shown.
    pub(super) authorization: Option<String>,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    /// How long it may take, where it is not as long as others.
    pub(super) timeout: Option<Duration>,
}

#[derive(Clone)]
pub(super) enum Transport {
    Http(reqwest::Client),
    Https(Agent),
}

impl Transport {
    pub(super) fn new(scheme: &str, timeout: Duration, roots: &Roots) -> Result<Self, String> {
        match scheme {
            "https" => Ok(Self::Https(agent(roots, timeout))),
            "http" => {
                let http = reqwest::Client::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .timeout(timeout)
                    // The server is in the cluster; a proxy of the operator's environment does not know it.
                    .no_proxy()
                    .build();
                http.map(Self::Http).map_err(|error| error.to_string())
            }
            other => Err(format!("scheme {other} is not spoken here")),
        }
    }

    /// Status and body of the answer, or why there is none.
    pub(super) async fn send(&self, request: Request) -> Result<(u16, Vec<u8>), String> {
        match self {
            Self::Http(http) => by_http(http, request).await,
            Self::Https(agent) => {
                let agent = agent.clone();
                // The call must not hold up the thread of others.
                let sent = tokio::task::spawn_blocking(move || by_https(&agent, request));
                match sent.await {
                    Ok(answer) => answer.map_err(|error| told(&error)),
                    Err(given_up) => Err(format!("the call was given up: {given_up}")),
                }
            }
        }
    }
}

async fn by_http(http: &reqwest::Client, request: Request) -> Result<(u16, Vec<u8>), String> {
    let mut built = http.request(request.method, request.url);
    if let Some(authorization) = request.authorization {
        built = built.header(reqwest::header::AUTHORIZATION, authorization);
    }
    if let Some(timeout) = request.timeout {
        built = built.timeout(timeout);
    }
    if let Some(body) = request.body {
        built = built
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
    }
    let answer = built.send().await.map_err(|error| cause(&error))?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(|error| cause(&error))?;
    Ok((status, bytes.to_vec()))
}

#[allow(
    clippy::result_large_err,
    reason = "the error is told in words one call further up"
)]
fn by_https(agent: &Agent, request: Request) -> Result<(u16, Vec<u8>), ureq::Error> {
    let posts = request.method == Method::POST;
    let mut built = ureq::http::Request::builder()
        .method(request.method)
        .uri(request.url);
    if let Some(authorization) = request.authorization {
        built = built.header("authorization", authorization);
    }
    let timeout = request.timeout;
    let mut answer = match request.body {
        Some(body) => {
            let built = built
                .header("content-type", "application/json")
                .body(body)?;
            match timeout {
                Some(_) => agent.run(
                    agent
                        .configure_request(built)
                        .timeout_global(timeout)
                        .build(),
                )?,
                None => agent.run(built)?,
            }
        }
        // Who posts nothing says that it is nothing.
        None if posts => agent.run(built.body(Vec::new())?)?,
        None => agent.run(built.body(())?)?,
    };
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_vec()?;
    Ok((status, bytes))
}

fn told(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        error => error.to_string(),
    }
}

/// The innermost cause says it best: "Connection refused", not "error sending request for url (…)".
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
