//! What actions, triggers and rules have in common as resources: the OpenWhisk they live in, who owns a name there,
//! waiting, and letting go.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use millrace_contract::Invalid;
use serde::de::DeserializeOwned;

use super::client::WhiskClient;
use super::error::{Class, WhiskError};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Failure, Reconciled, affected, status_of};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::claim;
use crate::remote::release::{self, Component as Lives, Release};
use crate::status::{
    AVAILABLE, Conditioned, ConditionedStatus, DEGRADED, PROGRESSING, is_true, set_condition,
};
use crate::topic::crd::DeletionPolicy;
use crate::types::GROUP;

/// Drift inside OpenWhisk, and of what is referred to outside of it, sends no event: so often it is looked for.
pub const RESYNC: Duration = Duration::from_secs(60);
/// What an entity needs inside OpenWhisk becomes available soon or not at all.
pub const WAIT_FOR_OTHERS: Duration = Duration::from_secs(3);
/// The watch of the OpenWhisk tells when it becomes available; this only covers a lost event.
const WAIT: Duration = Duration::from_secs(15);
/// A plan is looked at by somebody who waits for it.
const LOOK: Duration = Duration::from_secs(5);
/// Code runs to megabytes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What can go wrong with an entity.
#[derive(Debug, thiserror::Error)]
pub enum EntityError {
    /// Kubernetes answered with an error.
    #[error("cannot {doing}")]
    Kubernetes {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: kube::Error,
    },
    /// Something that the specification refers to is missing or wrong; the entity on the server stays as it is.
    #[error("{0}")]
    Invalid(Invalid),
    /// An action that comes with the operator cannot be read.
    #[error("the built-in action {name} cannot be read")]
    Builtin {
        /// Its name.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// OpenWhisk cannot be asked, or failed.
    #[error(transparent)]
    Whisk(#[from] WhiskError),
    /// The entity cannot be removed yet.
    #[error("the {what} cannot be removed: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// What kind of entity.
        what: &'static str,
        /// Why not.
        source: WhiskError,
    },
}

impl EntityError {
    /// An error of Kubernetes while doing something.
    pub fn kubernetes(doing: &'static str) -> impl FnOnce(kube::Error) -> EntityError {
        move |source| EntityError::Kubernetes { doing, source }
    }
}

impl Failure for EntityError {
    fn reason(&self) -> &'static str {
        match self {
            EntityError::Kubernetes { .. } => "KubernetesFailed",
            EntityError::Invalid(_) => "Invalid",
            EntityError::Builtin { .. } => "BuiltinUnreadable",
            EntityError::Whisk(error) => match error.class() {
                Some(Class::Unauthorized) => "KeyRefused",
                Some(_) => "OpenWhiskFailed",
                None => "OpenWhiskUnreachable",
            },
            EntityError::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // Often what is missing comes a moment later: a Secret made by somebody else.
            EntityError::Invalid(_) => Duration::from_secs(5),
            EntityError::Kubernetes { .. } | EntityError::Removal { .. } => Duration::from_secs(3),
            EntityError::Whisk(_) => Duration::from_secs(10),
            EntityError::Builtin { .. } => Duration::from_secs(60),
        }
    }
}

/// A custom resource that stands for an entity inside an OpenWhisk.
pub trait Entity:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Conditioned<Status: Send + Sync + Debug>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind in plain words: `action`.
    const WHAT: &'static str;
    /// Stands while the entity is to go with its resource.
    const FINALIZER: &'static str;
    /// The field with the entity's name.
    const NAME_FIELD: &'static str;
    /// The OpenWhisk it lives in.
    fn openwhisk(&self) -> &str;
    /// Its name there.
    fn entity_name(&self) -> &str;
    /// What becomes of it when the resource is deleted.
    fn deletion_policy(&self) -> &DeletionPolicy;
    /// Whether this resource was seen to own the entity.
    fn owns(&self) -> bool;
    /// Notes the entity's name.
    fn note_name(status: &mut Self::Status, name: &str);
    /// Forgets that this resource owns the entity.
    fn disown(status: &mut Self::Status);
    /// Removes the entity; `false` when there was none.
    fn remove(
        client: &WhiskClient,
        name: &str,
    ) -> impl Future<Output = Result<bool, WhiskError>> + Send;
}

