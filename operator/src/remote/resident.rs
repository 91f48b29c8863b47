//! What all resources have in common that stand for one thing inside another component: a topic or a user in a Kafka,
//! an action in an OpenWhisk. Who owns the thing, what is told of it, and how it is let go.

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use millrace_contract::Invalid;
use serde::de::DeserializeOwned;

use super::claim;
use super::release::{self, Lives, Release};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected, status_of};
use crate::rbac::Rule;
use crate::status::{
    AVAILABLE, Conditioned, ConditionedStatus, DEGRADED, PROGRESSING, set_condition,
};
use crate::types::{DeletionPolicy, GROUP};

/// Drift inside a component, and of what is referred to outside of it, sends no event: so often it is looked for.
pub const RESYNC: Duration = Duration::from_secs(60);
/// The watch of the component tells when it becomes available; this only covers a lost event.
pub const WAIT: Duration = Duration::from_secs(15);
/// A deletion that waits for the component has a time limit, so that it is looked at often.
const WAIT_TO_REMOVE: Duration = Duration::from_secs(5);
/// A plan is looked at by somebody who waits for it.
pub const LOOK: Duration = Duration::from_secs(5);

/// Kubernetes answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct KubernetesError {
    /// What was tried.
    doing: &'static str,
    /// Why not.
    source: kube::Error,
}

impl KubernetesError {
    /// Says what was tried.
    pub fn doing(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self { doing, source }
    }
}

/// A custom resource that stands for one thing inside another component.
pub trait Resident:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Conditioned<Status: Send + Sync + Debug>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind of the component.
    type Home: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// The thing in plain words: `action`.
    const WHAT: &'static str;
    /// The same in the reasons of events: `Action`.
    const EVENT: &'static str;
    /// Stands while the thing is to go with its resource.
    const FINALIZER: &'static str;
    /// The field with the thing's name.
    const NAME_FIELD: &'static str;
    /// The reason of conditions while the component cannot be asked.
    const WAITS: &'static str;
    /// The name of the component, or what else tells it from others of the namespace.
    fn place(&self) -> Cow<'_, str>;
    /// The thing's name there.
    fn name_there(&self) -> &str;
    /// What becomes of it when the resource is deleted.
    fn deletion_policy(&self) -> DeletionPolicy;
    /// Notes the thing's name.
    fn note_name(status: &mut Self::Status, name: &str);
    /// Forgets that the thing was made by this resource.
    fn disown(status: &mut Self::Status);
}

/// What the operator must be allowed to do for such a resource, beside what it reads to get into the component.
#[must_use]
pub fn rules<K: Resident>() -> Vec<Rule> {
    let plural = K::plural(&());
    let mut rules = Rule::own_kind(&plural);
    rules.push(Rule::new(
        GROUP,
        &[&plural],
        &["patch"],
        "Label a resource with what it claims inside a component, and hold its deletion until that is gone.",
    ));
    let home = K::Home::kind(&());
    rules.push(Rule::new(
        GROUP,
        &[&K::Home::plural(&())],
        &["get", "list", "watch"],
        &format!("Find the {home} that a resource lives in, and wait until it is available."),
    ));
    rules
}

/// Watches the components that such resources live in.
pub fn watch_homes<C: Component<Kind: Resident>>(
    controller: ControllerOf<C>,
    context: &Context,
    scope: Option<&str>,
) -> ControllerOf<C> {
    let store = controller.store();
    let homes = context.scoped::<DeserializeGuard<<C::Kind as Resident>::Home>>(scope);
    controller.watches(homes, watcher::Config::default(), move |home| {
        let name = home.name_any();
        affected(&store, home.namespace().as_deref(), |one: &C::Kind| {
            one.place() == name
        })
    })
}

/// The older resource that stands for the same thing, told as field, value and cure.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn rival<K: Resident>(
    context: &Context,
    object: &K,
) -> Result<Option<String>, KubernetesError> {
    let namespace = object.namespace().unwrap_or_default();
    let all = claim::claimants::<K>(context, &namespace, &claim_of(object))
        .await
        .map_err(KubernetesError::doing("list resources of the same name"))?;
    Ok(claim::older_rival(object, &all).map(|owner| {
        let (what, kind, name) = (K::WHAT, K::kind(&()), owner.name_any());
        let problem = format!("the {what} belongs to the older {kind} {name}");
        let cure = "delete one of the two, or give another name";
        Invalid::new(K::NAME_FIELD, object.name_there(), problem, cure).to_string()
    }))
}

fn claim_of<K: Resident>(object: &K) -> String {
    claim::claim(&object.place(), object.name_there())
}

/// The first step of every reconcile: claims the thing, with further labels, and holds the resource while the thing is
/// to go with it. Goes on with the status to fill, or ends with that of a resource whose thing is another one's.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn claim<K: Resident>(
    context: &Context,
    object: &K,
    labels: &[(&str, &str)],
) -> Result<ControlFlow<Reconciled<K::Status>, K::Status>, KubernetesError> {
    let mine = claim_of(object);
    let labels: Vec<_> = [(claim::CLAIM_LABEL, mine.as_str())]
        .into_iter()
        .chain(labels.iter().copied())
        .collect();
    let goes_with_it = object.deletion_policy() == DeletionPolicy::Delete;
    claim::set_metadata(context, object, &labels, K::FINALIZER, goes_with_it)
        .await
        .map_err(KubernetesError::doing("label the resource"))?;
    let mut status = status_of(object);
    K::note_name(&mut status, object.name_there());
    Ok(match rival(context, object).await? {
        Some(rival) => ControlFlow::Break(stands_against(object, status, "Claimed", &rival)),
        None => ControlFlow::Continue(status),
    })
}

