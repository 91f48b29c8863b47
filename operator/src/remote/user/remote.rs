//! One user of one cluster, as the pipeline sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_contract::Invalid;
use tokio::time::{Instant, sleep};

use super::change::{ObservedUser, UserChange, WantedUser, diff};
use super::password::Password;
use crate::remote::kafka::scram::Mechanism;
use crate::remote::kafka::{Credential, KafkaAdmin, KafkaError, ResponseError};
use crate::remote::pipeline::{Plan, Remote};

/// Brokers learn of a change a moment after the controller has made it.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// A user together with a client of its cluster.
#[derive(Debug)]
pub struct RemoteUser<'a> {
    /// The cluster.
    pub admin: &'a KafkaAdmin,
    /// What is asked for.
    pub wanted: &'a WantedUser,
}

fn principal(user: &str) -> String {
    format!("User:{user}")
}

impl Remote for RemoteUser<'_> {
    type Observed = ObservedUser;
    type Change = UserChange;
    type Error = KafkaError;

    async fn observe(&self) -> Result<ObservedUser, KafkaError> {
        let name = &self.wanted.name;
        Ok(ObservedUser {
            acls: self.admin.acls(&principal(name)).await?,
            quotas: self.admin.quotas(name).await?,
            credentials: self.admin.credentials(name).await?,
        })
    }

    fn diff(&self, observed: &ObservedUser) -> Plan<UserChange> {
        diff(self.wanted, observed)
    }

    async fn act(&self, _: &ObservedUser, changes: &[UserChange]) -> Result<(), KafkaError> {
        let user = &self.wanted.name;
        let (mut added, mut removed, mut quotas) = (Vec::new(), Vec::new(), BTreeMap::new());
        for change in changes {
            match change {
                UserChange::AddAcl { acl, .. } => added.push(acl.clone()),
                UserChange::RemoveAcl { acl, .. } => removed.push(acl.clone()),
                UserChange::SetQuota { key, to, .. } => drop(quotas.insert(key.clone(), Some(*to))),
                UserChange::UnsetQuota { key, .. } => drop(quotas.insert(key.clone(), None)),
                UserChange::SetPassword { .. } | UserChange::RemovePassword { .. } => {}
            }
        }
        self.admin.add_acls(&principal(user), &added).await?;
        self.admin.remove_acls(&principal(user), &removed).await?;
        self.admin.change_quotas(user, &quotas).await?;
        for change in changes {
            match change {
                UserChange::SetPassword { .. } => {
                    let password = &self.wanted.password;
                    let credential = Credential {
                        mechanism: Mechanism::Sha512,
                        iterations: password.iterations,
                    };
                    self.admin
                        .set_password(user, credential, &password.text)
                        .await?;
                }
                UserChange::RemovePassword { mechanism, .. } => {
                    self.admin.remove_password(user, *mechanism).await?;
                }
                _ => {}
            }
        }
        self.wait_until_seen().await
    }
}

impl RemoteUser<'_> {
    /// So that the next look does not make the same changes once more.
    async fn wait_until_seen(&self) -> Result<(), KafkaError> {
        let told = WantedUser {
            password: Password {
                news: None,
                ..self.wanted.password.clone()
            },
            ..self.wanted.clone()
        };
        let deadline = Instant::now() + VISIBLE_WITHIN;
        loop {
            let observed = self.observe().await?;
            if diff(&told, &observed).is_settled() || Instant::now() >= deadline {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Removes a user: nobody gets in any more, and whoever is in may do nothing.
///
/// # Errors
/// [`KafkaError`] of the first thing that stays.
pub(super) async fn remove(admin: &KafkaAdmin, user: &str) -> Result<(), KafkaError> {
    for credential in admin.credentials(user).await? {
        admin.remove_password(user, credential.mechanism).await?;
    }
    let acls: Vec<_> = admin.acls(&principal(user)).await?.into_iter().collect();
    admin.remove_acls(&principal(user), &acls).await?;
    let quotas = admin.quotas(user).await?;
    let none = quotas.into_keys().map(|key| (key, None)).collect();
    admin.change_quotas(user, &none).await
}

/// Kafka's refusal of a specification, told as field, value and cure; `None` when it is not about the specification.
#[must_use]
pub fn explain(error: &KafkaError, kafka: &str, user: &str) -> Option<Invalid> {
    let KafkaError::Broker {
        code,
        message,
        asked,
    } = error
    else {
        return None;
    };
    let said = message.clone().unwrap_or_else(|| code.to_string());
    let invalid = match code {
        ResponseError::SecurityDisabled => Invalid::new(
            "spec.kafka",
            kafka,
            "the cluster has no authorizer, so that everybody may do everything",
            "name a KafkaCluster with spec.listeners.secure",
        ),
        ResponseError::UnacceptableCredential => Invalid::new(
            "spec.userName",
            user,
            format!("Kafka says: {said}"),
            "give another name, or another password",
        ),
        ResponseError::InvalidRequest
        | ResponseError::InvalidConfig
        | ResponseError::PolicyViolation => Invalid::new(
            "spec",
            user,
            format!("Kafka refused to {asked}: {said}"),
            "correct spec.acls or spec.quotas, or change the policy of the cluster",
        ),
        _ => return None,
    };
    Some(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_field_and_a_timeout_none() {
        let field = |code: i16| {
            let error = KafkaError::check(code, Some("no"), "x").unwrap_err();
            explain(&error, "k", "alice").map(|invalid| invalid.field)
        };
        assert_eq!(field(54).as_deref(), Some("spec.kafka"));
        assert_eq!(field(93).as_deref(), Some("spec.userName"));
        assert_eq!(field(42).as_deref(), Some("spec"));
        assert_eq!(field(7), None);
    }
}
