//! Vehicle events: from whoever sees to the vehicles, and from a vehicle what it knows of itself.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use millrace_contract::VehicleEvent;

use super::Gateway;
use super::access::{Role, require};
use super::answer::Refused;
use super::http::{check_sender, take, trace};
use super::ingest::Sender;
use super::metrics::{Channel, Refusal};

/// `POST /v1/vehicle-events`: of all vehicles, from the systems of workshop and hire desk. A vehicle need not be
/// enrolled for it: those that send no telemetry are hired and repaired as well.
pub async fn of_fleet(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let channel = Channel::Events;
    let sender = Sender {
        vehicle: None,
        channel,
        since: Instant::now(),
        trace: trace(&headers),
    };
    require(&headers, &gateway.secrets, Role::Events)
        .inspect_err(|_| gateway.metrics.refused(channel, Refusal::Auth, 1))?;
    take::<VehicleEvent>(&gateway, sender, body).await
}

/// `POST /v1/vehicles/{id}/vehicle-events`: breakdowns and hires, from the vehicle itself.
pub async fn of_vehicle(
    State(gateway): State<Arc<Gateway>>,
    Path(vehicle): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let channel = Channel::OwnEvents;
    let sender = Sender {
        vehicle: Some(&vehicle),
        channel,
        since: Instant::now(),
        trace: trace(&headers),
    };
    check_sender(&gateway, &vehicle, &headers, channel)?;
    take::<VehicleEvent>(&gateway, sender, body).await
}