/// The status of a resource that cannot have its thing: another one owns it, or the component has none of the kind.
pub fn stands_against<K: Resident>(
    object: &K,
    mut status: K::Status,
    reason: &str,
    text: &str,
) -> Reconciled<K::Status> {
    // Deleting this resource must not delete what belongs to another one.
    K::disown(&mut status);
    for (condition, value, text) in [
        (AVAILABLE, false, text),
        (PROGRESSING, false, ""),
        (DEGRADED, true, text),
    ] {
        tell_condition(object, &mut status, condition, value, reason, text);
    }
    Reconciled::Status(status, RESYNC)
}

/// The status of a resource whose component cannot be asked yet.
pub fn wait_for_home<K: Resident>(
    object: &K,
    status: K::Status,
    waiting: &Invalid,
) -> Reconciled<K::Status> {
    wait(object, status, K::WAITS, &waiting.to_string(), WAIT)
}

/// The status of a resource whose thing cannot be made yet.
pub fn wait<K: Resident>(
    object: &K,
    mut status: K::Status,
    reason: &str,
    text: &str,
    again: Duration,
) -> Reconciled<K::Status> {
    for (condition, value) in [(AVAILABLE, false), (PROGRESSING, true)] {
        tell_condition(object, &mut status, condition, value, reason, text);
    }
    Reconciled::Status(status, again)
}

/// The status of a resource whose thing is there, with what could not be had of what is asked for.
pub fn there<K: Resident>(
    object: &K,
    mut status: K::Status,
    reason: &str,
    said: &str,
    refused: &[Invalid],
) -> Reconciled<K::Status> {
    tell_condition(object, &mut status, AVAILABLE, true, reason, said);
    tell_condition(object, &mut status, PROGRESSING, false, "Settled", "");
    if !refused.is_empty() {
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        let text = refused.join("; ");
        tell_condition(object, &mut status, DEGRADED, true, "Refused", &text);
    }
    Reconciled::Status(status, RESYNC)
}

/// The same of a thing that is there and still changes.
pub fn goes_on<K: Resident>(
    object: &K,
    there: Reconciled<K::Status>,
    reason: &str,
    text: &str,
    again: Duration,
) -> Reconciled<K::Status> {
    let Reconciled::Status(mut status, _) = there else {
        return there;
    };
    tell_condition(object, &mut status, PROGRESSING, true, reason, text);
    Reconciled::Status(status, again)
}

fn tell_condition<K: Resident>(
    object: &K,
    status: &mut K::Status,
    condition: &str,
    value: bool,
    reason: &str,
    text: &str,
) {
    let generation = object.meta().generation;
    let conditions = status.conditions_mut();
    set_condition(conditions, condition, value, reason, text, generation);
}

/// Tells a change that was made, in the log and as an event.
pub async fn tell<K: Resident>(context: &Context, object: &K, reason: &str, change: &str) {
    tracing::info!(kind = %K::kind(&()), name = %object.name_any(), namespace = object.namespace(), change, "changed inside a component");
    context
        .event(&object.object_ref(&()), false, reason, change)
        .await;
}

/// Lets a resource go that is being deleted, once its thing is removed where it is to be. `keep` says why the thing is
/// none of this resource's; `removal` gives what became of it, or what it has to wait for.
///
/// # Errors
/// The thing could not be removed, or Kubernetes could not be asked.
pub async fn leave<K: Resident, E: From<KubernetesError>>(
    context: &Context,
    object: &K,
    lives: Lives,
    keep: Option<String>,
    removal: impl Future<Output = Result<Result<String, Invalid>, E>> + Send,
) -> Result<Reconciled<K::Status>, E> {
    if !object.finalizers().iter().any(|f| f == K::FINALIZER) {
        return Ok(Reconciled::Gone);
    }
    let what = format!("{} {}", K::WHAT, object.name_there());
    let asked = object.meta().deletion_timestamp.as_ref();
    let asked = asked.map_or_else(Timestamp::now, |asked| asked.0);
    let remove = object.deletion_policy() == DeletionPolicy::Delete;
    let decision = match keep.filter(|_| remove) {
        Some(why) => Release::Now(format!("{what} is left alone: {why}")),
        None => release::decide(
            remove,
            lives,
            &what,
            asked,
            Timestamp::now(),
            release::TIME_LIMIT,
        ),
    };
    let note = match decision {
        Release::Now(why) => why,
        Release::AfterRemoval => match removal.await? {
            Ok(became) => format!("{what} {became}"),
            Err(waiting) => {
                let limit = release::TIME_LIMIT.as_secs();
                let text = format!(
                    "{what} is to be removed: {waiting}; the resource is let go after {limit} s"
                );
                let status = status_of(object);
                return Ok(wait(object, status, K::WAITS, &text, WAIT_TO_REMOVE));
            }
        },
    };
    let reason = format!("{}Released", K::EVENT);
    context
        .event(&object.object_ref(&()), false, &reason, &note)
        .await;
    claim::set_metadata(context, object, &[], K::FINALIZER, false)
        .await
        .map_err(KubernetesError::doing("let the resource go"))?;
    Ok(Reconciled::Gone)
}
