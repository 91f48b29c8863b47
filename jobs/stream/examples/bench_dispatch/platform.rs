//! A platform that answers each invocation at once, as a blocking one of OpenWhisk is answered, and notes when
//! which alert arrived.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The action that is invoked.
pub const ACTION: &str = "tell";

type Arrivals = Arc<Mutex<HashMap<u64, Instant>>>;

/// It runs until the program ends.
pub struct Platform {
    address: SocketAddr,
    arrivals: Arrivals,
}

impl Platform {
    /// Listens on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let arrivals = Arrivals::default();
        let app = Router::new()
            .route(&path(), post(invoke))
            .with_state(Arc::clone(&arrivals));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, arrivals })
    }

    /// Its address.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the action is invoked.
    pub fn action(&self) -> String {
        format!("{}{}?blocking=true&result=false", self.uri(), path())
    }

    /// When each alert arrived first, by its number.
    pub fn arrivals(&self) -> HashMap<u64, Instant> {
        let lock = self.arrivals.lock();
        lock.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins anew.
    pub fn forget(&self) {
        let lock = self.arrivals.lock();
        lock.unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits for so many alerts, and tells when the first and the last of them arrived.
    pub async fn wait_for(
        &self,
        alerts: u64,
        limit: Duration,
    ) -> anyhow::Result<(Instant, Instant)> {
        let until = Instant::now() + limit;
        loop {
            let seen = self.count();
            if seen >= alerts {
                break;
            }
            let now = Instant::now();
            anyhow::ensure!(now < until, "{seen} of {alerts} alerts in {limit:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let arrivals = self.arrivals();
        let ends = (arrivals.values().min(), arrivals.values().max());
        let (Some(first), Some(last)) = ends else {
            anyhow::bail!("nothing arrived");
        };
        Ok((*first, *last))
    }

    fn count(&self) -> u64 {
        let lock = self.arrivals.lock();
        lock.unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

fn path() -> String {
    format!("/api/v1/namespaces/_/actions/{ACTION}")
}

async fn invoke(State(arrivals): State<Arrivals>, Json(body): Json<Value>) -> Json<Value> {
    let id = &body["alert"]["id"];
    if let Some(number) = id.as_str().and_then(|id| id.parse().ok()) {
        let lock = arrivals.lock();
        let mut arrivals = lock.unwrap_or_else(PoisonError::into_inner);
        arrivals.entry(number).or_insert_with(Instant::now);
    }
    Json(json!({
        "activationId": "44794bd6aab74415b4e42a308d880e5b",
        "response": {"status": "success", "success": true, "result": {"delivered": true}}
    }))
}
