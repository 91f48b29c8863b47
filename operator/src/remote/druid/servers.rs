//! Short questions to single servers of a Druid: who leads, what is loaded, what a worker runs.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::way::{Credentials, Way};

/// A server that is busy answers late, and one that is on its way up not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// The servers of one Druid, each of which is asked at its address.
#[derive(Clone, Debug)]
pub struct Servers {
    way: Way,
}

impl Servers {
    /// Servers that speak this scheme, `http` or `https`, and ask who one is as the credentials say.
    ///
    /// # Errors
    /// Says what cannot be spoken, or trusted.
    pub fn new(scheme: &str, credentials: &Credentials) -> Result<Self, String> {
        let way = Way::new(scheme, credentials, PATIENCE)?;
        Ok(Self { way })
    }

    /// The address of the coordinator that leads.
    ///
    /// # Errors
    /// Says why it is not known.
    pub async fn leader(&self, coordinator: &str) -> Result<String, String> {
        let url = format!("{coordinator}/druid/coordinator/v1/leader");
        let told = self.text(Method::GET, url).await?;
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
    pub async fn unavailable(&self, coordinator: &str) -> Result<i64, String> {
        let url = format!("{coordinator}/druid/coordinator/v1/loadstatus?simple");
        let by_source: BTreeMap<String, i64> = self.json(url).await?;
        Ok(by_source.values().sum())
    }

    /// Copies of segments that historicals are still to load.
    ///
    /// # Errors
    /// Says why it is not known.
    pub async fn to_load(&self, coordinator: &str) -> Result<i64, String> {
        let url = format!("{coordinator}/druid/coordinator/v1/loadstatus?full");
        let by_tier: BTreeMap<String, BTreeMap<String, i64>> = self.json(url).await?;
        Ok(by_tier.values().flat_map(BTreeMap::values).sum())
    }

    /// Whether a worker takes new tasks.
    ///
    /// # Errors
    /// Says why it is not known.
    pub async fn is_enabled(&self, worker: &str) -> Result<bool, String> {
        let url = format!("{worker}/druid/worker/v1/enabled");
        let told: BTreeMap<String, bool> = self.json(url).await?;
        let one = told.into_values().next();
        one.ok_or_else(|| "it does not say whether it takes tasks".to_owned())
    }

    /// How many tasks a worker runs.
    ///
    /// # Errors
    /// Says why it is not known.
    pub async fn tasks(&self, worker: &str) -> Result<usize, String> {
        let told: Vec<Value> = self.json(format!("{worker}/druid/worker/v1/tasks")).await?;
        Ok(told.len())
    }

    /// Lets a worker take new tasks, or not. What it runs goes on.
    ///
    /// # Errors
    /// Says why it could not be told.
    pub async fn set_enabled(&self, worker: &str, enabled: bool) -> Result<(), String> {
        let verb = if enabled { "enable" } else { "disable" };
        let url = format!("{worker}/druid/worker/v1/{verb}");
        self.text(Method::POST, url).await.map(drop)
    }

    async fn text(&self, method: Method, url: String) -> Result<String, String> {
        let (status, bytes) = self.way.ask(method, url, None).await?;
        if !status.is_success() {
            return Err(format!("it answers {status}"));
        }
        String::from_utf8(bytes).map_err(|_| "its answer is no text".to_owned())
    }

    async fn json<T: DeserializeOwned>(&self, url: String) -> Result<T, String> {
        let text = self.text(Method::GET, url).await?;
        serde_json::from_str(&text).map_err(|error| format!("its answer cannot be read: {error}"))
    }
}
