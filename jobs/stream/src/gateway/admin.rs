//! Enrolling, rotating and revoking vehicles.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use millrace_contract::{Invalid, check_vehicle_id, topics};
use serde_json::{Value, json};

use super::Gateway;
use super::answer::Refused;
use super::credentials::{Credential, new_token};
use super::http::require;

const READ_BACK: Duration = Duration::from_secs(10);

/// `PUT /v1/vehicles/{id}`: a new token; an older one stops to work. The token is shown this once.
pub async fn enrol(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    admitted(&gateway, &headers, &vehicle)?;
    let token = new_token().map_err(|e| Refused::Unavailable(format!("no random bytes: {e}")))?;
    let credential = Credential::of(&vehicle, &token, Timestamp::now());
    let record =
        serde_json::to_vec(&credential).map_err(|e| Refused::Unavailable(e.to_string()))?;
    write(&gateway, &vehicle, Some(&record)).await?;
    tracing::info!(vehicle, "enrolled");
    Ok(Json(json!({ "vehicle": vehicle, "token": token.expose() })))
}

/// `DELETE /v1/vehicles/{id}`: its token stops to work and its session is closed.
pub async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    admitted(&gateway, &headers, &vehicle)?;
    write(&gateway, &vehicle, None).await?;
    tracing::info!(vehicle, "revoked");
    Ok(Json(json!({ "vehicle": vehicle, "revoked": true })))
}

/// `GET /v1/vehicles/{id}`: since when it has its token.
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    admitted(&gateway, &headers, &vehicle)?;
    match gateway.credentials.since(&vehicle) {
        Some(since) => Ok(Json(
            json!({ "vehicle": vehicle, "enrolled": true, "since": since }),
        )),
        None => Err(Refused::NotFound(Invalid::new(
            "vehicle",
            &vehicle,
            "is not enrolled",
            format!("enrol it with PUT /v1/vehicles/{vehicle}"),
        ))),
    }
}

fn admitted(gateway: &Gateway, headers: &HeaderMap, vehicle: &str) -> Result<(), Refused> {
    require(headers, &gateway.secrets.admin_token, "admin-token")?;
    Ok(check_vehicle_id(vehicle)?)
}

// The change takes effect where the topic is read, in the order in which it was written, on every replica
// alike; here the answer waits until it has.
async fn write(gateway: &Gateway, vehicle: &str, record: Option<&[u8]>) -> Result<(), Refused> {
    let delivery = gateway
        .producer
        .enqueue(topics::VEHICLE_CREDENTIALS, vehicle, &[], record, None)
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
