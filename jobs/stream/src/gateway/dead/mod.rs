//! Dead letters: listed, shown and put back where they came from.

mod original;
mod redrive;
mod scan;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use millrace_contract::{DeadLetter, Invalid, Kept, Origin, Payload, Reason, topics};
use serde::Serialize;
use serde_json::{Value, json};

use self::scan::{Cursor, Newest};
use super::access::{Role, require};
use super::answer::Refused;
use super::{Gateway, query};
use crate::connect::{ConnectError, Incoming, Record};

pub use self::redrive::redrive;

const MOST_LISTED: u32 = 500;
const USUALLY_LISTED: u32 = 50;
const CURE: &str = "use limit=<number>, reason=<part of it>, vehicle=<id>, topic=<source> and before=<cursor of the Link header>";

/// A dead letter as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// `PARTITION-OFFSET`.
    pub id: String,
    /// When it was received or last tried.
    pub time: Timestamp,
    /// The vehicle, where it is known.
    pub vehicle: Option<String>,
    /// The topic or channel that it came by.
    pub source: String,
    /// Why it is here.
    pub reason: Reason,
    /// How often it was tried.
    pub attempts: u32,
    /// Bytes of the whole letter.
    pub size: usize,
    /// Whether it was put back.
    pub redriven: bool,
}

/// A dead letter as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Whole {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<Kept>,
    /// `clear` with JSON; `opened` with JSON or text that was sealed; or `sealed` as it lies there.
    payload: Value,
}

/// Where a dead letter lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id {
    partition: i32,
    offset: i64,
}

impl Id {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let parts = text.split_once('-');
        parts
            .and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)))
            .filter(|(partition, offset)| *partition >= 0_i32 && *offset >= 0_i64)
            .map(|(partition, offset)| Self { partition, offset })
            .ok_or_else(|| {
                Invalid::new(
                    "id",
                    text,
                    "is not the id of a dead letter",
                    "give PARTITION-OFFSET, as GET /v1/dead-letters lists it",
                )
            })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    reason: Option<String>,
    vehicle: Option<String>,
    topic: Option<String>,
}

impl Filter {
    fn passes(&self, summary: &Summary) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == found
        };
        let reason = &summary.reason;
        let speaks = |wanted: &String| {
            let texts = [reason.field.as_deref(), Some(&reason.problem)];
            texts
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(wanted))
        };
        is(&self.vehicle, summary.vehicle.as_deref())
            && is(&self.topic, Some(&summary.source))
            && self.reason.as_ref().is_none_or(speaks)
    }
}

/// `GET /v1/dead-letters`: the newest first, a page at a time.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    require(&headers, &gateway.secrets, Role::Operations)?;
    let pairs = query::pairs(&uri)?;
    let (mut limit, mut before, mut filter) = (USUALLY_LISTED, None, Filter::default());
    for (name, value) in &pairs {
        match name.as_str() {
            "limit" => limit = query::number(name, value, 1, MOST_LISTED)?,
            "reason" => filter.reason = Some(value.to_lowercase()),
            "vehicle" => filter.vehicle = Some(value.clone()),
            "topic" => filter.topic = Some(value.clone()),
            "before" => before = Some(value.parse::<Cursor>()?),
            _ => return Err(query::unknown(name, value, CURE).into()),
        }
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut newest = Newest::open(&gateway, before).await.map_err(unavailable)?;
    let mut found = Vec::new();
    while found.len() < limit {
        match newest.next(&gateway).await.map_err(unavailable)? {
            Some(summary) if filter.passes(&summary) => found.push(summary),
            Some(_) => {}
            None => break,
        }
    }
    for summary in &mut found {
        summary.redriven = gateway.redriven.contains(&summary.id);
    }
    let mut answer = Json(found).into_response();
    if let Some(cursor) = newest.cursor()
        && let Ok(link) =
            query::link_to_next("/v1/dead-letters", &pairs, ("before", &cursor.to_string())).parse()
    {
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

/// `GET /v1/dead-letters/{id}`: all of it. What is sealed is opened for the administrator only.
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Operations)?;
    let id = Id::parse(&id)?;
    let record = fetch(&gateway, id).await?;
    let letter = letter_of(&record, id)?;
    let mut summary = summary(&record);
    summary.redriven = gateway.redriven.contains(&summary.id);
    let payload = match &letter.payload {
        Payload::Clear(value) => json!({ "clear": value }),
        sealed @ Payload::Sealed { .. } if role != Role::Admin => json!(sealed),
        sealed @ Payload::Sealed { .. } => {
            let plain = gateway.secrets.seal_key.open(sealed).map_err(|e| {
                Refused::NotFound(Invalid::new(
                    "payload",
                    "(sealed)",
                    e.to_string(),
                    "start the gateway with the seal-key of that time",
                ))
            })?;
            json!({ "opened": readable(&plain) })
        }
    };
    let whole = Whole {
        summary,
        origin: letter.origin,
        kept: letter.kept,
        payload,
    };
    serde_json::to_value(&whole)
        .map(Json)
        .map_err(|e| Refused::Unavailable(e.to_string()))
}

