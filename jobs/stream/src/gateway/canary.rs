//! `POST /v1/canary`: an event of no vehicle, which goes the way of all events, so that somebody can see how far it comes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Invalid, Telemetry, codec, topics};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Gateway;
use super::access::{Role, require};
use super::answer::Refused;
use super::ingest::{SOURCE, trace_of};
use super::query;

/// The vehicle that canaries are of. No vehicle can be enrolled under this name.
pub const VEHICLE: &str = "millrace-canary";

/// Where a canary was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its vehicle.
    pub vehicle: String,
    /// Its number.
    pub sequence: u64,
    /// Its time.
    pub time: Timestamp,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Sends a canary and answers when Kafka has acknowledged it. `?sequence=` numbers it, so that a series of them passes
/// detection as that of any vehicle; 0 when absent, which begins a series.
pub async fn send(
    State(gateway): State<Arc<Gateway>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Sent>, Refused> {
    require(&headers, &gateway.secrets, Role::Operations)?;
    let sequence = sequence(&query::pairs(&uri)?)?;
    // Nothing was measured, so no rule, no average and no track has anything of it.
    let body = json!({ "vehicle": VEHICLE, "sequence": sequence, "time": Timestamp::now() });
    let judged = gateway
        .ingest
        .judge::<Telemetry>(Some(VEHICLE), body.to_string().as_bytes());
    if let Some(rejected) = judged.rejected.into_iter().next() {
        return Err(Refused::Invalid(rejected.invalid));
    }
    let Some(event) = judged.accepted.into_iter().next() else {
        return Err(Refused::Unavailable("the canary came to nothing".into()));
    };
    let headers = CloudEvent::of_telemetry(&event, SOURCE)
        .traced(Some(trace_of(None)))
        .headers();
    let payload = codec::encode(&event);
    let stored = gateway
        .producer
        .send(topics::TELEMETRY, VEHICLE, &headers, &payload, None);
    let limit = Duration::from_millis(u64::from(gateway.config.kafka_timeout_ms));
    let (partition, offset) = tokio::time::timeout(limit, stored)
        .await
        .map_err(|_| {
            Refused::Unavailable(format!("no acknowledgement in {} ms", limit.as_millis()))
        })?
        .map_err(|e| Refused::Unavailable(e.to_string()))?;
    Ok(Json(Sent {
        vehicle: VEHICLE.to_owned(),
        sequence,
        time: event.time,
        topic: topics::TELEMETRY.to_owned(),
        partition,
        offset,
    }))
}

/// Refuses to take the name of the canary for a vehicle.
///
/// # Errors
/// It is that name.
pub fn check_not_canary(vehicle: &str) -> Result<(), Invalid> {
    if vehicle == VEHICLE {
        return Err(Invalid::new(
            "vehicle",
            vehicle,
            "is kept for canaries, which are of no vehicle",
            "choose another id",
        ));
    }
    Ok(())
}

fn sequence(pairs: &[(String, String)]) -> Result<u64, Invalid> {
    let mut sequence = 0;
    for (name, value) in pairs {
        if name != "sequence" {
            return Err(query::unknown(name, value, "use sequence=<number>"));
        }
        sequence = value.parse().map_err(|_| {
            Invalid::new(
                "sequence",
                value,
                "is no number",
                "give a whole number from 0",
            )
        })?;
    }
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_canary() {
        let of = |text: &str| {
            let uri: Uri = format!("/v1/canary{text}").parse().unwrap();
            sequence(&query::pairs(&uri).unwrap())
        };
        assert_eq!(of("").unwrap(), 0);
        assert_eq!(of("?sequence=7").unwrap(), 7);
        assert_eq!(of("?sequence=-1").unwrap_err().field, "sequence");
        assert_eq!(of("?number=7").unwrap_err().field, "query");
    }

    #[test]
    fn no_vehicle_takes_its_name() {
        assert_eq!(check_not_canary(VEHICLE).unwrap_err().value, VEHICLE);
        assert!(check_not_canary("millrace-canary-2").is_ok());
    }
}
