//! The REST API of Patroni's members, by TLS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::http::{Request, send};
use super::view::View;
use crate::remote::postgres::trusting;

/// Who may change something, by the password of the API.
pub const USER: &str = "millrace";
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Patroni answers when another member is the leader, or after twenty seconds.
const SWITCHES_WITHIN: Duration = Duration::from_secs(40);

/// A member does not do what it is asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PatroniError {
    /// It cannot be reached.
    #[error("Patroni at {address}: cannot be reached: {problem}")]
    Unreachable {
        /// Its host and port.
        address: String,
        /// Why.
        problem: String,
    },
    /// It refuses.
    #[error("Patroni at {address}: {asked}: {told} (status {status})")]
    Refused {
        /// Its host and port.
        address: String,
        /// What was asked for.
        asked: &'static str,
        /// Its words.
        told: String,
        /// The status of HTTP.
        status: u16,
    },
}

/// Where a member is.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its pod.
    pub pod: String,
    /// The name of its server, which the certificate has to have.
    pub host: String,
    /// Its address, where the name is not to be looked up.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    fn told(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// The API of all members.
pub struct PatroniApi {
    members: Vec<Endpoint>,
    tls: Result<Arc<ClientConfig>, String>,
    authorization: String,
}

impl PatroniApi {
    /// The API of these members. `authorities` (PEM) are those that their certificates may be of.
    #[must_use]
    pub fn new(members: Vec<Endpoint>, authorities: &str, password: &str) -> Self {
        let login = STANDARD.encode(format!("{USER}:{password}"));
        Self {
            members,
            tls: trusting(authorities).map(Arc::new),
            authorization: format!("Basic {login}"),
        }
    }

    /// Asks the first member that answers for all of them, and the leader for who follows it.
    ///
    /// # Errors
    /// That of the last one, when none answers.
    pub async fn observe(&self) -> Result<View, PatroniError> {
        let mut last = PatroniError::Unreachable {
            address: "any member".into(),
            problem: "there is none".into(),
        };
        for member in &self.members {
            match self.look(member).await {
                Ok(view) => return Ok(view),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn look(&self, member: &Endpoint) -> Result<View, PatroniError> {
        let cluster = self.get(member, "/cluster", "tell the members").await?;
        let config = settings(self.get(member, "/config", "tell its settings").await)?;
        let known = View::of(&cluster, Value::Null, None);
        let leader = known.leader().and_then(|leader| self.of(&leader.pod));
        let leader = match leader {
            Some(leader) => {
                let asked = self.get(leader, "/patroni", "tell who follows").await;
                asked.ok()
            }
            None => None,
        };
        Ok(View::of(&cluster, config, leader.as_ref()))
    }

    /// Lets another member take over from the leader.
    ///
    /// # Errors
    /// [`PatroniError`].
    pub async fn switch_over(&self, leader: &str, to: &str) -> Result<(), PatroniError> {
        let body = json!({"leader": leader, "candidate": to}).to_string();
        let call = ("POST", "/switchover", "hand over");
        let told = self.change(self.of(leader), call, &body, SWITCHES_WITHIN);
        told.await
    }

    /// Gives all members these settings.
    ///
    /// # Errors
    /// [`PatroniError`].
    pub async fn configure(&self, through: &str, config: &Value) -> Result<(), PatroniError> {
        let call = ("PUT", "/config", "take settings");
        let body = config.to_string();
        let told = self.change(self.of(through), call, &body, ANSWERS_WITHIN);
        told.await
    }

    fn of(&self, pod: &str) -> Option<&Endpoint> {
        self.members.iter().find(|member| member.pod == pod)
    }

    async fn get(
        &self,
        member: &Endpoint,
        path: &str,
        asked: &'static str,
    ) -> Result<Value, PatroniError> {
        let request = Request {
            host: &member.host,
            address: member.address,
            port: member.port,
            method: "GET",
            path,
            authorization: None,
            body: "",
            within: ANSWERS_WITHIN,
        };
        let body = self.call(member, &request, asked).await?;
        serde_json::from_slice(&body).map_err(|error| PatroniError::Refused {
            address: member.told(),
            asked,
            told: error.to_string(),
            status: 200,
        })
    }

    async fn change(
        &self,
        member: Option<&Endpoint>,
        (method, path, asked): (&str, &str, &'static str),
        body: &str,
        within: Duration,
    ) -> Result<(), PatroniError> {
        let member = member.ok_or_else(|| PatroniError::Unreachable {
            address: "the leader".into(),
            problem: "it is none of the members that are asked for".into(),
        })?;
        let request = Request {
            host: &member.host,
            address: member.address,
            port: member.port,
            method,
            path,
            authorization: Some(&self.authorization),
            body,
            within,
        };
        self.call(member, &request, asked).await.map(|_| ())
    }

    async fn call(
        &self,
        member: &Endpoint,
        request: &Request<'_>,
        asked: &'static str,
    ) -> Result<Vec<u8>, PatroniError> {
        let unreachable = |problem: String| PatroniError::Unreachable {
            address: member.told(),
            problem,
        };
        let tls = self.tls.as_ref();
        let tls = tls.map_err(|problem| unreachable(problem.clone()))?;
        let (status, body) = send(tls, request).await.map_err(unreachable)?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let told = String::from_utf8_lossy(&body);
        Err(PatroniError::Refused {
            address: member.told(),
            asked,
            told: told.trim().chars().take(500).collect(),
            status,
        })
    }
}

/// The settings by what a member answers.
fn settings(answer: Result<Value, PatroniError>) -> Result<Value, PatroniError> {
    match answer {
        // None were written before there was a leader.
        Err(PatroniError::Refused { status: 502, .. }) => Ok(Value::Null),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_read_are_not_none() {
        let refused = |status| {
            Err(PatroniError::Refused {
                address: "p-0".into(),
                asked: "tell its settings",
                told: "no".into(),
                status,
            })
        };
        assert_eq!(settings(Ok(json!({"ttl": 20}))).unwrap()["ttl"], 20);
        assert_eq!(settings(refused(502)).unwrap(), Value::Null);
        assert!(settings(refused(500)).is_err());
        let late = PatroniError::Unreachable {
            address: "p-0".into(),
            problem: "it does not answer in time".into(),
        };
        assert!(settings(Err(late)).is_err());
    }
}
