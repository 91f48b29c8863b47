//! Delivery of a warning: to the vehicle, by way of the gateway, once per alert id.

use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Notification;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::assess::{Assessment, check};
use crate::error::ActionError;
use crate::harness::Context;
use crate::language::FALLBACK;
use crate::render::{Rendered, render};
use crate::retry::{attempt_time, pause};

/// The channel that ends in the vehicle's own speakers and display.
pub const VEHICLE: &str = "vehicle";

/// A warning older than this is of no use to a driver any more.
const DEFAULT_TTL_SECONDS: u64 = 900;

/// The longest life of a notification: a day.
const LONGEST_TTL_SECONDS: u64 = 86_400;

/// How long to try when the server names no deadline.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// Kept back from the deadline for writing the answer.
const RESERVE: Duration = Duration::from_millis(500);

/// Answers of the gateway are read up to this size.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// The input of the action `notify-driver`: an assessment, and the action's own parameters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NotifyInput {
    /// What `assess-vehicle` answered.
    #[serde(flatten)]
    pub assessment: Assessment,
    /// Where the gateway listens, like `http://platform-gateway:8080`.
    pub gateway_url: String,
    /// The token that lets an action hand over notifications.
    pub notify_token: String,
    /// Where to deliver to.
    #[serde(default = "vehicle_only")]
    pub channels: Vec<String>,
    /// Seconds after which an undelivered warning is dropped.
    #[serde(default = "default_ttl")]
    pub ttl_seconds: u64,
}

fn vehicle_only() -> Vec<String> {
    vec![VEHICLE.to_owned()]
}

fn default_ttl() -> u64 {
    DEFAULT_TTL_SECONDS
}

/// The output of the action `notify-driver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The channels that took it.
    pub delivered: Vec<String>,
    /// The alert's id.
    pub id: String,
    /// Whether the gateway had it already.
    pub duplicate: bool,
    /// Language of the words.
    pub language: String,
    /// The language asked for, when English had to stand in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_language: Option<String>,
    /// The words, so that the activation's record tells what the driver was told.
    pub text: String,
}

/// The action: words the warning and hands it to the gateway.
///
/// # Errors
/// [`ActionError::Input`] for wrong parameters, [`ActionError::Refused`] when the gateway will
/// not take it, [`ActionError::Unreachable`] when it could not be reached before the deadline.
pub fn action(input: NotifyInput, context: &Context) -> Result<Delivery, ActionError> {
    let url = validate(&input)?;
    let rendered = words(&input.assessment);
    let now = Timestamp::now();
    let notification = notification(&input.assessment, &rendered, now, input.ttl_seconds);
    let patience = context
        .remaining(now)
        .map_or(DEFAULT_PATIENCE, |left| left.saturating_sub(RESERVE));
    let duplicate = post(&url, &input.notify_token, &notification, patience)?;
    Ok(Delivery {
        delivered: input.channels,
        id: notification.id,
        duplicate,
        language: rendered.language,
        requested_language: rendered.requested_language,
        text: rendered.text,
    })
}

/// The assessment in the language it names, English when it names none.
pub fn words(assessment: &Assessment) -> Rendered {
    render(
        assessment,
        assessment.language.as_deref().unwrap_or(FALLBACK),
    )
}

/// Builds the notification that the gateway takes. Pure.
pub fn notification(
    assessment: &Assessment,
    rendered: &Rendered,
    now: Timestamp,
    ttl_seconds: u64,
) -> Notification {
    let alert = &assessment.alert;
    let life = SignedDuration::from_secs(i64::try_from(ttl_seconds).unwrap_or(i64::MAX));
    Notification {
        id: alert.id.clone(),
        vehicle: alert.vehicle.clone(),
        rule: alert.rule.clone(),
        severity: alert.severity,
        episode: alert.episode.clone(),
        event_time: alert.event_time,
        detected_at: alert.detected_at,
        language: rendered.language.clone(),
        text: rendered.text.clone(),
        ssml: rendered.ssml.clone(),
        expires_at: now.checked_add(life).unwrap_or(Timestamp::MAX),
    }
}

