//! What is read of Kubernetes before anything is decided about a user.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::ROTATE;
use super::binding::{self, Data, binding_name, connection_name};
use super::change::WantedUser;
use super::password::{self, Password};
use super::wanted;
use crate::context::Context;
use crate::kafka::crd::KafkaCluster;
use crate::reconcile::{ApplyError, Error, Owner};
use crate::remote::kafka;
use crate::remote::kafka_resident::KafkaResidentError;
use crate::remote::resident::KubernetesError;
use crate::types::KeyRef;
use crate::user::crd::KafkaUser;

/// As much of an annotation as a status takes.
const ASKED_MAX: usize = 256;
/// A Secret of the user's is not watched, so that it is looked at again.
pub(super) const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// What is read of Kubernetes before anything is decided.
pub(super) struct Found {
    /// The resource.
    pub(super) owner: Owner,
    /// The cluster, if it is there.
    pub(super) cluster: Option<KafkaCluster>,
    /// Whether the Secret of the user belongs to somebody else.
    taken: bool,
    /// The connection details of the cluster.
    pub(super) connection: Option<Data>,
    /// What Kafka was last told.
    pub(super) known: Option<Password>,
    /// The password that the user brings, or why there is none.
    given: Result<Option<String>, Invalid>,
    /// What the annotation asks.
    asked: Option<String>,
}

impl Found {
    /// Reads it.
    ///
    /// # Errors
    /// Kubernetes could not be asked.
    pub(super) async fn look(
        context: &Context,
        user: &KafkaUser,
    ) -> Result<Self, KafkaResidentError> {
        let owner = Owner::of(user).map_err(Error::from)?;
        let cluster = context
            .namespaced::<KafkaCluster>(&owner.namespace)
            .get_opt(&user.spec.kafka)
            .await
            .map_err(KubernetesError::doing("read the KafkaCluster"))?;
        let secrets = context.namespaced::<Secret>(&owner.namespace);
        let read = async |name: &str| {
            let secret = secrets.get_opt(name).await;
            secret.map_err(KubernetesError::doing("read a Secret"))
        };
        let own = read(&binding_name(&owner.name)).await?;
        let is_ours = |own: &Secret| owner.owns(&own.metadata) || owner.lost(&own.metadata);
        let taken = own.as_ref().is_some_and(|own| !is_ours(own));
        let connection = read(&connection_name(&user.spec.kafka)).await?;
        let given = match user.given_password() {
            None => Ok(None),
            Some(reference) => {
                let secret = read(&reference.name).await?;
                let data = secret.and_then(|secret| secret.data).unwrap_or_default();
                given(&data, reference).map(Some)
            }
        };
        let asked = user.annotations().get(ROTATE);
        Ok(Self {
            taken,
            known: own.filter(is_ours).as_ref().and_then(binding::known),
            owner,
            cluster,
            connection: connection.and_then(|secret| secret.data),
            given,
            asked: asked.map(|asked| asked.chars().take(ASKED_MAX).collect()),
        })
    }

    /// Asked before Kafka is told anything: a Secret of somebody else would never take the password up.
    pub(super) fn has_its_secret(&self) -> Result<(), KafkaResidentError> {
        if !self.taken {
            return Ok(());
        }
        Err(Error::from(ApplyError::Foreign {
            kind: "Secret".into(),
            name: binding_name(&self.owner.name),
        })
        .into())
    }

    /// Why the cluster cannot have users, if it is there.
    pub(super) fn insecure(&self, user: &KafkaUser) -> Option<Invalid> {
        let listeners = self.cluster.as_ref()?.spec.listeners.as_ref();
        let secure = listeners.is_some_and(|listeners| listeners.secure.is_some());
        (!secure).then(|| {
            Invalid::new(
                "spec.kafka",
                &user.spec.kafka,
                "the KafkaCluster has no secure listener, so that it knows neither passwords nor access rules",
                "name one with spec.listeners.secure; clients of this one need no user",
            )
        })
    }

    /// A new password that is asked for and is not ours to make.
    pub(super) fn unfollowed(&self, user: &KafkaUser, password: &Password) -> Option<Invalid> {
        let asked = self.asked.as_ref()?;
        let given = user.given_password()?;
        (password.rotated_for.as_ref() != Some(asked)).then(|| {
            Invalid::new(
                format!("metadata.annotations[{ROTATE}]"),
                asked,
                "the password comes from spec.authentication.passwordSecret",
                format!(
                    "change it in the Secret {}, and remove the annotation",
                    given.name
                ),
            )
        })
    }

    pub(super) fn wanted(&self, user: &KafkaUser) -> Result<WantedUser, KafkaResidentError> {
        let given = self
            .given
            .clone()
            .map_err(|invalid| KafkaResidentError::Refused {
                invalid,
                absent: self.known.is_none(),
                again: REFUSED_AGAIN,
            })?;
        let password = password::decide(self.known.clone(), given, self.asked.as_deref())?;
        Ok(self.wanted_with(user, password))
    }

    pub(super) fn wanted_with(&self, user: &KafkaUser, password: Password) -> WantedUser {
        WantedUser {
            name: user.user_name().to_owned(),
            password,
            acls: wanted::acls(&user.spec),
            quotas: wanted::quotas(user.spec.quotas.as_ref()),
        }
    }
}

/// The password that somebody brings.
fn given(data: &Data, reference: &KeyRef) -> Result<String, Invalid> {
    let wrong = |problem: &str, cure: &str| {
        let value = format!("{}, key {}", reference.name, reference.key);
        Invalid::new("spec.authentication.passwordSecret", value, problem, cure)
    };
    let password = kafka::password(data, &reference.key).map_err(|invalid| {
        let problem = format!("holds no password: {}", invalid.problem);
        wrong(&problem, "make the Secret with that key")
    })?;
    // Clients that read a binding from files cut blanks off, so that they would never get in.
    if password.trim() != password {
        return Err(wrong(
            "holds a password that begins or ends with a blank",
            "give one without",
        ));
    }
    Ok(password)
}

pub(super) fn no_connection(user: &KafkaUser) -> Invalid {
    Invalid::new(
        "spec.kafka",
        &user.spec.kafka,
        "the connection details of the KafkaCluster are not made yet",
        "nothing to do: this resource follows as soon as they are",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    #[test]
    fn a_given_password_is_one_that_every_client_reads() {
        let reference = KeyRef {
            name: "s".into(),
            key: "p".into(),
        };
        let of = |text: &str| {
            let data = Data::from([("p".to_owned(), ByteString(text.as_bytes().to_vec()))]);
            given(&data, &reference)
        };
        assert_eq!(of("open sesame\n").unwrap(), "open sesame");
        for bad in ["", " x", "x \n"] {
            let error = of(bad).unwrap_err();
            assert_eq!(error.field, "spec.authentication.passwordSecret");
            assert_eq!(error.value, "s, key p");
        }
        let none = given(&Data::new(), &reference).unwrap_err();
        assert!(none.problem.starts_with("holds no password"), "{none}");
    }
}
