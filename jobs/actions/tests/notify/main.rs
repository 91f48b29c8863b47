//! `notify-driver` against real sockets: a gateway, webhooks with and without TLS, and mail servers on the loopback
//! interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod http;
mod program;
mod smtp;
mod stream;
mod vehicle;
mod webhook;

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use millrace_actions::notify::{Delivery, NotifyInput, action};
use millrace_actions::{ActionError, Context};
use serde_json::{Value, json};

/// A signing secret, and the key that it stands for.
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What `assess-vehicle` would hand on, with parameters on top.
fn input(parameters: Value) -> Value {
    let now = Timestamp::now();
    let mut value = json!({
        "alert": {
            "id": "car-1/overheating/e1/critical", "vehicle": "car-1", "rule": "overheating", "severity": "critical",
            "episode": "e1", "event_time": now, "detected_at": now, "signal": "coolant_temperature", "value": 117.6,
            "unit": "Cel", "threshold": 115.0, "text": "Coolant at 117.6 °C"
        },
        "urgency": "now", "advice": "stop-engine-off", "language": "fr"
    });
    for (key, parameter) in parameters.as_object().unwrap() {
        value[key] = parameter.clone();
    }
    value
}

fn within(milliseconds: u64) -> Context {
    Context {
        activation_id: String::new(),
        deadline: Some(SystemTime::now() + Duration::from_millis(milliseconds)),
    }
}

/// Runs the action in this process.
fn run(input: Value, milliseconds: u64) -> Result<Delivery, ActionError> {
    let input: NotifyInput = serde_json::from_value(input).unwrap();
    action(input, &within(milliseconds))
}

/// Longer than any of these tests may take on a busy machine.
const AMPLE: u64 = 20_000;

/// A pause in a poll.
const TICK: Duration = Duration::from_millis(10);