/// Checks the parameters and gives the address to post to.
fn validate(input: &NotifyInput) -> Result<String, ActionError> {
    check(&input.assessment.alert)?;
    if !input.gateway_url.starts_with("http://") {
        return Err(ActionError::input(
            "gateway_url",
            &input.gateway_url,
            "is no http:// address",
            "give the gateway's address inside the cluster, like http://platform-gateway:8080",
        ));
    }
    if input.notify_token.is_empty() {
        return Err(ActionError::input(
            "notify_token",
            "\"\"",
            "is empty",
            "bind the notify-token of the gateway's secret",
        ));
    }
    if !(1..=LONGEST_TTL_SECONDS).contains(&input.ttl_seconds) {
        let cure = format!("give 1 to {LONGEST_TTL_SECONDS} seconds");
        return Err(ActionError::input(
            "ttl_seconds",
            input.ttl_seconds,
            "is out of range",
            cure,
        ));
    }
    if input.channels.is_empty() {
        return Err(ActionError::input(
            "channels",
            "[]",
            "names no channel",
            "give [\"vehicle\"]",
        ));
    }
    if let Some(unknown) = input.channels.iter().find(|channel| *channel != VEHICLE) {
        return Err(ActionError::input(
            "channels",
            unknown,
            "is no channel of this version",
            "use \"vehicle\"",
        ));
    }
    Ok(format!(
        "{}/v1/notifications",
        input.gateway_url.trim_end_matches('/')
    ))
}

/// What one attempt led to.
enum Attempt {
    Taken { duplicate: bool },
    Again(String),
    Refused { status: u16, text: String },
}

/// Posts until the gateway answers for good or `patience` is at an end.
///
/// Sending twice is harmless: the gateway knows each alert id once.
fn post(
    url: &str,
    token: &str,
    notification: &Notification,
    patience: Duration,
) -> Result<bool, ActionError> {
    let body =
        serde_json::to_vec(notification).map_err(|error| ActionError::Encode(error.to_string()))?;
    let started = Instant::now();
    let mut attempts = 0;
    let mut problem = "no time left before the deadline".to_owned();
    while let Some(time) = attempt_time(patience.saturating_sub(started.elapsed())) {
        attempts += 1;
        match attempt(url, token, &body, time) {
            Attempt::Taken { duplicate } => return Ok(duplicate),
            Attempt::Refused { status, text } => {
                return Err(ActionError::Refused {
                    url: url.to_owned(),
                    status,
                    text,
                    cure: cure(status),
                });
            }
            Attempt::Again(text) => {
                eprintln!("attempt {attempts}: {text}");
                problem = text;
            }
        }
        let pause = pause(attempts);
        if attempt_time(patience.saturating_sub(started.elapsed() + pause)).is_none() {
            break;
        }
        sleep(pause);
    }
    Err(ActionError::Unreachable {
        url: url.to_owned(),
        problem,
        attempts,
    })
}

fn attempt(url: &str, token: &str, body: &[u8], time: Duration) -> Attempt {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(time))
        .http_status_as_error(false)
        .build()
        .into();
    let sent = agent
        .post(url)
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json")
        .send(body);
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return Attempt::Again(error.to_string()),
    };
    let status = response.status().as_u16();
    let text = match response
        .body_mut()
        .with_config()
        .limit(LARGEST_ANSWER)
        .read_to_string()
    {
        Ok(text) => text,
        Err(error) => return Attempt::Again(format!("answered {status}, then: {error}")),
    };
    match status {
        200..=299 => {
            let duplicate = serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|answer| answer.get("duplicate").and_then(Value::as_bool))
                .unwrap_or(false);
            Attempt::Taken { duplicate }
        }
        408 | 429 | 500..=599 => Attempt::Again(format!("answered {status}: {}", text.trim())),
        _ => Attempt::Refused {
            status,
            text: text.trim().to_owned(),
        },
    }
}

