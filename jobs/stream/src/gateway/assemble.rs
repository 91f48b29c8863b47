//! The parts of a gateway put together, and what keeps them going.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use millrace_contract::{Notification, topics};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::audit::Redriven;
use super::config::{Config, Secrets};
use super::credentials::{Credentials, Place};
use super::downlink::Downlink;
use super::follower::{Progress, Surroundings, follow, follow_from_now};
use super::hires::WrittenHires;
use super::http::Bodies;
use super::ingest::Ingest;
use super::metrics::Metrics;
use super::notify::Turns;
use super::throttle::Throttle;
use super::{CLIENT_ID, Followed, Gateway, GatewayError};
use crate::connect::{Access, Lookup, Producer, SpanReader};
use crate::server::Health;

const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// A session of a former token ends within this time after its grace.
const GRACES_EVERY: Duration = Duration::from_millis(500);

/// Makes all parts; the topics are followed from here on.
pub fn gateway(
    config: Config,
    secrets: Secrets,
    access: &Access,
    throttle: Arc<Throttle>,
    metrics: Arc<Metrics>,
    health: &Health,
    stop: &CancellationToken,
) -> Result<Gateway, GatewayError> {
    let producer = Producer::new(access, CLIENT_ID)?;
    let lookup = Lookup::new(access, CLIENT_ID)?;
    let spans = SpanReader::new(access, CLIENT_ID)?;
    let runtime = Handle::current();
    let credentials = Arc::new(Credentials::default());
    let redriven = Arc::new(Redriven::default());
    let hires = Arc::new(WrittenHires::default());
    let downlink = Arc::new(Downlink::new(
        config.remember_seconds,
        config.quiet_seconds,
        producer.clone(),
        Arc::clone(&metrics),
        runtime.clone(),
    ));
    let around = Surroundings {
        access: access.clone(),
        client_id: CLIENT_ID,
        lookup: lookup.clone(),
        health: health.clone(),
        stop: stop.clone(),
    };
    follow_sessions(around.clone(), &downlink);
    let followed = Followed {
        credentials: follow_credentials(around.clone(), &credentials, &downlink, &metrics),
        notifications: follow_notifications(around.clone(), &downlink),
        notified: follow_notified(around.clone(), &downlink),
        hires: follow_hires(around.clone(), &hires),
        audit: follow_audit(around, &redriven),
    };
    let ingest = Ingest::new(
        config.clone(),
        secrets.clone(),
        producer.clone(),
        Arc::clone(&metrics),
        hires,
    );
    Ok(Gateway {
        config,
        secrets,
        credentials,
        redriven,
        downlink,
        ingest,
        throttle,
        producer,
        lookup,
        spans,
        access: access.clone(),
        followed,
        turns: Turns::default(),
        bodies: Bodies::default(),
        metrics,
        runtime,
    })
}

fn follow_credentials(
    around: Surroundings,
    credentials: &Arc<Credentials>,
    downlink: &Arc<Downlink>,
    metrics: &Arc<Metrics>,
) -> Progress {
    let (credentials, downlink) = (Arc::clone(credentials), Arc::clone(downlink));
    let metrics = Arc::clone(metrics);
    follow(around, topics::VEHICLE_CREDENTIALS, move |record| {
        let Some(vehicle) = record.key_text() else {
            return;
        };
        let place = Place {
            partition: record.partition,
            written_ms: record.timestamp_ms.unwrap_or_default(),
        };
        if credentials.apply(vehicle, record.payload.as_deref(), place) {
            downlink.look_at(vehicle, &credentials, Timestamp::now());
        }
        let enrolled = i64::try_from(credentials.len()).unwrap_or(i64::MAX);
        metrics.vehicles.set(enrolled);
    })
}

fn follow_notifications(around: Surroundings, downlink: &Arc<Downlink>) -> Progress {
    let downlink = Arc::clone(downlink);
    follow(around, topics::NOTIFICATIONS, move |record| {
        let payload = record.payload.as_deref().unwrap_or_default();
        match serde_json::from_slice::<Notification>(payload) {
            Ok(notification) => downlink.offer(notification, Timestamp::now()),
            Err(error) => tracing::error!(
                partition = record.partition, offset = record.offset, %error,
                "unreadable record in topic notifications; it is passed over"
            ),
        }
    })
}

fn follow_notified(around: Surroundings, downlink: &Arc<Downlink>) -> Progress {
    let downlink = Arc::clone(downlink);
    follow(around, topics::NOTIFIED, move |record| {
        if let Some(id) = record.key_text() {
            let payload = record.payload.as_deref();
            downlink.apply_notified(id, payload, record.partition, Timestamp::now());
        }
    })
}

fn follow_sessions(around: Surroundings, downlink: &Arc<Downlink>) {
    let downlink = Arc::clone(downlink);
    follow(around, topics::VEHICLE_SESSIONS, move |record| {
        if let Some(vehicle) = record.key_text() {
            downlink.apply_session(vehicle, record.payload.as_deref(), Timestamp::now());
        }
    });
}

fn follow_hires(around: Surroundings, hires: &Arc<WrittenHires>) -> Progress {
    let hires = Arc::clone(hires);
    // None is known to be written yet, so what was removed before does not matter.
    follow_from_now(around, topics::HIRES, move |record| hires.apply(record))
}

fn follow_audit(around: Surroundings, redriven: &Arc<Redriven>) -> Progress {
    let redriven = Arc::clone(redriven);
    follow(around, topics::AUDIT, move |record| {
        redriven.apply(record.payload.as_deref().unwrap_or_default());
    })
}

/// Waits until all that is followed has been read; false when `stop` was cancelled before.
pub async fn restored(health: &Health, stop: &CancellationToken) -> bool {
    // Everything but the listeners themselves.
    while health.reasons().len() > 1 {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    !stop.is_cancelled()
}

/// Starts what happens by the clock: quiet that is over, graces that are over, notifications that expire.
pub fn spawn_upkeep(gateway: &Arc<Gateway>, health: Health, stop: &CancellationToken) {
    tokio::spawn(Arc::clone(&gateway.downlink).keep_time(stop.clone()));
    tokio::spawn(end_graces(Arc::clone(gateway), stop.clone()));
    tokio::spawn(upkeep(Arc::clone(gateway), health, stop.clone()));
}

async fn end_graces(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut every = tokio::time::interval(GRACES_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        let now = Timestamp::now();
        for vehicle in gateway.credentials.graces_over(now) {
            gateway
                .downlink
                .look_at(&vehicle, &gateway.credentials, now);
        }
    }
}

async fn upkeep(gateway: Arc<Gateway>, health: Health, stop: CancellationToken) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        gateway.downlink.expire(Timestamp::now());
        if let Some(reason) = gateway.producer.fatal() {
            tracing::error!(reason, "the Kafka producer is of no use any more");
            health.dead(format!("Kafka producer: {reason}"));
        }
    }
}
