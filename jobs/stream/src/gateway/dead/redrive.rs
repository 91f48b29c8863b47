//! A dead letter back to where it came from.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use jiff::Timestamp;
use millrace_contract::audit::Action;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{
    Alert, DeadLetter, Invalid, Kept, Payload, VehicleEvent, check_time, codec, topics,
    vehicle_event,
};
use serde_json::{Value, json};

use super::original::{Original, original};
use super::{Id, fetch, letter_of, not_whole, unavailable};
use crate::connect::ConnectError;
use crate::gateway::access::{Role, require};
use crate::gateway::answer::Refused;
use crate::gateway::event::Event;
use crate::gateway::ingest::{SOURCE, Sender, StoreError, trace_of};
use crate::gateway::intake::{Judged, Rejected};
use crate::gateway::metrics::Channel;
use crate::gateway::{Gateway, audit, query};

/// The header that tells of a record which dead letter it was.
const HEADER: &str = "millrace_redriven";

/// What is written when a dead letter is redriven.
enum Back {
    /// What a vehicle sent, through the checks that everything passes which vehicles send.
    Telemetry {
        vehicle: String,
        body: Vec<u8>,
        judged: Judged,
    },
    /// What was sent of vehicles, by a vehicle or, without one, by the role.
    VehicleEvents {
        vehicle: Option<String>,
        channel: Channel,
        body: Vec<u8>,
        judged: Judged<VehicleEvent>,
    },
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
    let entry = audit::of_letter(role, Action::Redrive, &name, vehicle);
    audit::write(&gateway, &entry).await?;
    let to = match write(&gateway, &name, back).await {
        Ok(to) => to,
        Err(Failed::Unknown(error)) => {
            tracing::warn!(id = name, %error, "nobody knows whether a redrive succeeded");
            return Err(Refused::Unavailable(format!(
                "{error}; the record may have been put back, and counts as redriven: look for it in its topic, and \
                 if it is not there, redrive it with ?again=true"
            )));
        }
        Err(Failed::Undone(error)) => {
            let entry = audit::of_letter(role, Action::RedriveFailed, &name, vehicle);
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
    if let (None, Some(channel)) = (&letter.origin, Channel::parse(source)) {
        return sent(gateway, id, letter, channel);
    }
    let Original {
        topic,
        key,
        headers,
        payload,
    } = original(gateway, id, letter).await?;
    match topic.as_str() {
        topics::TELEMETRY => return telemetry(gateway, key, headers, &payload),
        topics::VEHICLE_EVENTS => {
            let mut event = vehicle_event::decode(&payload)?;
            vehicle_event::check(&mut event)?;
            check_time(event.time, Timestamp::now(), &gateway.config.time_limits)?;
            of_key(&event.vehicle, &key)?;
        }
        topics::ALERTS => {
            let alert: Alert = serde_json::from_slice(&payload)
                .map_err(|e| not_good("payload", &e.to_string()))?;
            of_key(&alert.vehicle, &key)?;
        }
        _ => {}
    }
    Ok(Back::Record {
        topic,
        key,
        headers,
        payload,
    })
}

// What was sent to the gateway and refused: perhaps it knows more fields by now, or trusts other times; if not, it
// is refused again, and no second dead letter is written.
fn sent(gateway: &Gateway, id: Id, letter: &DeadLetter, channel: Channel) -> Result<Back, Refused> {
    if letter.kept.is_some_and(|kept| kept != Kept::Whole) {
        return Err(not_whole(id));
    }
    let body = match &letter.payload {
        sealed @ Payload::Sealed { .. } => gateway
            .secrets
            .seal_key
            .open(sealed)
            .map_err(|e| not_good("payload", &e.to_string()))?,
        Payload::Clear(value) => value.to_string().into_bytes(),
    };
    let vehicle = letter.vehicle.clone();
    match channel {
        Channel::Http | Channel::Mqtt => {
            let vehicle = vehicle.ok_or_else(|| not_whole(id))?;
            let judged = gateway.ingest.judge(Some(&vehicle), &body);
            all_good(&judged.rejected)?;
            Ok(Back::Telemetry {
                vehicle,
                body,
                judged,
            })
        }
        Channel::Events | Channel::OwnEvents => {
            let vehicle = match channel {
                // The letter is of the vehicle that was spoken of; who spoke may speak of all.
                Channel::Events => None,
                _ => Some(vehicle.ok_or_else(|| not_whole(id))?),
            };
            let judged = gateway.ingest.judge(vehicle.as_deref(), &body);
            all_good(&judged.rejected)?;
            Ok(Back::VehicleEvents {
                vehicle,
                channel,
                body,
                judged,
            })
        }
    }
}

fn all_good(rejected: &[Rejected]) -> Result<(), Refused> {
    match rejected.first() {
        Some(first) => Err(first.invalid.clone().into()),
        None => Ok(()),
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
    of_key(&event.vehicle, &key)?;
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

// Another vehicle's thing under this key would reach the wrong driver.
fn of_key(vehicle: &str, key: &str) -> Result<(), Invalid> {
    if vehicle == key {
        return Ok(());
    }
    Err(Invalid::new(
        "vehicle",
        vehicle,
        format!("is not the key of the record, {key}"),
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

/// Why nothing was put back, or perhaps nothing.
enum Failed {
    /// Surely nothing, or what may be put back twice: readers drop repeated events.
    Undone(Refused),
    /// Nobody knows: the client gave up waiting for the acknowledgement.
    Unknown(ConnectError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Undone(error.into())
    }
}

async fn write(gateway: &Gateway, id: &str, back: Back) -> Result<String, Failed> {
    match back {
        Back::Telemetry {
            vehicle,
            body,
            judged,
        } => put(gateway, Some(&vehicle), Channel::Http, &body, judged).await,
        Back::VehicleEvents {
            vehicle,
            channel,
            body,
            judged,
        } => put(gateway, vehicle.as_deref(), channel, &body, judged).await,
        Back::Record {
            topic,
            key,
            mut headers,
            payload,
        } => {
            headers.retain(|(name, _)| name != HEADER);
            headers.push((HEADER.to_owned(), id.to_owned()));
            // As long as the client itself tries: whoever stopped waiting before would call undone what it
            // still sends.
            let sent = gateway
                .producer
                .send(&topic, &key, &headers, &payload, None);
            match sent.await {
                Ok(_) => Ok(topic),
                Err(error) if error.is_surely_unsent() => Err(Failed::Undone(unavailable(error))),
                Err(error) => Err(Failed::Unknown(error)),
            }
        }
    }
}

async fn put<E: Event>(
    gateway: &Gateway,
    vehicle: Option<&str>,
    channel: Channel,
    body: &[u8],
    judged: Judged<E>,
) -> Result<String, Failed> {
    let ingest = &gateway.ingest;
    let sender = Sender {
        vehicle,
        channel,
        since: Instant::now(),
        trace: trace_of(None),
    };
    let room = ingest.room_now(sender.name(), &judged)?;
    let line = ingest.put_in_line(sender, body, judged, room)?;
    ingest.acknowledged(line, channel).await?;
    Ok(E::TOPIC.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_vehicle() {
        assert!(of_key("car-1", "car-1").is_ok());
        assert_eq!(of_key("car-2", "car-1").unwrap_err().field, "vehicle");
    }

    #[test]
    fn again_must_be_said() {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(!again(&[]).unwrap());
        assert!(again(&pair("again", "true")).unwrap());
        assert_eq!(again(&pair("force", "true")).unwrap_err().field, "query");
    }
}
