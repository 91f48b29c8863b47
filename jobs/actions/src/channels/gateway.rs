//! To the gateway, which puts it into Kafka: actions have no client of their own.

use std::time::Duration;

use millrace_contract::trace;
use serde::Serialize;
use serde_json::Value;
use ureq::tls::RootCerts;

use super::http::{self, LONGEST_ATTEMPT};
use super::{Attempt, Channel};
use crate::ActionError;
use crate::secret::Secret;

/// A door of the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its name in answers.
    pub(crate) name: &'static str,
    path: &'static str,
}

/// To the vehicle's own speakers and display.
pub(crate) const VEHICLE: Target = Target {
    name: "vehicle",
    path: "/v1/notifications",
};
/// Into the topic of offers.
pub(crate) const OFFERS: Target = Target {
    name: "offers",
    path: "/v1/offers",
};

/// A message on its way to the gateway. Sending it twice is harmless: it has an id.
pub(crate) struct Gateway {
    target: Target,
    agent: ureq::Agent,
    url: String,
    token: Secret,
    body: Vec<u8>,
    traceparent: Option<String>,
}

impl Gateway {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`ActionError::Input`] naming the parameter.
    pub(crate) fn new(
        gateway_url: &str,
        token: &Secret,
        target: Target,
        message: &impl Serialize,
    ) -> Result<Self, ActionError> {
        if !gateway_url.starts_with("http://") {
            return Err(ActionError::input(
                "gateway_url",
                gateway_url,
                "is no http:// address",
                "give the gateway's address inside the cluster, like http://platform-gateway:8080",
            ));
        }
        if token.expose().is_empty() {
            return Err(ActionError::input(
                "notify_token",
                "\"\"",
                "is empty",
                "bind the notify-token of the gateway's secret",
            ));
        }
        Ok(Self {
            agent: http::agent(RootCerts::WebPki),
            url: format!("{}{}", gateway_url.trim_end_matches('/'), target.path),
            target,
            token: token.clone(),
            body: serde_json::to_vec(message)
                .map_err(|error| ActionError::Encode(error.to_string()))?,
            traceparent: None,
        })
    }

    /// The same as a part of a trace.
    pub(crate) fn traced(mut self, traceparent: Option<&str>) -> Self {
        self.traceparent = traceparent.map(str::to_owned);
        self
    }
}

impl Channel for Gateway {
    fn name(&self) -> &'static str {
        self.target.name
    }

    fn receiver(&self) -> String {
        format!("gateway {}", self.url)
    }

    fn longest(&self) -> Duration {
        LONGEST_ATTEMPT
    }

    fn attempt(&self, time: Duration) -> Attempt {
        let mut headers = vec![("Authorization", format!("Bearer {}", self.token.expose()))];
        headers.extend(self.traceparent.clone().map(|trace| (trace::NAME, trace)));
        match http::post(&self.agent, &self.url, &headers, &self.body, time) {
            Ok(answer) if answer.is_success() => Attempt::Told {
                duplicate: serde_json::from_str::<Value>(&answer.text)
                    .ok()
                    .and_then(|answer| answer.get("duplicate")?.as_bool())
                    .unwrap_or(false),
                refused: None,
            },
            Ok(answer) => {
                let cure = cure(answer.status);
                answer.failure(cure)
            }
            Err(attempt) => attempt,
        }
    }
}

fn cure(status: u16) -> &'static str {
    match status {
        401 | 403 => "bind the notify-token of the gateway's secret as notify_token",
        404 => "point gateway_url at the gateway",
        _ => "correct the alert or the action's parameters",
    }
}
