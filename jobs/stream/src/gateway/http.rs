//! The HTTP side: routes, who may call them, and telemetry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures::StreamExt;
use jiff::Timestamp;
use millrace_contract::{Invalid, Telemetry, TraceParent, check_vehicle_id, trace};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::access::bearer;
use super::answer::{Crowd, Refused};
use super::event::Event;
use super::ingest::{Sender, StoreError, trace_of};
use super::metrics::{Channel, Refusal};
use super::shares::{Share, Shares};
use super::{
    Gateway, admin, canary, changes, dead, drivers, erasure, flow, notify, pending, runs,
    vehicle_events,
};

/// After the limit, so much more is read and thrown away, that a client which sends before it reads gets
/// its answer instead of a broken connection.
const DRAINED: usize = 16 * 1024 * 1024;

/// Who sends slower than this holds a connection for nothing.
const SLOWEST_BODY: Duration = Duration::from_secs(60);

/// Bodies of events that may be in memory at once.
const ALL_BODIES_KIB: u32 = 64 * 1024;

/// Of one vehicle.
const BODIES_OF_ONE: usize = 4;

/// Room for bodies, counted in KiB, so that many large ones at once cannot take all memory, and in bodies of
/// one vehicle, so that its slow ones cannot take all room.
pub struct Bodies {
    all: Semaphore,
    of_one: Shares,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            all: Semaphore::new(ALL_BODIES_KIB as usize),
            of_one: Shares::new(BODIES_OF_ONE),
        }
    }
}

impl Bodies {
    // A body that does not say how large it is may be as large as any.
    fn room(
        &self,
        vehicle: &str,
        announced: Option<u64>,
        limit: u32,
    ) -> Result<(Share, SemaphorePermit<'_>), Refused> {
        let share = self
            .of_one
            .take_now(vehicle, 1)
            .ok_or(Refused::Crowded(Crowd::OfOne {
                bodies: BODIES_OF_ONE,
            }))?;
        let bytes = announced.map_or(u64::from(limit), |size| size.min(u64::from(limit)));
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self
            .all
            .try_acquire_many(kib.clamp(1, ALL_BODIES_KIB))
            .map_err(|_| {
                Refused::Crowded(Crowd::OfAll {
                    kib: ALL_BODIES_KIB,
                })
            })?;
        Ok((share, room))
    }
}

/// All routes.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/vehicles/{vehicle}/telemetry", post(telemetry))
        .route(
            "/v1/vehicles/{vehicle}/vehicle-events",
            post(vehicle_events::of_vehicle),
        )
        .route("/v1/vehicle-events", post(vehicle_events::of_fleet))
        .route(
            "/v1/vehicles/{vehicle}",
            put(admin::enrol).get(admin::show).delete(admin::revoke),
        )
        .route("/v1/vehicles", get(admin::list))
        .route("/v1/dead-letters", get(dead::list))
        .route("/v1/dead-letters/{id}", get(dead::show))
        .route("/v1/dead-letters/{id}/redrive", post(dead::redrive))
        .route("/v1/notifications", post(notify::accept))
        .route("/v1/driver-profiles", put(drivers::set_profile))
        .route("/v1/erasures/look-up", post(erasure::look_up))
        .route("/v1/erasures/begin", post(erasure::begin))
        .route("/v1/erasures/pending", post(pending::pending))
        .route("/v1/erasures/finish", post(erasure::finish))
        .route("/v1/hire-scores", post(drivers::take_scores))
        .route("/v1/offers", post(drivers::take_offer))
        .route("/v1/flow", get(flow::flow))
        .route("/v1/canary", post(canary::send))
        .route("/v1/changes", post(changes::take))
        .route("/v1/kubernetes-audit", post(changes::take_events))
        .route("/v1/activations", post(runs::take))
        .fallback(unknown)
        // Bodies are limited where they are read, with an answer that names the limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(gateway)
}

async fn unknown(request: Request) -> Refused {
    Refused::NotFound(Invalid::new(
        "path",
        request.uri().path(),
        "there is no such endpoint",
        "use POST /v1/vehicles/{id}/telemetry or …/vehicle-events; POST /v1/vehicle-events; PUT, GET or DELETE /v1/vehicles/{id}; GET /v1/vehicles; POST /v1/notifications; PUT /v1/driver-profiles; POST /v1/hire-scores; POST /v1/offers; GET /v1/dead-letters; GET /v1/flow; or POST /v1/canary, /v1/changes, /v1/kubernetes-audit, /v1/activations",
    ))
}

async fn telemetry(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let since = Instant::now();
    check_sender(&gateway, &vehicle, &headers, Channel::Http)?;
    let sender = Sender {
        vehicle: Some(&vehicle),
        channel: Channel::Http,
        since,
        trace: trace(&headers),
    };
    take::<Telemetry>(&gateway, sender, body).await
}

