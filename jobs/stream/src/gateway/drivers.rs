//! What is known of drivers, how their hires were driven, and what they are offered.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use futures::future::try_join_all;
use millrace_contract::audit::Action;
use millrace_contract::cloudevent::CONTENT_TYPE;
use millrace_contract::driver::{HireScore, Offer, Profile};
use millrace_contract::{Invalid, topics};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Gateway;
use super::access::{Role, require};
use super::answer::Refused;
use super::audit;
use super::http::read;
use crate::connect::Delivery;

/// Longest driver id, in bytes: as in telemetry.
pub(super) const LONGEST_DRIVER: usize = 256;
/// Longest id of an offer, in bytes.
const LONGEST_ID: usize = 256;

/// A driver as the hire desk names them, and what they have agreed to.
#[derive(Deserialize)]
struct NamedProfile {
    driver: String,
    #[serde(flatten)]
    profile: serde_json::Map<String, Value>,
}

/// `PUT /v1/driver-profiles`: what is known of a driver from now on; what it leaves out is not known any more. The driver
/// is in the body, for addresses end up in logs.
pub async fn set_profile(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Drivers)?;
    let named: NamedProfile = json_body(&gateway, body, "a driver and their profile").await?;
    if named.driver.is_empty() || named.driver.len() > LONGEST_DRIVER {
        let problem = format!("empty or longer than {LONGEST_DRIVER} bytes");
        let cure = "send the id that telemetry names the driver by";
        return Err(Invalid::new("driver", "(not shown)", problem, cure).into());
    }
    let profile: Profile =
        serde_json::from_value(Value::Object(named.profile)).map_err(|error| {
            let cure = "send driver, and of language, time_zone, mail and offers what is known";
            Invalid::new("body", "(not shown)", error.to_string(), cure)
        })?;
    profile.validate()?;
    let driver = gateway.secrets.pseudonym_key.driver(&named.driver);
    let entry = audit::of_driver(role, Action::SetProfile, &driver);
    audit::write(&gateway, &entry).await?;
    write(
        &gateway,
        topics::DRIVERS,
        [(driver.as_str(), json!(profile))],
    )
    .await?;
    Ok(Json(json!({"driver": driver})))
}

/// `POST /v1/hire-scores`: a list of scores, from the job that computes them.
pub async fn take_scores(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    require(&headers, &gateway.secrets, Role::Events)?;
    let scores: Vec<HireScore> = json_body(&gateway, body, "a list of scores").await?;
    if scores.len() > gateway.config.max_batch {
        let problem = format!("more than {} scores in one body", gateway.config.max_batch);
        let told = format!("{} scores", scores.len());
        return Err(Invalid::new("body", told, problem, "send them in several bodies").into());
    }
    for score in &scores {
        score.validate()?;
    }
    let records = scores
        .iter()
        .map(|score| (score.hire.as_str(), json!(score)));
    write(&gateway, topics::HIRE_SCORES, records).await?;
    Ok(Json(json!({"accepted": scores.len()})))
}

/// `POST /v1/offers`: an offer, from the action that makes it. One that comes again is written again, under the same id.
pub async fn take_offer(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refused> {
    require(&headers, &gateway.secrets, Role::Notify)?;
    let offer: Offer = json_body(&gateway, body, "an offer").await?;
    for (field, text) in [("id", &offer.id), ("driver", &offer.driver)] {
        if text.is_empty() || text.len() > LONGEST_ID {
            let problem = format!("empty or longer than {LONGEST_ID} bytes");
            return Err(Invalid::new(field, text, problem, "send the offer as it was made").into());
        }
    }
    write(
        &gateway,
        topics::OFFERS,
        [(offer.driver.as_str(), json!(offer))],
    )
    .await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"id": offer.id}))))
}

pub(super) async fn json_body<T: DeserializeOwned>(
    gateway: &Gateway,
    body: Body,
    what: &str,
) -> Result<T, Refused> {
    let body = read(body, gateway.config.max_body_bytes).await?;
    serde_json::from_slice(&body).map_err(|error| {
        // The place is told and no content: it may be about a person.
        let problem = format!(
            "line {}, column {}: is not {what}",
            error.line(),
            error.column()
        );
        Invalid::new(
            "body",
            "(not shown)",
            problem,
            "see docs/gateway.md for its form",
        )
        .into()
    })
}

/// Writes records, and waits until Kafka has acknowledged all of them.
async fn write<'a>(
    gateway: &Gateway,
    topic: &'static str,
    records: impl IntoIterator<Item = (&'a str, Value)>,
) -> Result<(), Refused> {
    let unavailable = |problem: String| Refused::Unavailable(format!("topic {topic}: {problem}"));
    let headers = [("content-type".to_owned(), CONTENT_TYPE.to_owned())];
    let mut deliveries = Vec::new();
    for (key, value) in records {
        let payload = value.to_string();
        let sent = gateway
            .producer
            .enqueue(topic, key, &headers, Some(payload.as_bytes()), None);
        deliveries.push(sent.map_err(|error| unavailable(error.to_string()))?);
    }
    acknowledged(gateway, topic, deliveries).await.map(drop)
}

/// Waits until Kafka has acknowledged all of these records of a topic; gives partition and offset of each.
///
/// # Errors
/// It does not in time, or refuses one.
pub(super) async fn acknowledged(
    gateway: &Gateway,
    topic: &str,
    deliveries: Vec<Delivery>,
) -> Result<Vec<(i32, i64)>, Refused> {
    let unavailable = |problem: String| Refused::Unavailable(format!("topic {topic}: {problem}"));
    let limit = Duration::from_millis(u64::from(gateway.config.kafka_timeout_ms));
    let all = try_join_all(deliveries.into_iter().map(Delivery::acknowledged));
    match tokio::time::timeout(limit, all).await {
        Ok(Ok(places)) => Ok(places),
        Ok(Err(error)) => Err(unavailable(error.to_string())),
        Err(_) => Err(unavailable(format!(
            "no acknowledgement in {} ms",
            limit.as_millis()
        ))),
    }
}
