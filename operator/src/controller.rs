//! Runs the reconcilers: watches, failures, status, events and metrics, the same for every kind.
//!
//! A component implements [`Component`] and gets a line in the registry. It returns the status that it wants to be
//! seen, or an error that becomes a condition, an event and a metric; it never writes its own status.

mod component;
mod kept;
mod overdue;
mod pause;
mod references;
mod tell;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use kube::Resource;
use kube::api::ApiResource;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::context::{Context, MANAGER, resource_version};
use crate::reconcile::key;
use crate::status::{
    AVAILABLE, Conditioned, ConditionedStatus, DEGRADED, PAUSED, is_true, set_condition,
};

pub use component::{Component, ControllerOf, Failure, Reconciled, StatusOf};
pub use kept::Kept;
use overdue::Hold;
pub use references::References;
pub use tell::chain;
use tell::{failed, tell_availability, unreadable, write};

/// Reconciles of one kind that run at once. Each waits for the API server, or for a system that it asks, nearly all of its time,
/// and holds a connection, which is kept with its buffers.
const CONCURRENCY: u16 = 16;

/// What is to be looked at again after so long a time or a longer one waits in the cache: the controller's queue keeps the
/// object's reference twice for each.
const LATE: Duration = Duration::from_secs(60);
/// How often the cache is asked who is due.
const SWEEP: Duration = Duration::from_secs(5);

/// When to look again for what the watch is to show any moment.
const SOON: Duration = Duration::from_millis(50);
/// A watch that does not show after this time what we wrote is not waited for.
const STALE: Duration = Duration::from_secs(5);

/// What a reconcile starts its status from: what was said before, for the present generation. Only the condition
/// Degraded is left out: it is said anew each time, so that a fault that is not found again is over.
pub fn status_of<K: Resource + Conditioned>(object: &K) -> K::Status {
    let mut status = status_before(object);
    status.conditions_mut().retain(|c| c.type_ != DEGRADED);
    status
}

fn status_before<K: Resource + Conditioned>(object: &K) -> K::Status {
    let mut status = object.status_ref().cloned().unwrap_or_default();
    status.set_observed_generation(object.meta().generation);
    status
}

/// Puts what a reconcile said about Degraded (nothing means no) where it stood before, so that the time of the last
/// transition is kept and an unchanged status stays equal.
fn settle_degraded<K: Resource + Conditioned>(object: &K, status: &mut K::Status) {
    let conditions = status.conditions_mut();
    let said = conditions
        .iter()
        .position(|c| c.type_ == DEGRADED)
        .map(|index| conditions.remove(index))
        .map_or((false, "AsExpected".to_owned(), String::new()), |c| {
            (c.status == "True", c.reason, c.message)
        });
    let before = object
        .status_ref()
        .map(|status| status.conditions().as_slice())
        .unwrap_or_default();
    if let Some(index) = before.iter().position(|c| c.type_ == DEGRADED) {
        conditions.insert(index.min(conditions.len()), before[index].clone());
    }
    set_condition(
        conditions,
        DEGRADED,
        said.0,
        &said.1,
        &said.2,
        object.meta().generation,
    );
}

/// A condition that is as it was has not changed since, whatever it was said to be on the way there.
fn keep_transitions<K: Conditioned>(object: &K, status: &mut K::Status) {
    let before = object.status_ref().map(ConditionedStatus::conditions);
    for condition in status.conditions_mut() {
        let mut same = before.into_iter().flatten();
        if let Some(same) =
            same.find(|was| was.type_ == condition.type_ && was.status == condition.status)
        {
            condition
                .last_transition_time
                .clone_from(&same.last_transition_time);
        }
    }
}

/// A watch of everything that the operator has made.
#[must_use]
pub fn managed() -> watcher::Config {
    watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"))
}

/// The objects in the controller's store that fulfil a condition: what a change of a referenced object touches.
pub fn affected<K>(
    store: &kube::runtime::reflector::Store<Kept<K>>,
    namespace: Option<&str>,
    refers: impl Fn(&K) -> bool,
) -> Vec<ObjectRef<Kept<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + 'static,
{
    store
        .state()
        .iter()
        .filter(|kept| kept.meta().namespace.as_deref() == namespace)
        .filter(|kept| kept.read().is_ok_and(|object| refers(&object)))
        .map(|kept| ObjectRef::from_obj(kept.as_ref()))
        .collect()
}