/// What the operator must be allowed to do for any entity; `plural` is its resource.
#[must_use]
pub fn rules(plural: &str, what: &str) -> Vec<Rule> {
    let mut rules = Rule::own_kind(plural);
    rules.push(Rule::new(
        GROUP,
        &[plural],
        &["patch"],
        &format!(
            "Label {what} with what it claims, and hold its deletion until it is gone from OpenWhisk."
        ),
    ));
    rules.push(Rule::new(
        GROUP,
        &["openwhisks"],
        &["get", "list", "watch"],
        "Find the OpenWhisk of an action, trigger or rule and wait until it is available.",
    ));
    rules.push(Rule::new(
        "",
        &["secrets"],
        &["get"],
        "Read the key of an OpenWhisk, and the parameters of actions and triggers that are kept in Secrets.",
    ));
    rules
}

/// Watches the OpenWhisks that entities live in.
pub fn watch_servers<C: Component<Kind: Entity>>(
    controller: ControllerOf<C>,
    context: &Context,
    scope: Option<&str>,
) -> ControllerOf<C> {
    let store = controller.store();
    let servers = context.scoped::<DeserializeGuard<OpenWhisk>>(scope);
    controller.watches(servers, watcher::Config::default(), move |server| {
        let name = server.name_any();
        affected(&store, server.namespace().as_deref(), |entity: &C::Kind| {
            entity.openwhisk() == name
        })
    })
}

/// What has to be done next.
#[derive(Debug)]
pub enum Begun<S> {
    /// Nothing: this is what it came to.
    Settled(Reconciled<S>),
    /// The entity is to be made as asked for, in this OpenWhisk if it is there yet.
    Go(Box<(Option<OpenWhisk>, S)>),
}

/// The first steps of every reconcile: who owns the name, and what becomes of an entity on its way out.
///
/// # Errors
/// [`EntityError`].
pub async fn begin<K: Entity>(
    context: &Context,
    object: &K,
) -> Result<Begun<K::Status>, EntityError> {
    let namespace = object.namespace().unwrap_or_default();
    let server = context
        .namespaced::<OpenWhisk>(&namespace)
        .get_opt(object.openwhisk())
        .await
        .map_err(EntityError::kubernetes("read the OpenWhisk"))?;
    if object.meta().deletion_timestamp.is_some() {
        let gone = delete(context, object, server.as_ref()).await?;
        return Ok(Begun::Settled(gone));
    }
    let mine = claim::claim(object.openwhisk(), object.entity_name());
    let removed_with_it = *object.deletion_policy() == DeletionPolicy::Delete;
    let labels = [(claim::CLAIM_LABEL, mine.as_str())];
    claim::set_metadata(context, object, &labels, K::FINALIZER, removed_with_it)
        .await
        .map_err(EntityError::kubernetes("label the resource"))?;
    let mut status = status_of(object);
    K::note_name(&mut status, object.entity_name());
    let all = claim::claimants::<K>(context, &namespace, &mine)
        .await
        .map_err(EntityError::kubernetes("list resources of the same name"))?;
    if let Some(owner) = claim::older_rival(object, &all) {
        return Ok(Begun::Settled(claimed_by(object, status, owner)));
    }
    Ok(Begun::Go(Box::new((server, status))))
}

/// A client to look at an entity with, or what can be said without one. Nothing is claimed or written.
///
/// # Errors
/// [`EntityError`].
pub async fn ask<K: Entity>(
    context: &Context,
    object: &K,
) -> Result<Result<WhiskClient, Preparation>, EntityError> {
    let namespace = object.namespace().unwrap_or_default();
    let mine = claim::claim(object.openwhisk(), object.entity_name());
    let all = claim::claimants::<K>(context, &namespace, &mine)
        .await
        .map_err(EntityError::kubernetes("list resources of the same name"))?;
    if let Some(owner) = claim::older_rival(object, &all) {
        return Ok(Err(Preparation::refuses(rival(object, owner))));
    }
    let server = context
        .namespaced::<OpenWhisk>(&namespace)
        .get_opt(object.openwhisk())
        .await
        .map_err(EntityError::kubernetes("read the OpenWhisk"))?;
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
            object.openwhisk(),
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
        .map_err(EntityError::kubernetes("read the binding of the OpenWhisk"))?;
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
    Ok(Ok(WhiskClient::new(&uri, &user, &key, CALL_TIMEOUT)?))
}

/// The status of an entity whose OpenWhisk cannot be asked yet.
pub fn wait_for_server<K: Entity>(
    object: &K,
    status: K::Status,
    waiting: &Invalid,
) -> Reconciled<K::Status> {
    wait(
        object,
        status,
        "WaitingForOpenWhisk",
        &waiting.to_string(),
        WAIT,
    )
}

/// The status of an entity that cannot be made yet.
pub fn wait<K: Entity>(
    object: &K,
    mut status: K::Status,
    reason: &str,
    text: &str,
    again: Duration,
) -> Reconciled<K::Status> {
    let generation = object.meta().generation;
    for (condition, value) in [(AVAILABLE, false), (PROGRESSING, true)] {
        let conditions = status.conditions_mut();
        set_condition(conditions, condition, value, reason, text, generation);
    }
    Reconciled::Status(status, again)
}