fn cure(status: u16) -> &'static str {
    match status {
        401 | 403 => "bind the notify-token of the gateway's secret as notify_token",
        404 => "point gateway_url at the gateway",
        _ => "correct the alert or the action's parameters",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    use millrace_contract::Severity;
    use serde_json::json;

    use super::*;
    use crate::assess::{AssessParams, assess};
    use crate::render::tests::alert;

    fn input(gateway_url: &str) -> NotifyInput {
        let mut value =
            serde_json::to_value(assess(&alert(Severity::Critical), &AssessParams::default()))
                .unwrap();
        value["gateway_url"] = json!(gateway_url);
        value["notify_token"] = json!("t0ken");
        value["language"] = json!("fr");
        serde_json::from_value(value).unwrap()
    }

    /// A gateway that gives the listed answers, one per connection, and returns the requests.
    fn gateway(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<(String, Value)>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handle = spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line == "\r\n" {
                        break;
                    }
                    head += &line;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                requests.push((head, serde_json::from_slice(&body).unwrap()));
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        (url, handle)
    }

    const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 28\r\nConnection: close\r\n\r\n{\"id\":\"x\",\"duplicate\":true}\n";
    const BUSY: &str =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
    const DENIED: &str =
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";

    #[test]
    fn retries_until_the_gateway_takes_it() {
        let (url, handle) = gateway(vec![BUSY, TAKEN]);
        let delivery = action(input(&url), &Context::default()).unwrap();
        assert_eq!(
            (delivery.delivered, delivery.duplicate),
            (vec!["vehicle".to_owned()], true)
        );
        assert_eq!(delivery.language, "fr");
        let requests = handle.join().unwrap();
        let (head, body) = &requests[1];
        assert!(
            head.starts_with("POST /v1/notifications HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.to_ascii_lowercase()
                .contains("authorization: bearer t0ken\r\n"),
            "{head}"
        );
        assert_eq!(body["id"], "car-1/overheating/e1/warning");
        assert!(
            body["text"].as_str().unwrap().starts_with("Danger !"),
            "{body}"
        );
        let notification: Notification = serde_json::from_value(body.clone()).unwrap();
        assert!(notification.expires_at > Timestamp::now());
    }

    #[test]
    fn a_refusal_is_final_and_names_the_cure() {
        let (url, handle) = gateway(vec![DENIED]);
        let error = action(input(&url), &Context::default()).unwrap_err();
        assert!(
            error.to_string().ends_with(
                "answered 401: no; bind the notify-token of the gateway's secret as notify_token"
            ),
            "{error}"
        );
        handle.join().unwrap();
    }

    #[test]
    fn gives_up_at_the_deadline() {
        let deadline = Timestamp::now()
            .checked_add(SignedDuration::from_millis(1200))
            .unwrap();
        let context = Context {
            activation_id: String::new(),
            deadline: Some(deadline),
        };
        let started = Instant::now();
        // Nothing listens on port 1 of the loopback address.
        let error = action(input("http://127.0.0.1:1"), &context).unwrap_err();
        assert!(
            matches!(error, ActionError::Unreachable { attempts: 2.., .. }),
            "{error}"
        );
        assert!(started.elapsed() < Duration::from_millis(1200));
    }

    #[test]
    fn wrong_parameters_name_field_value_and_cure() {
        type Change = fn(&mut NotifyInput);
        let cases: [(Change, &str); 5] = [
            (
                |i| i.channels = vec!["smtp".to_owned()],
                "channels: smtp: is no channel of this version; use \"vehicle\"",
            ),
            (|i| i.channels.clear(), "channels: []: names no channel"),
            (
                |i| i.gateway_url = "ftp://x".to_owned(),
                "gateway_url: ftp://x: is no http:// address",
            ),
            (|i| i.notify_token.clear(), "notify_token: \"\": is empty"),
            (
                |i| i.ttl_seconds = 0,
                "ttl_seconds: 0: is out of range; give 1 to 86400 seconds",
            ),
        ];
        for (change, expected) in cases {
            let mut input = input("http://127.0.0.1:1");
            change(&mut input);
            let error = action(input, &Context::default()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
