//! OpenWhisk's REST API, as far as invoking goes.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use crate::settings::Secret;

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The action's record says success.
    Succeeded,
    /// The action's record says that it failed.
    Failed(String),
    /// Not finished yet; the record of this activation will tell.
    Later(String),
    /// The record of the activation is not there yet.
    NoRecordYet,
    /// The platform cannot do it now; the record is not to blame.
    Unavailable(String),
    /// There is no such action.
    NoSuchAction,
    /// The request itself is not accepted, and never will be.
    Refused(String),
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
    /// No HTTP client can be made.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// How to reach OpenWhisk.
#[derive(Debug, Clone)]
pub struct Access {
    /// For example `http://openwhisk:3233`.
    pub uri: String,
    /// The first half of the key.
    pub username: String,
    /// The second half of the key.
    pub password: Secret,
    /// The namespace; `_` is the key's own.
    pub namespace: String,
}

/// A client of OpenWhisk for one action.
#[derive(Debug, Clone)]
pub struct Whisk {
    http: Client,
    access: Access,
    invoke: Url,
    activations: Url,
}

impl Whisk {
    /// Makes the client. `timeout` is the longest wait for an answer.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(access: Access, action: &str, timeout: Duration) -> Result<Self, WhiskError> {
        let wrong = |problem: String| WhiskError::Uri {
            uri: access.uri.clone(),
            problem,
        };
        let base = Url::parse(&access.uri).map_err(|e| wrong(e.to_string()))?;
        if base.scheme() != "http" {
            return Err(wrong(format!("scheme {} is not supported", base.scheme())));
        }
        let at = |kind: &str, name: &str| -> Result<Url, WhiskError> {
            let mut url = base.clone();
            url.path_segments_mut()
                .map_err(|()| wrong("is no base address".to_owned()))?
                .pop_if_empty()
                .extend(["api", "v1", "namespaces", &access.namespace, kind])
                .extend(name.split('/').filter(|part| !part.is_empty()));
            Ok(url)
        };
        let mut invoke = at("actions", action)?;
        invoke.set_query(Some("blocking=true&result=false"));
        let activations = at("activations", "")?;
        let http = Client::builder()
            .timeout(timeout)
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            http,
            access,
            invoke,
            activations,
        })
    }

    /// Invokes the action and waits for its record.
    pub async fn invoke(&self, body: &Value) -> Answer {
        self.ask(self.http.post(self.invoke.clone()).json(body), invoked)
            .await
    }

    /// Asks for the record of an activation.
    pub async fn activation(&self, id: &str) -> Answer {
        let mut url = self.activations.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(id);
        }
        self.ask(self.http.get(url), recorded).await
    }

    async fn ask(
        &self,
        request: reqwest::RequestBuilder,
        read: impl Fn(StatusCode, &Value) -> Answer,
    ) -> Answer {
        let request =
            request.basic_auth(&self.access.username, Some(self.access.password.expose()));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Unavailable(chain(&error)),
        };
        let status = response.status();
        match response.bytes().await {
            Ok(bytes) => read(
                status,
                &serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            ),
            Err(error) => Answer::Unavailable(chain(&error)),
        }
    }
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

fn invoked(status: StatusCode, body: &Value) -> Answer {
    match status {
        StatusCode::OK | StatusCode::BAD_GATEWAY if body["response"].is_object() => record(body),
        StatusCode::ACCEPTED => match body["activationId"].as_str() {
            Some(id) => Answer::Later(id.to_owned()),
            None => Answer::Unavailable("202 without an activation id".to_owned()),
        },
        StatusCode::NOT_FOUND => Answer::NoSuchAction,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => Answer::Refused(told(status, body)),
        _ => Answer::Unavailable(told(status, body)),
    }
}

fn recorded(status: StatusCode, body: &Value) -> Answer {
    match status {
        StatusCode::OK if body["response"].is_object() => record(body),
        StatusCode::NOT_FOUND => Answer::NoRecordYet,
        _ => Answer::Unavailable(told(status, body)),
    }
}

fn record(body: &Value) -> Answer {
    let response = &body["response"];
    if response["success"] == Value::Bool(true) {
        return Answer::Succeeded;
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
    Answer::Failed(format!("{status}: {error} (activation {id})"))
}

fn told(status: StatusCode, body: &Value) -> String {
    match body["error"].as_str() {
        Some(error) => format!("{status}: {error}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn activation(success: bool, status: &str, result: Value) -> Value {
        json!({"activationId": "a1", "response": {"success": success, "status": status, "result": result}})
    }

    #[test]
    fn success_is_what_the_record_says() {
        let good = activation(true, "success", json!({}));
        assert_eq!(invoked(StatusCode::OK, &good), Answer::Succeeded);
        let bad = activation(false, "application error", json!({"error": "boom"}));
        let failed = Answer::Failed("application error: boom (activation a1)".to_owned());
        assert_eq!(invoked(StatusCode::BAD_GATEWAY, &bad), failed);
        assert_eq!(invoked(StatusCode::OK, &bad), failed);
        assert_eq!(recorded(StatusCode::OK, &bad), failed);
    }

    #[test]
    fn the_platforms_trouble_is_not_the_records() {
        let throttled = json!({"error": "Too many requests in the last minute"});
        assert!(matches!(
            invoked(StatusCode::TOO_MANY_REQUESTS, &throttled),
            Answer::Unavailable(_)
        ));
        assert!(matches!(
            invoked(StatusCode::SERVICE_UNAVAILABLE, &Value::Null),
            Answer::Unavailable(_)
        ));
        // A proxy's 502 has no record in it.
        assert!(matches!(
            invoked(StatusCode::BAD_GATEWAY, &Value::Null),
            Answer::Unavailable(_)
        ));
        let own = activation(
            false,
            "whisk internal error",
            json!({"error": "no invoker"}),
        );
        assert!(matches!(
            invoked(StatusCode::BAD_GATEWAY, &own),
            Answer::Unavailable(_)
        ));
        assert_eq!(
            invoked(StatusCode::NOT_FOUND, &Value::Null),
            Answer::NoSuchAction
        );
        assert!(matches!(
            invoked(StatusCode::PAYLOAD_TOO_LARGE, &Value::Null),
            Answer::Refused(_)
        ));
    }

    #[test]
    fn late_answers_name_their_activation() {
        let late = json!({"activationId": "a2"});
        assert_eq!(
            invoked(StatusCode::ACCEPTED, &late),
            Answer::Later("a2".to_owned())
        );
        assert_eq!(
            recorded(StatusCode::NOT_FOUND, &Value::Null),
            Answer::NoRecordYet
        );
    }

    #[test]
    fn addresses_are_put_together() {
        let access = Access {
            uri: "http://w:3233/".to_owned(),
            username: "u".to_owned(),
            password: Secret::new("p"),
            namespace: "_".to_owned(),
        };
        let whisk = Whisk::new(access.clone(), "pkg/warn", Duration::from_secs(1)).unwrap();
        assert_eq!(
            whisk.invoke.as_str(),
            "http://w:3233/api/v1/namespaces/_/actions/pkg/warn?blocking=true&result=false"
        );
        assert_eq!(
            whisk.activations.as_str(),
            "http://w:3233/api/v1/namespaces/_/activations"
        );
        let wrong = Access {
            uri: "openwhisk".to_owned(),
            ..access
        };
        let e = Whisk::new(wrong, "a", Duration::from_secs(1))
            .unwrap_err()
            .to_string();
        assert!(e.contains("openwhisk") && e.contains("http://"), "{e}");
    }
}
