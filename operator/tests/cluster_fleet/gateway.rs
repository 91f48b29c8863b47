//! The gateway, as vehicles, the hire desk and the workshop know it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millrace_contract::InboundEvent;
use millrace_testkit::Platform;
use reqwest::Method;
use serde_json::{Value, json};

use super::day::{self, DRIVERS, Drive};

/// So many events are sent at once.
const BATCH: usize = 500;
/// It may be away, or busy, for so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// The way to it.
pub struct Gateway {
    base: String,
    admin: String,
    client: reqwest::Client,
    /// Events in bodies that were sent again, though an answer that did not come, or 503, does not say that they were not taken.
    again: AtomicUsize,
}

impl Gateway {
    /// With the administrator's token, which opens everything.
    pub fn new(platform: &Platform, name: &str, address: SocketAddr) -> Self {
        Self {
            base: format!("http://{address}"),
            admin: platform.secret(name, "admin-token").unwrap(),
            client: reqwest::Client::new(),
            again: AtomicUsize::new(0),
        }
    }

    /// How many events more than were sent may be there: each of a body that may have been taken twice.
    pub fn again(&self) -> usize {
        self.again.load(Ordering::Relaxed)
    }

    /// Asks until it is neither away nor busy.
    async fn call(&self, method: Method, path: &str, token: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.base);
        let started = Instant::now();
        loop {
            let request = self.client.request(method.clone(), &url);
            let request = request.bearer_auth(token).timeout(Duration::from_secs(60));
            let (told, is_refused) = match request.body(body.to_string()).send().await {
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    if status.is_success() {
                        return serde_json::from_str(&text).unwrap();
                    }
                    let passes = [429, 503].contains(&status.as_u16());
                    assert!(passes, "{path}: {status}: {text}");
                    (text, status.as_u16() == 429)
                }
                Err(error) => (error.to_string(), false),
            };
            if !is_refused {
                let events = body.as_array().map_or(0, Vec::len);
                self.again.fetch_add(events, Ordering::Relaxed);
            }
            assert!(started.elapsed() < PATIENCE, "{path}: {told}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What all drivers of the day agree to. Gives their keys in the same order.
    pub async fn tell_drivers(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for (driver, agrees) in DRIVERS {
            let profile = json!({"driver": day::id(driver), "language": "de", "mail": day::mail(driver), "offers": agrees});
            let path = "/v1/driver-profiles";
            let told = self.call(Method::PUT, path, &self.admin, &profile).await;
            keys.push(told["driver"].as_str().unwrap().to_owned());
        }
        keys
    }

    /// Enrols a vehicle, and sends what it measured.
    pub async fn drive(&self, drive: &Drive) {
        let path = format!("/v1/vehicles/{}", drive.vehicle);
        let enrolled = self.call(Method::PUT, &path, &self.admin, &json!({})).await;
        let token = enrolled["token"].as_str().unwrap();
        let path = format!("{path}/telemetry");
        for samples in drive.samples.chunks(BATCH) {
            let events: Vec<Value> = samples.iter().map(|sample| drive.sent(sample)).collect();
            let told = self.call(Method::POST, &path, token, &json!(events)).await;
            assert_eq!(told["accepted"], events.len(), "{told}");
        }
    }

    /// Tells what happened to vehicles.
    pub async fn tell_events(&self, events: &[InboundEvent]) {
        let bodies: Vec<Value> = events.iter().map(InboundEvent::to_json).collect();
        let path = "/v1/vehicle-events";
        let told = self
            .call(Method::POST, path, &self.admin, &json!(bodies))
            .await;
        assert_eq!(told["accepted"], bodies.len(), "{told}");
    }
}
