//! A dead letter back to where it came from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Alert, DeadLetter, Invalid, Origin, Payload, check_time, codec, topics};
use serde_json::{Value, json};

use super::{Id, fetch, letter_of, unavailable};
use crate::connect::Incoming;
use crate::gateway::access::{Role, require};
use crate::gateway::answer::Refused;
use crate::gateway::audit::{Action, Entry};
use crate::gateway::ingest::SOURCE;
use crate::gateway::intake::Judged;
use crate::gateway::metrics::Channel;
use crate::gateway::{Gateway, audit, query};

/// The header that tells of a record which dead letter it was.
const HEADER: &str = "millrace_redriven";
const PATIENCE: Duration = Duration::from_secs(10);

/// What is written when a dead letter is redriven.
enum Back {
    /// What a vehicle sent, through the checks that everything passes which vehicles send.
    Events { vehicle: String, judged: Judged },
    /// A record, to the topic that it lay in.
    Record {
        topic: String,
        key: String,
        headers: Vec<(String, String)>,
        payload: Vec<u8>,
    },
}

/// `POST /v1/dead-letters/{id}/redrive`: once, or again with `?again=true`.
pub async fn redrive(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Operations)?;
    let id = Id::parse(&id)?;
    let again = again(&query::pairs(&uri)?)?;
    let name = id.to_string();
    let _turn = gateway.turns.turn(&name).await;
    gateway
        .followed
        .audit
        .read_up(&gateway.lookup, topics::AUDIT)
        .await?;
    if !again && gateway.redriven.contains(&name) {
        return Err(Refused::Done(Invalid::new(
            "id",
            name,
            "was redriven before",
            "add ?again=true to do it once more",
        )));
    }
    let record = fetch(&gateway, id).await?;
    let letter = letter_of(&record, id)?;
    let back = prepare(&gateway, id, &letter).await?;
    let vehicle = letter.vehicle.as_deref();
    let entry = Entry::of_letter(role, Action::Redrive, &name, vehicle);
    audit::write(&gateway, &entry).await?;
    let to = match write(&gateway, &name, back).await {
        Ok(to) => to,
        Err(error) => {
            let entry = Entry::of_letter(role, Action::RedriveFailed, &name, vehicle);
            if audit::write(&gateway, &entry).await.is_err() {
                tracing::warn!(id = name, "a redrive failed and is recorded as done");
            }
            return Err(error);
        }
    };
    gateway.metrics.redriven.inc();
    tracing::info!(id = name, to, role = role.as_str(), "redriven");
    Ok(Json(json!({ "id": name, "redriven": true, "to": to })))
}

fn again(pairs: &[(String, String)]) -> Result<bool, Invalid> {
    let mut again = false;
    for (name, value) in pairs {
        again = match name.as_str() {
            "again" => query::flag(name, value)?,
            _ => return Err(query::unknown(name, value, "use again=true, or nothing")),
        };
    }
    Ok(again)
}

async fn prepare(gateway: &Gateway, id: Id, letter: &DeadLetter) -> Result<Back, Refused> {
    let source = letter.source_topic_or_channel.as_str();
    let channels = [Channel::Http.as_str(), Channel::Mqtt.as_str()];
    if letter.origin.is_none() && channels.contains(&source) {
        return events(gateway, id, letter);
    }
    let (topic, key, headers, payload) = original(gateway, id, letter).await?;
    match topic.as_str() {
        topics::TELEMETRY => telemetry(gateway, key, headers, &payload),
        topics::ALERTS => {
            serde_json::from_slice::<Alert>(&payload)
                .map_err(|e| not_good("payload", &e.to_string()))?;
            Ok(Back::Record {
                topic,
                key,
                headers,
                payload,
            })
        }
        _ => Ok(Back::Record {
            topic,
            key,
            headers,
            payload,
        }),
    }
}

// What came from a vehicle and was refused: perhaps the gateway knows more fields by now, or trusts other
// times; if not, it is refused again, and no second dead letter is written.
fn events(gateway: &Gateway, id: Id, letter: &DeadLetter) -> Result<Back, Refused> {
    let vehicle = letter.vehicle.clone().ok_or_else(|| not_whole(id))?;
    let body = match &letter.payload {
        sealed @ Payload::Sealed { .. } => gateway
            .secrets
            .seal_key
            .open(sealed)
            .map_err(|e| not_good("payload", &e.to_string()))?,
        Payload::Clear(value) => value.to_string().into_bytes(),
    };
    let judged = gateway.ingest.judge(&vehicle, &body);
    match judged.rejected.first() {
        Some(first) => Err(first.invalid.clone().into()),
        None => Ok(Back::Events { vehicle, judged }),
    }
}