/// The status of an entity that somebody deleted between our write and our look.
pub fn vanished<K: Entity>(object: &K, status: K::Status) -> Reconciled<K::Status> {
    let text = format!(
        "somebody deleted the {} just now; it is created again",
        K::WHAT
    );
    wait(object, status, "Creating", &text, Duration::from_secs(2))
}

/// The status of an entity that is as asked for.
pub fn installed<K: Entity>(
    object: &K,
    mut status: K::Status,
    said: &str,
) -> Reconciled<K::Status> {
    let generation = object.meta().generation;
    let conditions = status.conditions_mut();
    set_condition(conditions, AVAILABLE, true, "Installed", said, generation);
    set_condition(conditions, PROGRESSING, false, "Settled", "", generation);
    Reconciled::Status(status, RESYNC)
}

/// Tells a change that was made, in the log and as an event.
pub async fn tell<K: Entity>(context: &Context, object: &K, created: bool, change: &str) {
    tracing::info!(kind = %K::kind(&()), name = %object.name_any(), namespace = object.namespace(), change, "changed in OpenWhisk");
    let what = if created { "Created" } else { "Changed" };
    let reason = format!("{}{what}", K::kind(&()));
    context
        .event(&object.object_ref(&()), false, &reason, change)
        .await;
}

/// Another resource named the entity first: this one leaves it alone.
fn claimed_by<K: Entity>(object: &K, mut status: K::Status, owner: &K) -> Reconciled<K::Status> {
    let generation = object.meta().generation;
    let text = rival(object, owner);
    // Deleting this resource must not delete what belongs to the owner.
    K::disown(&mut status);
    for (condition, value, message) in [
        (AVAILABLE, false, text.as_str()),
        (PROGRESSING, false, ""),
        (DEGRADED, true, text.as_str()),
    ] {
        let conditions = status.conditions_mut();
        set_condition(conditions, condition, value, "Claimed", message, generation);
    }
    Reconciled::Status(status, RESYNC)
}

fn rival<K: Entity>(object: &K, owner: &K) -> String {
    Invalid::new(
        K::NAME_FIELD,
        object.entity_name(),
        format!(
            "the {} belongs to the older {} {}",
            K::WHAT,
            K::kind(&()),
            owner.name_any()
        ),
        "delete one of the two, or give another name",
    )
    .to_string()
}

async fn delete<K: Entity>(
    context: &Context,
    object: &K,
    server: Option<&OpenWhisk>,
) -> Result<Reconciled<K::Status>, EntityError> {
    if !object.finalizers().iter().any(|f| f == K::FINALIZER) {
        return Ok(Reconciled::Gone);
    }
    let name = object.entity_name();
    let lives = match server {
        None => Lives::Gone,
        Some(server) if server.meta().deletion_timestamp.is_some() => Lives::Going,
        Some(_) => Lives::Present,
    };
    // Only what this resource was seen to own is removed.
    let remove = *object.deletion_policy() == DeletionPolicy::Delete && object.owns();
    let asked = object
        .meta()
        .deletion_timestamp
        .as_ref()
        .map_or_else(Timestamp::now, |t| t.0);
    let what = format!("{} {name}", K::WHAT);
    let decision = release::decide(
        remove,
        lives,
        &what,
        asked,
        Timestamp::now(),
        release::TIME_LIMIT,
    );
    let note = match decision {
        Release::Now(why) => why,
        Release::AfterRemoval => match reach(context, object, server).await? {
            Ok(client) => match K::remove(&client, name).await {
                Ok(true) => format!("{what} was deleted"),
                Ok(false) => format!("{what} was gone already"),
                Err(source) => {
                    return Err(EntityError::Removal {
                        what: K::WHAT,
                        source,
                    });
                }
            },
            Err(waiting) => {
                let text = format!(
                    "{what} is to be deleted: {waiting}; the resource is let go after {} s",
                    release::TIME_LIMIT.as_secs()
                );
                let again = Duration::from_secs(5);
                let status = status_of(object);
                return Ok(wait(object, status, "WaitingForOpenWhisk", &text, again));
            }
        },
    };
    let reason = format!("{}Released", K::kind(&()));
    context
        .event(&object.object_ref(&()), false, &reason, &note)
        .await;
    claim::set_metadata(context, object, &[], K::FINALIZER, false)
        .await
        .map_err(EntityError::kubernetes("let the resource go"))?;
    Ok(Reconciled::Gone)
}