// What a vehicle sent need not be JSON, nor text.
fn readable(plain: &[u8]) -> Value {
    serde_json::from_slice(plain)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(plain).into_owned()))
}

fn unavailable(e: ConnectError) -> Refused {
    Refused::Unavailable(e.to_string())
}

fn nothing_there(id: Id) -> Refused {
    Refused::NotFound(Invalid::new(
        "id",
        id.to_string(),
        "there is no such dead letter, or not any more",
        "give an id that GET /v1/dead-letters lists",
    ))
}

fn not_whole(id: Id) -> Refused {
    Refused::NotFound(Invalid::new(
        "id",
        id.to_string(),
        "the letter does not hold the whole record, and its topic does not hold it any more",
        "let its sender send it again",
    ))
}

async fn fetch(gateway: &Gateway, id: Id) -> Result<Record, Refused> {
    let topic = topics::DEAD_LETTERS;
    let count = gateway
        .lookup
        .partition_count(topic)
        .await
        .map_err(unavailable)?;
    if id.partition >= count {
        return Err(nothing_there(id));
    }
    let span = id.offset..id.offset.saturating_add(1);
    let found = gateway
        .spans
        .read(topic, id.partition, span, |record: &Incoming<'_>| {
            record.to_record()
        })
        .await
        .map_err(unavailable)?;
    found.into_iter().next().ok_or_else(|| nothing_there(id))
}

fn letter_of(record: &Record, id: Id) -> Result<DeadLetter, Refused> {
    serde_json::from_slice(record.payload.as_deref().unwrap_or_default()).map_err(|e| {
        Refused::NotFound(Invalid::new(
            "id",
            id.to_string(),
            format!("the record is no dead letter: {e}"),
            "look at the record in the topic dead-letters",
        ))
    })
}

fn summary(record: &Record) -> Summary {
    let payload = record.payload.as_deref().unwrap_or_default();
    let id = Id {
        partition: record.partition,
        offset: record.offset,
    };
    match serde_json::from_slice::<DeadLetter>(payload) {
        Ok(letter) => Summary {
            id: id.to_string(),
            time: letter.received_at,
            vehicle: letter.vehicle,
            source: letter.source_topic_or_channel,
            reason: letter.reason,
            attempts: letter.attempts,
            size: payload.len(),
            redriven: false,
        },
        // Somebody else's record: it is shown all the same.
        Err(error) => Summary {
            id: id.to_string(),
            time: record
                .timestamp_ms
                .and_then(|ms| Timestamp::from_millisecond(ms).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            vehicle: record.key_text().map(str::to_owned),
            source: topics::DEAD_LETTERS.to_owned(),
            reason: Reason {
                field: None,
                value: None,
                problem: format!("the record is no dead letter: {error}"),
                cure: "look at the record in the topic dead-letters".to_owned(),
            },
            attempts: 0,
            size: payload.len(),
            redriven: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Summary {
        Summary {
            id: "1-5".to_owned(),
            time: Timestamp::UNIX_EPOCH,
            vehicle: Some("car-1".to_owned()),
            source: "alerts".to_owned(),
            reason: Invalid::new("speed", "900", "Too fast", "slow down").into(),
            attempts: 1,
            size: 10,
            redriven: false,
        }
    }

    #[test]
    fn ids() {
        let id = Id::parse("1-42").unwrap();
        assert_eq!((id.partition, id.offset), (1, 42));
        assert_eq!(id.to_string(), "1-42");
        for text in ["", "1", "-1-2", "1--2", "a-b"] {
            assert_eq!(Id::parse(text).unwrap_err().field, "id", "{text}");
        }
    }

    #[test]
    fn filters() {
        let passes = |filter: Filter| filter.passes(&letter());
        let some = |text: &str| Some(text.to_owned());
        assert!(passes(Filter::default()));
        let reason = |text| Filter {
            reason: some(text),
            ..Filter::default()
        };
        assert!(passes(reason("too")) && passes(reason("speed")) && !passes(reason("slow")));
        let vehicle = |text| Filter {
            vehicle: some(text),
            ..Filter::default()
        };
        assert!(passes(vehicle("car-1")) && !passes(vehicle("car-2")));
        let topic = |text| Filter {
            topic: some(text),
            ..Filter::default()
        };
        assert!(passes(topic("alerts")) && !passes(topic("mqtt")));
    }

    #[test]
    fn payloads_that_are_no_json_are_text() {
        assert_eq!(readable(b"{\"a\":1}"), json!({"a": 1}));
        assert_eq!(readable(b"{\"a\":"), json!("{\"a\":"));
    }
}
