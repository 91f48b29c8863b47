//! Short questions to single servers of a Druid: who leads, what is loaded, what a worker runs.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::remote::http::{HTTP, text};

/// The address of the coordinator that leads.
///
/// # Errors
/// Says why it is not known.
pub async fn leader(coordinator: &str) -> Result<String, String> {
    let told = text(&format!("{coordinator}/druid/coordinator/v1/leader")).await?;
    let address = told.trim().trim_matches('"').to_owned();
    if address.is_empty() {
        return Err("nobody leads".to_owned());
    }
    Ok(address)
}

/// Segments that are to be answered for, and that no historical has loaded.
///
/// # Errors
/// Says why it is not known.
pub async fn unavailable(coordinator: &str) -> Result<i64, String> {
    let url = format!("{coordinator}/druid/coordinator/v1/loadstatus?simple");
    let by_source: BTreeMap<String, i64> = json(&url).await?;
    Ok(by_source.values().sum())
}

/// Copies of segments that historicals are still to load.
///
/// # Errors
/// Says why it is not known.
pub async fn to_load(coordinator: &str) -> Result<i64, String> {
    let url = format!("{coordinator}/druid/coordinator/v1/loadstatus?full");
    let by_tier: BTreeMap<String, BTreeMap<String, i64>> = json(&url).await?;
    Ok(by_tier.values().flat_map(BTreeMap::values).sum())
}

/// Whether a worker takes new tasks.
///
/// # Errors
/// Says why it is not known.
pub async fn is_enabled(worker: &str) -> Result<bool, String> {
    let told: BTreeMap<String, bool> = json(&format!("{worker}/druid/worker/v1/enabled")).await?;
    let one = told.into_values().next();
    one.ok_or_else(|| "it does not say whether it takes tasks".to_owned())
}

/// How many tasks a worker runs.
///
/// # Errors
/// Says why it is not known.
pub async fn tasks(worker: &str) -> Result<usize, String> {
    let told: Vec<Value> = json(&format!("{worker}/druid/worker/v1/tasks")).await?;
    Ok(told.len())
}

/// Lets a worker take new tasks, or not. What it runs goes on.
///
/// # Errors
/// Says why it could not be told.
pub async fn set_enabled(worker: &str, enabled: bool) -> Result<(), String> {
    let verb = if enabled { "enable" } else { "disable" };
    let http = HTTP.as_ref().map_err(Clone::clone)?;
    let url = format!("{worker}/druid/worker/v1/{verb}");
    let told = async { http.post(url).send().await?.error_for_status() };
    told.await
        .map(drop)
        .map_err(|error| crate::controller::chain(&error.without_url()))
}

async fn json<T: DeserializeOwned>(url: &str) -> Result<T, String> {
    let text = text(url).await?;
    serde_json::from_str(&text).map_err(|error| format!("its answer cannot be read: {error}"))
}
