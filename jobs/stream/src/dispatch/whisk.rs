//! OpenWhisk's REST API, as far as invoking and firing go.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use super::config::Target;
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

/// A client of OpenWhisk for one action or trigger.
#[derive(Debug, Clone)]
pub struct Whisk {
    http: Client,
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
        let (send, read): (Url, fn(StatusCode, &Value) -> Answer) = match target {
            Target::Action(action) => {
                let mut invoke = at("actions", action)?;
                invoke.set_query(Some("blocking=true&result=false"));
                (invoke, invoked)
            }
            Target::Trigger(trigger) => (at("triggers", trigger)?, fired),
        };
        let activations = at("activations", "")?;
        let http = Client::builder()
            .timeout(timeout)
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            http,
            access,
            send,
            read,
            activations,
        })
    }

    /// Invokes the action and waits for its record, or fires the trigger.
    pub async fn send(&self, body: &Value) -> Answer {
        match self.ask(self.http.post(self.send.clone()).json(body)).await {
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
        self.ask(self.http.get(url)).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<(StatusCode, Value), String> {
        let request =
            request.basic_auth(&self.access.username, Some(self.access.password.expose()));
        let response = request.send().await.map_err(|e| chain(&e))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|e| chain(&e))?;
        Ok((
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        ))
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
mod tests {
    use serde_json::json;

    use super::*;

    fn activation(success: bool, status: &str, result: Value) -> Value {
        json!({"activationId": "a1", "response": {"success": success, "status": status, "result": result}})
    }

    #[test]
    fn success_is_what_the_record_says() {
        let good = activation(true, "success", json!({}));
        assert_eq!(invoked(StatusCode::OK, &good), Answer::Succeeded(json!({})));
        let bad = activation(false, "application error", json!({"error": "boom"}));
        let failed = Answer::Failed(Failure::of_action(
            "application error: boom (activation a1)".to_owned(),
        ));
        assert_eq!(invoked(StatusCode::BAD_GATEWAY, &bad), failed);
        assert_eq!(invoked(StatusCode::OK, &bad), failed);
        assert_eq!(recorded(StatusCode::OK, &bad), Ok(failed));
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
        for status in [StatusCode::BAD_GATEWAY, StatusCode::INTERNAL_SERVER_ERROR] {
            let why = Answer::Unavailable("no invoker".to_owned());
            assert_eq!(invoked(status, &own), why);
        }
        assert_eq!(
            invoked(StatusCode::NOT_FOUND, &Value::Null),
            Answer::NoSuchTarget
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
            Err(Answer::NoRecordYet)
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
        let whisk = Whisk::new(
            access.clone(),
            &Target::Action("pkg/warn".to_owned()),
            Duration::from_secs(1),
        )
        .unwrap();
        assert_eq!(
            whisk.send.as_str(),
            "http://w:3233/api/v1/namespaces/_/actions/pkg/warn?blocking=true&result=false"
        );
        assert_eq!(
            whisk.activations.as_str(),
            "http://w:3233/api/v1/namespaces/_/activations"
        );
        let trigger = Target::Trigger("late".to_owned());
        let whisk = Whisk::new(access.clone(), &trigger, Duration::from_secs(1)).unwrap();
        assert_eq!(
            whisk.send.as_str(),
            "http://w:3233/api/v1/namespaces/_/triggers/late"
        );
        let wrong = Access {
            uri: "openwhisk".to_owned(),
            ..access
        };
        let e = Whisk::new(wrong, &trigger, Duration::from_secs(1))
            .unwrap_err()
            .to_string();
        assert!(e.contains("openwhisk") && e.contains("http://"), "{e}");
    }

    #[test]
    fn a_fire_is_followed_to_what_it_started() {
        let id = json!({"activationId": "t1"});
        assert_eq!(
            fired(StatusCode::ACCEPTED, &id),
            Answer::Fired("t1".to_owned())
        );
        let Answer::Failed(none) = fired(StatusCode::NO_CONTENT, &Value::Null) else {
            panic!("no rule is a failure")
        };
        assert!(none.problem.contains("no active rule") && none.cure.contains("activate"));
        assert_eq!(
            fired(StatusCode::NOT_FOUND, &Value::Null),
            Answer::NoSuchTarget
        );
        // As recorded of the real server.
        let record = json!({"logs": [
            r#"{"statusCode":0,"success":true,"activationId":"224a","rule":"guest/r","action":"guest/echo"}"#,
            r#"{"statusCode":1,"success":false,"rule":"guest/r2","error":"Rule 'guest/r2' is inactive, action 'guest/echo' was not activated.","action":"guest/echo"}"#,
        ]});
        let read = rules(&record);
        assert_eq!(
            read.started,
            [(
                "224a".to_owned(),
                "rule guest/r, action guest/echo".to_owned()
            )]
        );
        assert_eq!(nothing_started(&read), None);
        let dangling = json!({"logs": [
            r#"{"statusCode":1,"success":false,"rule":"guest/rt","error":"The requested resource does not exist.","action":"guest/tmp"}"#,
        ]});
        let failure = nothing_started(&rules(&dangling)).unwrap();
        assert!(failure.problem.contains("guest/tmp"), "{failure:?}");
        let all_off = json!({"logs": [
            r#"{"statusCode":1,"success":false,"rule":"guest/r2","error":"Rule 'guest/r2' is inactive, …"}"#,
        ]});
        let failure = nothing_started(&rules(&all_off)).unwrap();
        assert_eq!(failure.cure, ACTIVATE_A_RULE);
    }
}