/// Runs one component in all its scopes until `stop` says true.
pub async fn run<C: Component>(context: Arc<Context>, stop: watch::Receiver<bool>)
where
    <C::Kind as Resource>::DynamicType: Eq + Hash + Clone,
{
    let scopes = context.scopes();
    future::join_all(
        scopes
            .into_iter()
            .map(|scope| run_scope::<C>(Arc::clone(&context), scope, stop.clone())),
    )
    .await;
}

async fn run_scope<C: Component>(
    context: Arc<Context>,
    scope: Option<String>,
    mut stop: watch::Receiver<bool>,
) {
    let api = context.scoped::<Kept<C::Kind>>(scope.as_deref());
    let (store, writer) = reflector::store();
    let noting = Arc::clone(&context);
    let objects = watcher(api, watcher::Config::default())
        .reflect(writer)
        .applied_objects()
        .inspect_ok(move |object| note::<C>(&noting, object));
    let by_us = Arc::clone(&context);
    let objects = objects.try_filter(move |object| {
        future::ready(!(C::DONE_BY_STATUS && is_ours::<C>(&by_us, object)))
    });
    let kind = C::Kind::kind(&());
    let changed = context.made.listen(&kind, scope.as_deref());
    let controller = Controller::for_stream(objects, store)
        .reconcile_on(changed.map(|of| ObjectRef::new(&of.name).within(&of.namespace)))
        .reconcile_on(due::<C>(Arc::clone(&context), scope.clone()))
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(async move {
            // An error means that the sender is gone, which is as good as a stop.
            let _ = stop.wait_for(|stop| *stop).await;
        });
    C::watches(controller, &context, scope.as_deref())
        .run(reconcile::<C>, |_, error, _| Action::requeue(error.retry_after), Arc::clone(&context))
        .for_each(|result| async {
            match result {
                Ok((object, _)) => tracing::debug!(component = C::NAME, %object, "reconciled"),
                // Failures of reconciles were already logged with their object.
                Err(kube::runtime::controller::Error::ReconcilerFailed(..)) => {}
                Err(kube::runtime::controller::Error::ObjectNotFound(gone)) => {
                    let kind = C::Kind::kind(&());
                    let namespace = gone.namespace.as_deref().unwrap_or_default();
                    context.cache.forget(&key(&kind, namespace, &gone.name));
                    context.metrics.forget(&kind, namespace, &gone.name);
                    if kind == "Platform" {
                        context.changes.gateway(namespace, &gone.name, None);
                    }
                    context.references.note(&kind, namespace, &gone.name, &[]);
                }
                Err(error) => tracing::warn!(component = C::NAME, %error, "a watch failed; it is taken up again"),
            }
        })
        .await;
}

/// The objects that are to be looked at again though nothing has changed.
fn due<C: Component>(
    context: Arc<Context>,
    scope: Option<String>,
) -> impl Stream<Item = ObjectRef<Kept<C::Kind>>> {
    stream::unfold(tokio::time::interval(SWEEP), |mut ticks| async {
        ticks.tick().await;
        Some(((), ticks))
    })
    .flat_map(move |()| {
        let kind = C::Kind::kind(&());
        let due = context.cache.take_due(&kind, scope.as_deref());
        stream::iter(due).map(|(namespace, name)| ObjectRef::new(&name).within(&namespace))
    })
}

fn note<C: Component>(context: &Context, object: &Kept<C::Kind>) {
    let meta = object.meta();
    let (Ok(readable), Some(name)) = (object.read(), &meta.name) else {
        return;
    };
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let refers = C::refers(&readable);
    let kind = C::Kind::kind(&());
    context.references.note(&kind, namespace, name, &refers);
}

/// A reconcile that is to be tried again.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Retry {
    message: String,
    retry_after: Duration,
}

async fn reconcile<C: Component>(
    kept: Arc<Kept<C::Kind>>,
    context: Arc<Context>,
) -> Result<Action, Retry> {
    if is_stale::<C>(&context, &kept) {
        return Ok(Action::requeue(SOON));
    }
    let object = match kept.read() {
        Ok(object) => object,
        Err(error) => return unreadable::<C>(&context, &kept, &error).await,
    };
    let again = reconcile_one::<C>(&context, &object).await?;
    let late = again.filter(|after| *after >= LATE);
    if let Some(owner) = owner_key::<C>(&kept) {
        context.cache.set_due(&owner, late);
    }
    Ok(match again {
        Some(after) if late.is_none() => Action::requeue(after),
        _ => Action::await_change(),
    })
}

fn last_status<C: Component>(context: &Context, object: &Kept<C::Kind>) -> Option<(u64, Duration)> {
    context.cache.status_written(&owner_key::<C>(object)?)
}

