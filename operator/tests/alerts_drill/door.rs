//! Requests to servers in pods, and a car that speaks to the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use ureq::RequestBuilder;
use ureq::typestate::WithBody;

/// Status and body, or why there is no answer.
pub type Answer = Result<(u16, String), String>;

/// A server that speaks HTTP, and what is shown to it.
#[derive(Clone)]
pub struct Door {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

impl Door {
    /// The server at an address of loopback.
    pub fn at(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            // A connection by way of Kubernetes ends with its pod.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(20)))
            .build();
        Self {
            agent: config.into(),
            base: format!("http://{address}"),
            authorization: None,
        }
    }

    /// The same with a token or key.
    pub fn shown(&self, authorization: String) -> Self {
        Self {
            authorization: Some(authorization),
            ..self.clone()
        }
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.base);
        self.send(self.agent.post(&url), body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.base);
        self.send(self.agent.put(&url), body)
    }

    fn send(&self, request: RequestBuilder<WithBody>, body: &Value) -> Answer {
        let mut request = request.header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = request
            .send(body.to_string())
            .map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string();
        Ok((status, text.map_err(|error| error.to_string())?))
    }
}

/// A vehicle that is enrolled.
pub struct Car {
    door: Door,
    pub vehicle: String,
    sequence: u64,
}

impl Car {
    /// Enrols it; `gateway` shows the administrator's token. None while the gateway does not answer so.
    pub fn enrol(gateway: &Door, vehicle: &str) -> Option<Self> {
        let path = format!("/v1/vehicles/{vehicle}");
        let (status, text) = gateway.put(&path, &json!({})).ok()?;
        if status != 200 {
            return None;
        }
        let told: Value = serde_json::from_str(&text).ok()?;
        let token = told["token"].as_str()?;
        Some(Self {
            door: gateway.shown(format!("Bearer {token}")),
            vehicle: vehicle.to_owned(),
            sequence: 0,
        })
    }

    /// Sends so many events, the last of which is of now; the same again next time, unless they are taken.
    pub fn send(&mut self, events: u32) -> Answer {
        let now = Timestamp::now();
        let body: Vec<Value> = (0..events)
            .map(|number| {
                let before =
                    SignedDuration::from_millis(10) * i32::try_from(events - number).unwrap();
                json!({
                    "vehicle": self.vehicle, "sequence": self.sequence + u64::from(number),
                    "time": (now - before).to_string(),
                    "coolant_temperature": 90, "engine_speed": 2100, "speed": 80,
                })
            })
            .collect();
        let answer = self.tell(&json!(body));
        if answer.as_ref().is_ok_and(|(status, _)| *status == 200) {
            self.sequence += u64::from(events);
        }
        answer
    }

    /// Sends whatever.
    pub fn tell(&self, body: &Value) -> Answer {
        let path = format!("/v1/vehicles/{}/telemetry", self.vehicle);
        self.door.post(&path, body)
    }
}
