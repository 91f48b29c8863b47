//! To the vehicle's own speakers and display, by way of the gateway.

use std::time::Duration;

use millrace_contract::Notification;
use serde_json::Value;
use ureq::tls::RootCerts;

use super::http::{self, LONGEST_ATTEMPT};
use super::{Attempt, Channel};
use crate::ActionError;
use crate::secret::Secret;

/// Its name among the parameters.
pub(crate) const NAME: &str = "vehicle";

/// A notification on its way to the gateway. Sending twice is harmless: the gateway knows each alert id once.
pub(crate) struct Vehicle {
    agent: ureq::Agent,
    url: String,
    token: Secret,
    body: Vec<u8>,
}

impl Vehicle {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`ActionError::Input`] naming the parameter.
    pub(crate) fn new(
        gateway_url: &str,
        token: &Secret,
        notification: &Notification,
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
            url: format!("{}/v1/notifications", gateway_url.trim_end_matches('/')),
            token: token.clone(),
            body: serde_json::to_vec(notification)
                .map_err(|error| ActionError::Encode(error.to_string()))?,
        })
    }
}

impl Channel for Vehicle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn receiver(&self) -> String {
        format!("gateway {}", self.url)
    }

    fn longest(&self) -> Duration {
        LONGEST_ATTEMPT
    }

    fn attempt(&self, time: Duration) -> Attempt {
        let headers = [("Authorization", format!("Bearer {}", self.token.expose()))];
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
