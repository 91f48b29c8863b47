//! Enrolling, rotating, revoking and listing vehicles.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use millrace_contract::audit::{Action, Entry};
use millrace_contract::{Invalid, check_vehicle_id, topics};
use serde_json::{Value, json};

use super::access::{Role, require};
use super::answer::Refused;
use super::canary::check_not_canary;
use super::credential::{Credential, new_token};
use super::credentials::{Enrolled, MOST_FORMER};
use super::{Gateway, audit, query};

const READ_BACK: Duration = Duration::from_secs(10);
const LONGEST_GRACE_SECONDS: u32 = 30 * 24 * 3600;
const MOST_LISTED: u32 = 10_000;
const USUALLY_LISTED: u32 = 1000;

/// `PUT /v1/vehicles/{id}`: a new token, shown this once. The former ones stop to work; with
/// `?grace_seconds=` the present one after that time, and those before it when their own grace is over.
pub async fn enrol(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Vehicles)?;
    check_vehicle_id(&vehicle)?;
    check_not_canary(&vehicle)?;
    let grace = grace_seconds(&query::pairs(&uri)?)?;
    let _turn = gateway.turns.turn(&vehicle).await;
    // Another replica may have rotated it a moment ago.
    let topic = topics::VEHICLE_CREDENTIALS;
    let followed = &gateway.followed.credentials;
    followed.read_up(&gateway.lookup, topic).await?;
    let token = new_token().map_err(|e| Refused::Unavailable(format!("no random bytes: {e}")))?;
    let now = Timestamp::now();
    let until = now + SignedDuration::from_secs(i64::from(grace));
    let former = gateway.credentials.former(&vehicle, until, now);
    let action = if former.is_some() {
        Action::Rotate
    } else {
        Action::Enrol
    };
    let former = former.filter(|_| grace > 0).unwrap_or_default();
    if former.len() > MOST_FORMER {
        return Err(too_many_former(&vehicle));
    }
    let grace_until = former.first().map(|f| f.until);
    let entry = Entry {
        grace_until,
        ..audit::of_vehicle(role, action, &vehicle)
    };
    let credential = Credential::of(&vehicle, &token, now, former);
    let record =
        serde_json::to_vec(&credential).map_err(|e| Refused::Unavailable(e.to_string()))?;
    audit::write(&gateway, &entry).await?;
    write(&gateway, &vehicle, Some(&record)).await?;
    tracing::info!(vehicle, ?action, role = role.as_str(), "token made");
    let mut answer = json!({ "vehicle": vehicle, "token": token.expose() });
    if let (Some(until), Some(object)) = (grace_until, answer.as_object_mut()) {
        object.insert("grace_until".to_owned(), json!(until));
    }
    Ok(Json(answer))
}

/// `DELETE /v1/vehicles/{id}`: its tokens stop to work and its session is closed.
pub async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Vehicles)?;
    check_vehicle_id(&vehicle)?;
    let _turn = gateway.turns.turn(&vehicle).await;
    let entry = audit::of_vehicle(role, Action::Revoke, &vehicle);
    audit::write(&gateway, &entry).await?;
    write(&gateway, &vehicle, None).await?;
    gateway.downlink.forget_session(&vehicle);
    tracing::info!(vehicle, role = role.as_str(), "revoked");
    Ok(Json(json!({ "vehicle": vehicle, "revoked": true })))
}

/// `GET /v1/vehicles/{id}`: since when it has its token.
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    require(&headers, &gateway.secrets, Role::Vehicles)?;
    check_vehicle_id(&vehicle)?;
    match gateway.credentials.show(&vehicle, Timestamp::now()) {
        Some(enrolled) => Ok(Json(shown(&enrolled))),
        None => Err(Refused::NotFound(Invalid::new(
            "vehicle",
            &vehicle,
            "is not enrolled",
            format!("enrol it with PUT /v1/vehicles/{vehicle}"),
        ))),
    }
}

/// `GET /v1/vehicles?limit=&after=`: the enrolled ones in order of their ids, a page at a time.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    require(&headers, &gateway.secrets, Role::Vehicles)?;
    let pairs = query::pairs(&uri)?;
    let (mut limit, mut after) = (USUALLY_LISTED, None);
    for (name, value) in &pairs {
        match name.as_str() {
            "limit" => limit = query::number(name, value, 1, MOST_LISTED)?,
            "after" => after = Some(value.as_str()),
            _ => {
                let cure = "use limit=<number> and after=<vehicle id>, or nothing";
                return Err(query::unknown(name, value, cure).into());
            }
        }
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (page, more) = gateway.credentials.list(after, limit, Timestamp::now());
    let vehicles: Vec<Value> = page.iter().map(shown).collect();
    let mut answer = Json(json!({ "vehicles": vehicles })).into_response();
    if let Some(last) = page.last().filter(|_| more)
        && let Ok(link) =
            query::link_to_next("/v1/vehicles", &pairs, ("after", &last.vehicle)).parse()
    {
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

fn shown(enrolled: &Enrolled) -> Value {
    let mut shown = json!({
        "vehicle": enrolled.vehicle, "enrolled": true, "since": enrolled.since,
    });
    if let (Some(until), Some(object)) = (enrolled.grace_until, shown.as_object_mut()) {
        object.insert("grace_until".to_owned(), json!(until));
    }
    shown
}

// Whichever of them were dropped could be the one that the vehicle uses.
fn too_many_former(vehicle: &str) -> Refused {
    Refused::Done(Invalid::new(
        "grace_seconds",
        vehicle,
        format!("{MOST_FORMER} former tokens of it still work"),
        format!(
            "wait until grace_until of GET /v1/vehicles/{vehicle}, or leave grace_seconds out, which ends them all"
        ),
    ))
}

fn grace_seconds(pairs: &[(String, String)]) -> Result<u32, Invalid> {
    let mut grace = 0;
    for (name, value) in pairs {
        grace = match name.as_str() {
            "grace_seconds" => query::number(name, value, 0, LONGEST_GRACE_SECONDS)?,
            _ => return Err(query::unknown(name, value, "use grace_seconds=<number>")),
        };
    }
    Ok(grace)
}

// The change takes effect where the topic is read, in the order in which it was written, on every replica
// alike; here the answer waits until it has.
async fn write(gateway: &Gateway, vehicle: &str, record: Option<&[u8]>) -> Result<(), Refused> {
    let partition = gateway.credentials.partition_of(vehicle);
    let topic = topics::VEHICLE_CREDENTIALS;
    let delivery = gateway
        .producer
        .enqueue(topic, vehicle, &[], record, partition)
        .map_err(|e| Refused::Unavailable(e.to_string()))?;
    let written = async {
        let (partition, offset) = delivery
            .acknowledged()
            .await
            .map_err(|e| Refused::Unavailable(e.to_string()))?;
        gateway
            .followed
            .credentials
            .reached(partition, offset)
            .await;
        Ok(())
    };
    tokio::time::timeout(READ_BACK, written)
        .await
        .unwrap_or_else(|_| {
            Err(Refused::Unavailable(
                "the change was not seen in 10 s".to_owned(),
            ))
        })
}
