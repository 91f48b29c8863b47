//! Erasing a driver: what only the gateway can do of it. It alone can make the key of a driver, and it writes the topics by
//! which a pseudonym leads to them.
//!
//! Whoever erases asks for the hires first, removes them everywhere else, and has the mapping removed last: so what broke off
//! can be done again.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use futures::future::try_join_all;
use millrace_contract::audit::Action;
use millrace_contract::driver::Hire;
use millrace_contract::{Invalid, topics};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::access::{Role, require};
use super::answer::Refused;
use super::audit;
use super::drivers::{LONGEST_DRIVER, json_body};
use crate::connect::{CompactedReader, ReadEvent};

const CLIENT: &str = "millrace-gateway-erasure";
/// Whoever has hired more often than that is no person.
const MOST_HIRES: usize = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    driver: String,
}

async fn named(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Role, String), Refused> {
    let role = require(headers, &gateway.secrets, Role::Admin)?;
    let named: Named = json_body(gateway, body, "a driver").await?;
    if named.driver.is_empty() || named.driver.len() > LONGEST_DRIVER {
        let problem = format!("empty or longer than {LONGEST_DRIVER} bytes");
        let cure = "send the id that telemetry names the driver by";
        return Err(Invalid::new("driver", "(not shown)", problem, cure).into());
    }
    Ok((role, gateway.secrets.pseudonym_key.driver(&named.driver)))
}

/// `POST /v1/erasures/look-up`: the key of a driver, and the pseudonyms of their hires.
pub async fn look_up(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let (role, driver) = named(&gateway, &headers, body).await?;
    audit::write(
        &gateway,
        &audit::of_driver(role, Action::LookUpHires, &driver),
    )
    .await?;
    let hires = hires(&gateway, &driver).await?;
    Ok(Json(json!({"driver": driver, "hires": hires})))
}

/// `POST /v1/erasures/finish`: no pseudonym leads to the driver any more, and nothing is known of them.
pub async fn finish(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let (role, driver) = named(&gateway, &headers, body).await?;
    let hires = hires(&gateway, &driver).await?;
    audit::write(&gateway, &audit::of_driver(role, Action::Erase, &driver)).await?;
    let unavailable = |problem: String| Refused::Unavailable(problem);
    let mut deliveries = Vec::with_capacity(hires.len() + 1);
    let keys = hires.iter().map(|hire| (topics::HIRES, hire.as_str()));
    for (topic, key) in keys.chain([(topics::DRIVERS, driver.as_str())]) {
        let sent = gateway.producer.enqueue(topic, key, &[], None, None);
        let sent = sent.map_err(|error| unavailable(format!("topic {topic}: {error}")))?;
        deliveries.push(sent.acknowledged());
    }
    let limit = Duration::from_millis(u64::from(gateway.config.kafka_timeout_ms));
    match tokio::time::timeout(limit, try_join_all(deliveries)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(unavailable(error.to_string())),
        Err(_) => {
            return Err(unavailable(format!(
                "no acknowledgement in {} ms",
                limit.as_millis()
            )));
        }
    }
    gateway.ingest.forget_hires();
    Ok(Json(json!({"driver": driver, "hires": hires.len()})))
}

/// All pseudonyms that stand for a driver: the whole topic is read, for nobody else keeps them together.
async fn hires(gateway: &Gateway, driver: &str) -> Result<Vec<String>, Refused> {
    let unavailable = |error: crate::connect::ConnectError| Refused::Unavailable(error.to_string());
    let opened = CompactedReader::open(gateway.access.clone(), CLIENT, topics::HIRES, None).await;
    let mut reader = opened.map_err(unavailable)?;
    let mut hires = std::collections::BTreeSet::new();
    loop {
        match reader.next().await.map_err(unavailable)? {
            ReadEvent::End => break,
            ReadEvent::Record(record) => {
                let Some(pseudonym) = record.key_text() else {
                    continue;
                };
                let payload = record.payload.as_deref();
                let hire = payload.and_then(|json| serde_json::from_slice::<Hire>(json).ok());
                if hire.is_some_and(|hire| hire.driver == driver) {
                    hires.insert(pseudonym.to_owned());
                } else {
                    hires.remove(pseudonym);
                }
            }
        }
        if hires.len() > MOST_HIRES {
            let problem = format!("more than {MOST_HIRES} hires");
            let cure = "see whether this id is that of a person";
            return Err(Invalid::new("driver", "(not shown)", problem, cure).into());
        }
    }
    Ok(hires.into_iter().collect())
}