fn telemetry(
    gateway: &Gateway,
    key: String,
    headers: Vec<(String, String)>,
    payload: &[u8],
) -> Result<Back, Refused> {
    let mut event = codec::decode(payload)?;
    codec::check(&mut event)?;
    check_time(event.time, Timestamp::now(), &gateway.config.time_limits)?;
    if event.vehicle != key {
        return Err(Invalid::new(
            "vehicle",
            &event.vehicle,
            format!("is not the key of the record, {key}"),
            "let the vehicle send the event again",
        )
        .into());
    }
    let headers = if headers.is_empty() {
        CloudEvent::of_telemetry(&event, SOURCE).headers()
    } else {
        headers
    };
    Ok(Back::Record {
        topic: topics::TELEMETRY.to_owned(),
        key,
        headers,
        payload: codec::encode(&event),
    })
}

type Original = (String, String, Vec<(String, String)>, Vec<u8>);

// The record itself, as long as its topic holds it; after that, what the letter kept of it.
async fn original(gateway: &Gateway, id: Id, letter: &DeadLetter) -> Result<Original, Refused> {
    let Some(origin) = &letter.origin else {
        let payload = kept(&letter.payload).ok_or_else(|| not_whole(id))?;
        return Ok((
            letter.source_topic_or_channel.clone(),
            letter.vehicle.clone().unwrap_or_default(),
            Vec::new(),
            payload,
        ));
    };
    let lies = origin.offset..origin.offset.saturating_add(1);
    let read = gateway
        .spans
        .read(
            &origin.topic,
            origin.partition,
            lies,
            |record: &Incoming<'_>| record.to_record(),
        )
        .await
        .map_err(unavailable)?;
    let Origin {
        topic,
        key,
        headers,
        ..
    } = origin.clone();
    let found = read.into_iter().next();
    let key = key.or_else(|| found.as_ref()?.key_text().map(str::to_owned));
    let key = key.or_else(|| letter.vehicle.clone()).unwrap_or_default();
    match found.and_then(|record| record.payload) {
        Some(payload) => Ok((topic, key, headers, payload)),
        None => {
            let payload = kept(&letter.payload).ok_or_else(|| not_whole(id))?;
            Ok((topic, key, headers, payload))
        }
    }
}

// Some letters hold only where the record lay, or the beginning of it as text.
fn kept(payload: &Payload) -> Option<Vec<u8>> {
    let Payload::Clear(value) = payload else {
        return None;
    };
    let object = value.as_object()?;
    let only = |names: &[&str]| object.keys().all(|name| names.contains(&name.as_str()));
    let is_part =
        only(&["topic", "partition", "offset", "bytes"]) || only(&["place", "bytes", "beginning"]);
    (!is_part).then(|| value.to_string().into_bytes())
}

fn not_whole(id: Id) -> Refused {
    Refused::NotFound(Invalid::new(
        "id",
        id.to_string(),
        "the letter does not hold the whole record, and its topic does not hold it any more",
        "let its sender send it again",
    ))
}

fn not_good(field: &str, problem: &str) -> Refused {
    Refused::Invalid(Invalid::new(
        field,
        "(not shown)",
        problem,
        "let its sender send it again, corrected",
    ))
}

async fn write(gateway: &Gateway, id: &str, back: Back) -> Result<String, Refused> {
    match back {
        Back::Events { vehicle, judged } => {
            let ingest = &gateway.ingest;
            let room = ingest.room_now(&vehicle, &judged)?;
            let line =
                ingest.put_in_line(&vehicle, Channel::Http, b"", judged, room, Instant::now())?;
            ingest.acknowledged(line, Channel::Http).await?;
            Ok(topics::TELEMETRY.to_owned())
        }
        Back::Record {
            topic,
            key,
            mut headers,
            payload,
        } => {
            headers.retain(|(name, _)| name != HEADER);
            headers.push((HEADER.to_owned(), id.to_owned()));
            let sent = gateway
                .producer
                .send(&topic, &key, &headers, &payload, None);
            match tokio::time::timeout(PATIENCE, sent).await {
                Ok(sent) => sent.map_err(unavailable)?,
                Err(_) => {
                    let problem = format!("topic {topic}: no acknowledgement in 10 s");
                    return Err(Refused::Unavailable(problem));
                }
            };
            Ok(topic)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_letter_kept() {
        let clear = |value| kept(&Payload::Clear(value));
        assert_eq!(clear(json!({"id": "x"})).unwrap(), b"{\"id\":\"x\"}");
        let place = json!({"topic": "telemetry", "partition": 0, "offset": 5});
        assert_eq!(clear(place.clone()), None, "only where it lay");
        let cut = json!({"place": place, "bytes": 900_000, "beginning": "{"});
        assert_eq!(clear(cut), None, "only a part of it");
        assert_eq!(clear(json!("{\"id\":")), None, "only a part of it");
    }

    #[test]
    fn again_must_be_said() {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(!again(&[]).unwrap());
        assert!(again(&pair("again", "true")).unwrap());
        assert_eq!(again(&pair("force", "true")).unwrap_err().field, "query");
    }
}