fn owner_key<C: Component>(object: &Kept<C::Kind>) -> Option<String> {
    let meta = object.meta();
    let (namespace, name) = (meta.namespace.as_deref()?, meta.name.as_deref()?);
    Some(key(&C::Kind::kind(&()), namespace, name))
}

/// Whether an object is as we left it by writing its status for what is asked of it now.
fn is_ours<C: Component>(context: &Context, object: &Kept<C::Kind>) -> bool {
    let written = last_status::<C>(context, object).map(|(version, _)| version);
    let generation = object.meta().generation;
    let told_of_it = |object: C::Kind| {
        let conditions = object.status_ref().map(ConditionedStatus::conditions);
        let mut told = conditions.into_iter().flatten();
        told.any(|condition| condition.observed_generation == generation)
    };
    written.is_some()
        && written == resource_version(object.meta())
        && object.read().is_ok_and(told_of_it)
}

/// Whether an object is older than the status that we wrote: what was told would be told again.
fn is_stale<C: Component>(context: &Context, object: &Kept<C::Kind>) -> bool {
    last_status::<C>(context, object).is_some_and(|(written, ago)| {
        ago < STALE && resource_version(object.meta()).is_some_and(|version| version < written)
    })
}

/// Reconciles one object once and writes its status: what the controller does at each change, and what tests call. Gives
/// after which time to look again though nothing has changed, if at all.
///
/// # Errors
/// When it is to be tried again; by then it has been told in the status, as an event and as a metric.
pub async fn reconcile_one<C: Component>(
    context: &Context,
    object: &C::Kind,
) -> Result<Option<Duration>, Retry> {
    let deleting = object.meta().deletion_timestamp.is_some();
    if deleting && !C::HANDLES_DELETION {
        return Ok(None);
    }
    let started = Instant::now();
    if object.paused() && !deleting {
        note_change(context, object);
        return pause::rest::<C>(context, object).await.map(|()| None);
    }
    let outcome = C::reconcile(context, object).await;
    // Afterwards, so that its parts go on by the spec of now. Where that cannot be carried out, they do what they did.
    let outcome = match pause::wake::<C>(context, object).await {
        Ok(()) => outcome,
        Err(failure) => outcome.and(Err(failure)),
    };
    match outcome {
        Ok(Reconciled::Gone) => {
            context
                .metrics
                .count_reconcile(C::NAME, "ok", started.elapsed());
            Ok(None)
        }
        Ok(Reconciled::Status(mut status, again)) => {
            let generation = object.meta().generation;
            settle_degraded(object, &mut status);
            if status.conditions().iter().any(|c| c.type_ == PAUSED) {
                set_condition(
                    status.conditions_mut(),
                    PAUSED,
                    false,
                    "NotPaused",
                    "",
                    generation,
                );
            }
            if was_available(object) != is_true(status.conditions(), AVAILABLE) {
                tell_availability::<C>(context, object, &status).await;
            }
            keep_transitions(object, &mut status);
            note_change(context, object);
            write::<C>(context, object, &status).await?;
            context
                .metrics
                .count_reconcile(C::NAME, "ok", started.elapsed());
            Ok(Some(again))
        }
        Err(failure) => {
            context
                .metrics
                .count_reconcile(C::NAME, failure.reason(), started.elapsed());
            note_change(context, object);
            let mut retry = failed::<C>(context, object, &failure).await;
            match overdue::let_go(context, object, &retry.message).await {
                Hold::Nothing => {}
                Hold::For(left) => retry.retry_after = retry.retry_after.min(left),
                Hold::LetGo => return Ok(None),
            }
            Err(retry)
        }
    }
}

/// Notes that the spec is another one than that of which the status speaks.
fn note_change<K: Resource<DynamicType = ()> + Conditioned>(context: &Context, object: &K) {
    let meta = object.meta();
    // A deletion is another generation, too, and not the doing of who wrote the spec.
    if meta.deletion_timestamp.is_some() {
        return;
    }
    let conditions = object.status_ref().map(ConditionedStatus::conditions);
    let mut told = conditions.into_iter().flatten();
    let known = told.any(|condition| condition.observed_generation == meta.generation);
    if let (false, Some(namespace), Some(name)) = (known, &meta.namespace, &meta.name) {
        let resource = ApiResource::erase::<K>(&());
        context.changes.note(resource, namespace, name);
    }
}

fn was_available<K: Conditioned>(object: &K) -> bool {
    object
        .status_ref()
        .is_some_and(|status| is_true(status.conditions(), AVAILABLE))
}
