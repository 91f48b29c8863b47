//! OpenWhisk's REST API, as far as invoking and firing go.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::config::Target;
use super::transport::{Call, Transport};
use crate::settings::Secret;

/// Why something failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub cure: &'static str,
}

/// The cure for most failures.
pub const LOOK_AT_THE_ACTION: &str =
    "read the activation's record and logs, correct the action, then redrive the dead letter";
const ACTIVATE_A_RULE: &str =
    "create or activate a Rule from this trigger to an action, then redrive the dead letter";
const CORRECT_THE_RULE: &str =
    "correct the rule or create the action that it names, then redrive the dead letter";
const CORRECT_THE_REQUEST: &str =
    "send smaller or fewer records (batch.maximumRecords), then redrive the dead letter";

impl Failure {
    /// A failure of the action.
    #[must_use]
    pub fn of_action(problem: String) -> Self {
        Self {
            problem,
            cure: LOOK_AT_THE_ACTION,
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The records of all that was started say success; the result of the action.
    Succeeded(Value),
    /// A record says failure, or nothing was started.
    Failed(Failure),
    /// Not finished yet; the record of this activation will tell.
    Later(String),
    /// A trigger was fired; the record of this activation names what was started.
    Fired(String),
    /// The record of the activation is not there yet.
    NoRecordYet,
    /// The platform cannot do it now; the record is not to blame.
    Unavailable(String),
    /// There is no such action or trigger.
    NoSuchTarget,
    /// The request itself is not accepted, and never will be.
    Refused(Failure),
}

/// What the record of a trigger's activation says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The activations that were started, each with its rule and action.
    pub started: Vec<(String, String)>,
    /// Rules that could not start their action, with the reason.
    pub failed: Vec<String>,
}

/// What went wrong while the client was made.
#[derive(Debug, thiserror::Error)]
pub enum WhiskError {
    /// The address cannot be used.
    #[error("OpenWhisk uri: {uri}: {problem}; give for example http://openwhisk:3233")]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody would be trusted.
    #[error("OpenWhisk authority: {0}")]
    Authority(String),
    /// No HTTP client can be made.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// How to reach OpenWhisk.
#[derive(Debug, Clone)]
pub struct Access {
    /// For example `http://openwhisk:3233`, or `https://openwhisk.example.org`.
    pub uri: String,
    /// Certificates of the authorities, in PEM, that a server's over https is of; those that the system trusts when absent.
    pub authority: Option<String>,
    /// The first half of the key.
    pub username: String,
    /// The second half of the key.
    pub password: Secret,
    /// The namespace; `_` is the key's own.
    pub namespace: String,
}

/// A client of OpenWhisk for one action or trigger.
#[derive(Debug, Clone)]
pub struct Whisk {
    transport: Transport,
    access: Access,
    send: Url,
    read: fn(StatusCode, &Value) -> Answer,
    activations: Url,
}

impl Whisk {
    /// Makes the client. `timeout` is the longest wait for an answer.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(access: Access, target: &Target, timeout: Duration) -> Result<Self, WhiskError> {
        let wrong = |problem: String| WhiskError::Uri {
            uri: access.uri.clone(),
            problem,
        };
        let base = Url::parse(&access.uri).map_err(|e| wrong(e.to_string()))?;
        let at = |kind: &str, name: &str| -> Result<Url, WhiskError> {
            let mut url = base.clone();
            url.path_segments_mut()
                .map_err(|()| wrong("is no base address".to_owned()))?
                .pop_if_empty()
                .extend(["api", "v1", "namespaces", &access.namespace, kind])
                .extend(name.split('/').filter(|part| !part.is_empty()));
            Ok(url)
        };
        let (send, read): (Url, fn(StatusCode, &Value) -> Answer) = match target {
            Target::Action(action) => {
                let mut invoke = at("actions", action)?;
                invoke.set_query(Some("blocking=true&result=false"));
                (invoke, invoked)
            }
            Target::Trigger(trigger) => (at("triggers", trigger)?, fired),
        };
        let activations = at("activations", "")?;
        let transport = Transport::new(&base, access.authority.as_deref(), timeout)?;
        Ok(Self {
            transport,
            access,
            send,
            read,
            activations,
        })
    }

    /// Invokes the action and waits for its record, or fires the trigger.
    pub async fn send(&self, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        let asked = self.ask(Method::POST, self.send.clone(), Some(body));
        match asked.await {
            Ok((status, body)) => (self.read)(status, &body),
            Err(why) => Answer::Unavailable(why),
        }
    }

    /// Asks for the record of an action's activation, and reads it.
    ///
    /// # Errors
    /// It is not there yet, or the platform does not answer as it should.
    pub async fn activation(&self, id: &str) -> Result<Answer, Answer> {
        match self.look_up(id).await {
            Ok((status, body)) => recorded(status, &body),
            Err(why) => Err(Answer::Unavailable(why)),
        }
    }

