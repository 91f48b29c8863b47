//! What actions, triggers and rules have in common as resources: the OpenWhisk they live in.

use std::ops::ControlFlow;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::client::WhiskClient;
use super::entity_error::EntityError;
use super::error::WhiskError;
use super::order::{self, Leaving};
use crate::context::Context;
use crate::controller::{Reconciled, status_of};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::code::Roots;
use crate::remote::release::Lives;
use crate::remote::resident::{self, KubernetesError, LOOK, Resident};
use crate::status::{AVAILABLE, is_true};
use crate::types::DeletionPolicy;

/// What an entity needs inside OpenWhisk becomes available soon or not at all.
pub const WAIT_FOR_OTHERS: Duration = Duration::from_secs(3);
/// The reason of conditions while an OpenWhisk cannot be asked.
pub const WAITS: &str = "WaitingForOpenWhisk";
/// Who has to go before an entity goes soon or not at all.
const WAIT_FOR_USERS: Duration = Duration::from_secs(1);
/// Code runs to megabytes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A custom resource that stands for an entity inside an OpenWhisk.
pub trait Entity: Resident<Home = OpenWhisk> {
    /// Whether this resource was seen to own the entity.
    fn owns(&self) -> bool;
    /// Removes the entity; `false` when there was none.
    fn remove(
        client: &WhiskClient,
        name: &str,
    ) -> impl Future<Output = Result<bool, WhiskError>> + Send;
    /// Who has to go before this entity, in words, where somebody may.
    fn goes_after(
        &self,
        leaving: Leaving<'_>,
    ) -> impl Future<Output = Result<Option<String>, KubernetesError>> + Send {
        let _ = leaving;
        async { Ok(None) }
    }
}

/// What the operator must be allowed to do for any entity.
#[must_use]
pub fn rules<K: Entity>() -> Vec<Rule> {
    let mut rules = resident::rules::<K>();
    rules.push(Rule::new(
        "",
        &["secrets"],
        &["get"],
        "Read the key of an OpenWhisk, and the parameters of actions and triggers that are kept in Secrets.",
    ));
    rules
}

/// The first steps of every reconcile: who owns the name, and what becomes of an entity on its way out. Goes on with the
/// OpenWhisk, if it is there yet, and the status to fill.
///
/// # Errors
/// [`EntityError`].
pub async fn begin<K: Entity>(
    context: &Context,
    object: &K,
) -> Result<ControlFlow<Reconciled<K::Status>, (Option<OpenWhisk>, K::Status)>, EntityError> {
    let server = server(context, object).await?;
    if object.meta().deletion_timestamp.is_some() {
        let gone = delete(context, object, server.as_ref()).await?;
        return Ok(ControlFlow::Break(gone));
    }
    let claimed = resident::claim(context, object, &[]).await?;
    Ok(claimed.map_continue(|status| (server, status)))
}

async fn server<K: Entity>(
    context: &Context,
    object: &K,
) -> Result<Option<OpenWhisk>, KubernetesError> {
    let namespace = object.namespace().unwrap_or_default();
    let servers = context.namespaced::<OpenWhisk>(&namespace);
    let server = servers.get_opt(&object.place()).await;
    server.map_err(KubernetesError::doing("read the OpenWhisk"))
}

/// A client to look at an entity with, or what can be said without one. Nothing is claimed or written.
///
/// # Errors
/// [`EntityError`].
pub async fn ask<K: Entity>(
    context: &Context,
    object: &K,
) -> Result<Result<WhiskClient, Preparation>, EntityError> {
    if let Some(rival) = resident::rival(context, object).await? {
        return Ok(Err(Preparation::refuses(rival)));
    }
    let server = server(context, object).await?;
    let client = reach(context, object, server.as_ref()).await?;
    Ok(client.map_err(|waiting| Preparation::waits(waiting.to_string())))
}

/// A look at an OpenWhisk that somebody waits for: that it cannot be reached from here is told and no error.
///
/// # Errors
/// [`EntityError`].
pub async fn look(
    look: impl Future<Output = Result<Preparation, EntityError>> + Send,
) -> Result<Preparation, EntityError> {
    match tokio::time::timeout(LOOK, look).await {
        Ok(Err(EntityError::Whisk(error))) if error.class().is_none() => Ok(Preparation::unseen(
            format!("the OpenWhisk cannot be asked from here: {error}"),
        )),
        Ok(found) => found,
        Err(_) => Ok(Preparation::unseen(format!(
            "the OpenWhisk did not answer within {} s",
            LOOK.as_secs()
        ))),
    }
}

