//! `POST /v1/notifications`: a notification on its way to a vehicle, once per id.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Invalid, Notification, check_vehicle_id, topics};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::Gateway;
use super::access::{Role, require};
use super::answer::Refused;
use super::http::{read, trace};
use super::ingest::SOURCE;
use super::notified::{Notified, Stage};

const LONGEST_ID: usize = 256;
const LONGEST_TEXT: usize = 8 * 1024;
const SHARDS: usize = 64;

/// Two requests with one id wait for each other, so that the second is known as a repetition.
pub struct Turns {
    shards: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Turns {
    /// Waits until nobody else has the turn of this id.
    pub(super) async fn turn(&self, id: &str) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(id.as_bytes());
        let shard = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or_default();
        match self.shards.get(shard) {
            Some(mutex) => Some(mutex.lock().await),
            None => None,
        }
    }
}

/// Takes a notification. 202 as soon as Kafka has it.
///
/// A crash between the two records is harmless: only the notification itself makes its id known, so the
/// repetition is taken; and should the answer get lost, a repetition that slips in is dropped by who reads.
pub async fn accept(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refused> {
    require(&headers, &gateway.secrets, Role::Notify)?;
    let trace = trace(&headers);
    let body = read(body, gateway.config.max_body_bytes).await?;
    let notification: Notification = serde_json::from_slice(&body).map_err(|e| {
        Invalid::new(
            "body",
            "(notification)",
            e.to_string(),
            "send one JSON object with all fields of a notification",
        )
    })?;
    let _turn = gateway.turns.turn(&notification.id).await;
    let id = notification.id.clone();
    if gateway.downlink.knows(&id) {
        return Ok((
            StatusCode::ACCEPTED,
            Json(json!({ "id": id, "duplicate": true })),
        ));
    }
    let now = Timestamp::now();
    check(&notification, now)?;
    let record = Notified::of(&notification, Stage::Accepted, now);
    // Before the notification itself: nobody can deliver what is not there, so the record of the delivery
    // comes after this one and is the one that compaction keeps.
    in_time(&gateway, gateway.downlink.write_notified(&id, &record)).await?;
    let headers = CloudEvent::of_notification(&notification, SOURCE)
        .traced(Some(trace))
        .headers();
    let payload =
        serde_json::to_vec(&notification).map_err(|e| Refused::Unavailable(e.to_string()))?;
    in_time(&gateway, async {
        let sent = gateway.producer.send(
            topics::NOTIFICATIONS,
            &notification.vehicle,
            &headers,
            &payload,
            None,
        );
        sent.await.map(drop).map_err(|e| e.to_string())
    })
    .await?;
    tracing::info!(id, trace = trace.trace_id(), "notification accepted");
    gateway.metrics.notifications.inc();
    gateway.downlink.offer(notification, now);
    Ok((
        StatusCode::ACCEPTED,
        Json(json!({ "id": id, "duplicate": false })),
    ))
}

// What is given up here may still be written: the repetition that follows is then dropped by who reads.
async fn in_time(
    gateway: &Gateway,
    write: impl Future<Output = Result<(), String>>,
) -> Result<(), Refused> {
    let limit = Duration::from_millis(u64::from(gateway.config.kafka_timeout_ms));
    match tokio::time::timeout(limit, write).await {
        Ok(result) => result.map_err(Refused::Unavailable),
        Err(_) => Err(Refused::Unavailable(format!(
            "no acknowledgement in {} ms",
            limit.as_millis()
        ))),
    }
}

fn check(notification: &Notification, now: Timestamp) -> Result<(), Invalid> {
    check_vehicle_id(&notification.vehicle)?;
    if notification.id.is_empty() || notification.id.len() > LONGEST_ID {
        return Err(Invalid::new(
            "id",
            &notification.id,
            format!("empty or longer than {LONGEST_ID} bytes"),
            "send the id of the alert",
        ));
    }
    let unfit = |field: &str, text: &str, problem: &str| {
        Invalid::new(
            field,
            text,
            format!("{problem} than {LONGEST_TEXT} bytes"),
            "send what the driver shall read and hear; an empty ssml is not spoken",
        )
    };
    if notification.text.is_empty() || notification.text.len() > LONGEST_TEXT {
        return Err(unfit("text", &notification.text, "empty or longer"));
    }
    if notification.ssml.len() > LONGEST_TEXT {
        return Err(unfit("ssml", &notification.ssml, "longer"));
    }
    if notification.expires_at <= now {
        return Err(Invalid::new(
            "expires_at",
            notification.expires_at.to_string(),
            "is in the past",
            "send a time until which the notification is worth telling",
        ));
    }
    Ok(())
}