    /// Asks for the record of a trigger's activation.
    ///
    /// # Errors
    /// It is not there yet, or the platform does not answer as it should.
    pub async fn rules(&self, id: &str) -> Result<Rules, Answer> {
        match self.look_up(id).await {
            Ok((StatusCode::OK, body)) if body["logs"].is_array() => Ok(rules(&body)),
            Ok((StatusCode::NOT_FOUND, _)) => Err(Answer::NoRecordYet),
            Ok((status, body)) => Err(Answer::Unavailable(told(status, &body))),
            Err(why) => Err(Answer::Unavailable(why)),
        }
    }

    async fn look_up(&self, id: &str) -> Result<(StatusCode, Value), String> {
        let mut url = self.activations.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(id);
        }
        self.ask(Method::GET, url, None).await
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Value), String> {
        let Access {
            username, password, ..
        } = &self.access;
        let key = STANDARD.encode(format!("{username}:{}", password.expose()));
        let call = Call {
            method,
            url,
            authorization: format!("Basic {key}"),
            body,
        };
        let (status, bytes) = self.transport.send(call).await?;
        Ok((
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        ))
    }
}

fn invoked(status: StatusCode, body: &Value) -> Answer {
    match status {
        StatusCode::OK | StatusCode::BAD_GATEWAY | StatusCode::INTERNAL_SERVER_ERROR
            if body["response"].is_object() =>
        {
            record(body)
        }
        StatusCode::ACCEPTED => match body["activationId"].as_str() {
            Some(id) => Answer::Later(id.to_owned()),
            None => Answer::Unavailable("202 without an activation id".to_owned()),
        },
        _ => not_taken(status, body),
    }
}

fn fired(status: StatusCode, body: &Value) -> Answer {
    match status {
        StatusCode::ACCEPTED => match body["activationId"].as_str() {
            Some(id) => Answer::Fired(id.to_owned()),
            None => Answer::Unavailable("202 without an activation id".to_owned()),
        },
        StatusCode::NO_CONTENT => Answer::Failed(Failure {
            problem: "the trigger has no active rule: nothing was started".to_owned(),
            cure: ACTIVATE_A_RULE,
        }),
        _ => not_taken(status, body),
    }
}

fn not_taken(status: StatusCode, body: &Value) -> Answer {
    match status {
        StatusCode::NOT_FOUND => Answer::NoSuchTarget,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => Answer::Refused(Failure {
            problem: told(status, body),
            cure: CORRECT_THE_REQUEST,
        }),
        _ => Answer::Unavailable(told(status, body)),
    }
}

// Each log line of a trigger's record is a JSON object about one rule.
fn rules(body: &Value) -> Rules {
    let mut rules = Rules::default();
    let lines = body["logs"].as_array().into_iter().flatten();
    for line in lines.filter_map(Value::as_str) {
        let Ok(told) = serde_json::from_str::<Value>(line) else {
            rules
                .failed
                .push(format!("the trigger's record cannot be read: {line}"));
            continue;
        };
        let word = |name: &str| told[name].as_str().unwrap_or("unknown").to_owned();
        let what = format!("rule {}, action {}", word("rule"), word("action"));
        match told["activationId"].as_str() {
            Some(id) if told["success"] == Value::Bool(true) => {
                rules.started.push((id.to_owned(), what));
            }
            // A rule that is switched off on purpose is no failure of those that are not.
            _ if word("error").contains("is inactive") => {}
            _ => rules.failed.push(format!("{what}: {}", word("error"))),
        }
    }
    rules
}

/// What follows from a trigger's record when nothing can be followed any further.
#[must_use]
pub fn nothing_started(rules: &Rules) -> Option<Failure> {
    if !rules.failed.is_empty() {
        return Some(Failure {
            problem: rules.failed.join("; "),
            cure: CORRECT_THE_RULE,
        });
    }
    rules.started.is_empty().then(|| Failure {
        problem: "no rule of the trigger started anything".to_owned(),
        cure: ACTIVATE_A_RULE,
    })
}

fn recorded(status: StatusCode, body: &Value) -> Result<Answer, Answer> {
    match status {
        StatusCode::OK if body["response"].is_object() => Ok(record(body)),
        StatusCode::NOT_FOUND => Err(Answer::NoRecordYet),
        _ => Err(Answer::Unavailable(told(status, body))),
    }
}

fn record(body: &Value) -> Answer {
    let response = &body["response"];
    if response["success"] == Value::Bool(true) {
        return Answer::Succeeded(response["result"].clone());
    }
    let status = response["status"].as_str().unwrap_or("failed");
    let error = match &response["result"]["error"] {
        Value::String(text) => text.clone(),
        Value::Null => response["result"].to_string(),
        other => other.to_string(),
    };
    // The platform's own trouble is not the action's: try again without counting.
    if status == "whisk internal error" {
        return Answer::Unavailable(error);
    }
    let id = body["activationId"].as_str().unwrap_or("unknown");
    Answer::Failed(Failure::of_action(format!(
        "{status}: {error} (activation {id})"
    )))
}

fn told(status: StatusCode, body: &Value) -> String {
    match body["error"].as_str() {
        Some(error) => format!("{status}: {error}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
#[path = "whisk_tests.rs"]
mod tests;