/// A client of the OpenWhisk of an entity, or why there is none yet.
///
/// # Errors
/// [`EntityError`].
pub async fn reach<K: Entity>(
    context: &Context,
    object: &K,
    server: Option<&OpenWhisk>,
) -> Result<Result<WhiskClient, Invalid>, EntityError> {
    let refer = |problem: &str, cure: &str| {
        Err(Invalid::new(
            "spec.openwhisk",
            object.place(),
            problem,
            cure,
        ))
    };
    let Some(server) = server else {
        return Ok(refer(
            "there is no OpenWhisk of that name in the namespace",
            "create it, or name one that exists",
        ));
    };
    let binding = server
        .status
        .as_ref()
        .filter(|status| is_true(&status.conditions, AVAILABLE))
        .and_then(|status| status.binding.as_ref());
    let Some(binding) = binding else {
        return Ok(refer(
            "the OpenWhisk is not available yet",
            &format!("nothing to do: the {} follows as soon as it is", K::WHAT),
        ));
    };
    let namespace = object.namespace().unwrap_or_default();
    let secret = context
        .namespaced::<Secret>(&namespace)
        .get_opt(&binding.name)
        .await
        .map_err(KubernetesError::doing("read the binding of the OpenWhisk"))?;
    let field = |key: &str| {
        let data = secret.as_ref().and_then(|secret| secret.data.as_ref());
        data.and_then(|data| data.get(key))
            .and_then(|value| String::from_utf8(value.0.clone()).ok())
            .map(|text| text.trim().to_owned())
    };
    let (Some(uri), Some(user), Some(key)) = (field("uri"), field("username"), field("password"))
    else {
        return Ok(refer(
            &format!(
                "its binding Secret {} lacks uri, username or password",
                binding.name
            ),
            "nothing to do: the OpenWhisk writes it again",
        ));
    };
    let Some(roots) = roots(secret.as_ref()) else {
        return Ok(refer(
            &format!(
                "ca.crt of its binding Secret {} holds no certificate",
                binding.name
            ),
            "put the authority's certificate there, in PEM",
        ));
    };
    Ok(Ok(WhiskClient::trusting(
        &uri,
        &user,
        &key,
        CALL_TIMEOUT,
        &roots,
    )?))
}

/// Whom to trust, as the binding of an OpenWhisk says that somebody else runs; `None` when what it gives is no authority.
fn roots(binding: Option<&Secret>) -> Option<Roots> {
    let data = binding.and_then(|secret| secret.data.as_ref());
    let pem = data
        .and_then(|data| data.get("ca.crt"))
        .map(|value| value.0.trim_ascii())
        .filter(|pem| !pem.is_empty());
    match pem {
        None => Some(Roots::System),
        Some(pem) => Roots::of(pem),
    }
}

/// The status of an entity that somebody deleted between our write and our look.
pub fn vanished<K: Entity>(object: &K, status: K::Status) -> Reconciled<K::Status> {
    let text = format!(
        "somebody deleted the {} just now; it is created again",
        K::WHAT
    );
    resident::wait(object, status, "Creating", &text, Duration::from_secs(2))
}

/// The status of an entity that is as asked for.
pub fn installed<K: Entity>(object: &K, status: K::Status, said: &str) -> Reconciled<K::Status> {
    resident::there(object, status, "Installed", said, &[])
}

/// Tells a change that was made, in the log and as an event.
pub async fn tell<K: Entity>(context: &Context, object: &K, created: bool, change: &str) {
    let what = if created { "Created" } else { "Changed" };
    let reason = format!("{}{what}", K::EVENT);
    resident::tell(context, object, &reason, change).await;
}

async fn delete<K: Entity>(
    context: &Context,
    object: &K,
    server: Option<&OpenWhisk>,
) -> Result<Reconciled<K::Status>, EntityError> {
    // Only what this resource was seen to own is removed.
    let keep = (!object.owns()).then(|| "this resource did not make it".to_owned());
    let is_removed = keep.is_none()
        && object.deletion_policy() == DeletionPolicy::Delete
        && object.finalizers().iter().any(|f| f == K::FINALIZER)
        && Lives::of(server) == Lives::Present;
    if is_removed && let Some(first) = order::before(context, object).await? {
        let (what, name) = (K::WHAT, object.name_there());
        let text = format!("{what} {name} is removed after {first}, which uses it");
        let status = status_of(object);
        return Ok(resident::wait(
            object,
            status,
            "InUse",
            &text,
            WAIT_FOR_USERS,
        ));
    }
    let removal = async {
        let client = match reach(context, object, server).await? {
            Ok(client) => client,
            Err(waiting) => return Ok(Err(waiting)),
        };
        match K::remove(&client, object.name_there()).await {
            Ok(true) => Ok(Ok("was deleted".to_owned())),
            Ok(false) => Ok(Ok("was gone already".to_owned())),
            Err(source) => Err(EntityError::Removal {
                what: K::WHAT,
                source,
            }),
        }
    };
    resident::leave(context, object, Lives::of(server), keep, removal).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::secret_data;

    #[test]
    fn a_broken_authority_does_not_mean_those_of_the_system() {
        let read = |pem: &str| {
            let secret = Secret {
                data: Some(secret_data([("ca.crt", pem.to_owned())])),
                ..Secret::default()
            };
            roots(Some(&secret))
        };
        let authority = include_str!("../../openwhisk/apache/test_authority.pem");
        assert!(matches!(read(authority), Some(Roots::Given(_))));
        assert!(read("no certificate").is_none());
        // None is asked for.
        assert!(matches!(read("\n"), Some(Roots::System)));
        assert!(matches!(roots(None), Some(Roots::System)));
    }
}