/// Lets a vehicle in with a token of its own.
pub fn check_sender(
    gateway: &Gateway,
    vehicle: &str,
    headers: &HeaderMap,
    channel: Channel,
) -> Result<(), Refused> {
    check_vehicle_id(vehicle)?;
    let checked = gateway
        .credentials
        .check(vehicle, bearer(headers), Timestamp::now());
    checked.map(drop).map_err(|error| {
        gateway.metrics.refused(channel, Refusal::Auth, 1);
        error.into()
    })
}

/// The trace of a request: that of its header `traceparent`, else a new one.
pub fn trace(headers: &HeaderMap) -> TraceParent {
    let told = headers.get(trace::NAME).and_then(|text| text.to_str().ok());
    trace_of(told)
}

/// Takes a body of events in, and answers when Kafka has acknowledged them.
pub async fn take<E: Event>(
    gateway: &Gateway,
    sender: Sender<'_>,
    body: Body,
) -> Result<Response, Refused> {
    let channel = sender.channel;
    let refused = |why| gateway.metrics.refused(channel, why, 1);
    if let Some(seconds) = gateway.throttle.refused() {
        refused(Refusal::Throttled);
        return Err(StoreError::Throttled { seconds }.into());
    }
    let limit = gateway.config.max_body_bytes;
    let _room = gateway
        .bodies
        .room(sender.name(), body.size_hint().exact(), limit)
        .inspect_err(|_| refused(Refusal::Busy))?;
    let body = read(body, limit)
        .await
        .inspect_err(|_| refused(Refusal::TooLarge))?;
    let judged = gateway.ingest.judge::<E>(sender.vehicle, &body);
    let room = gateway
        .ingest
        .room_now(sender.name(), &judged)
        .inspect_err(|_| refused(Refusal::Busy))?;
    let line = gateway.ingest.put_in_line(sender, &body, judged, room)?;
    let stored = gateway.ingest.acknowledged(line, channel).await?;
    // Part of a batch is success with a list; nothing of it is an error, and the first reason is its headline.
    let status = match stored.rejected.first() {
        Some(_) if stored.accepted == 0 => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let mut answer = json!({ "accepted": stored.accepted, "rejected": stored.rejected });
    if status == StatusCode::BAD_REQUEST
        && let (Some(first), Some(object)) = (stored.rejected.first(), answer.as_object_mut())
    {
        object.insert("error".to_owned(), json!(first.invalid));
    }
    Ok((status, Json(answer)).into_response())
}

/// Reads a body of at most `limit` bytes, which must come within a time limit.
pub async fn read(body: Body, limit: u32) -> Result<Bytes, Refused> {
    tokio::time::timeout(SLOWEST_BODY, read_all(body, limit))
        .await
        .unwrap_or_else(|_| {
            Err(Refused::Invalid(Invalid::new(
                "body",
                "(incomplete)",
                format!("did not come whole in {} s", SLOWEST_BODY.as_secs()),
                "send smaller bodies over a slow connection",
            )))
        })
}

async fn read_all(body: Body, limit: u32) -> Result<Bytes, Refused> {
    let limit_bytes = limit as usize;
    let announced = body.size_hint().exact();
    let mut chunks = body.into_data_stream();
    let (mut kept, mut size) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| {
            Refused::Invalid(Invalid::new(
                "body",
                "(incomplete)",
                e.to_string(),
                "send the body again",
            ))
        })?;
        size += chunk.len();
        if size <= limit_bytes {
            kept.extend_from_slice(&chunk);
        } else if size > limit_bytes + DRAINED {
            break;
        } else {
            kept.clear();
        }
    }
    if size > limit_bytes {
        return Err(Refused::TooLarge {
            size: announced,
            limit,
        });
    }
    Ok(Bytes::from(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_room() {
        let bodies = Bodies::default();
        let room = |n: usize, announced| bodies.room(&format!("car-{n}"), announced, 1 << 20);
        let large: Vec<_> = (0..63).map(|n| room(n, None).unwrap()).collect();
        let half = room(63, Some(512 * 1024)).unwrap();
        let e = room(64, Some(512 * 1024 + 1)).unwrap_err();
        assert!(matches!(e, Refused::Crowded(Crowd::OfAll { kib: 65_536 })));
        drop(half);
        assert!(room(64, Some(u64::MAX)).is_ok());
        drop(large);
        // One body may always come, however large it may be.
        assert!(bodies.room("car", None, u32::MAX).is_ok());
        assert!(room(0, Some(0)).is_ok());
    }

    #[test]
    fn one_vehicle_does_not_take_all_the_room() {
        let bodies = Bodies::default();
        let room = |vehicle| bodies.room(vehicle, None, 1 << 20);
        let slow: Vec<_> = (0..4).map(|_| room("slow").unwrap()).collect();
        assert!(matches!(
            room("slow").unwrap_err(),
            Refused::Crowded(Crowd::OfOne { bodies: 4 })
        ));
        assert!(room("other").is_ok());
        drop(slow);
        assert!(room("slow").is_ok());
    }

    #[tokio::test]
    async fn bodies_are_limited() {
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
        let e = read(Body::from("123456"), 5).await.unwrap_err();
        assert!(matches!(
            e,
            Refused::TooLarge {
                size: Some(6),
                limit: 5
            }
        ));
    }
}
