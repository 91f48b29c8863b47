//! Invocations: one action, or a sequence of them, each with its record.

mod composition;
mod outcome;
mod part;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::action::{Action, Exec};
use crate::activation::{Activation, Response, Status};
use crate::auth::Subject;
use crate::metrics::{Metrics, StatusLabel};
use crate::name::{FullName, activation_id};
use crate::pods::Pods;
use crate::pool::Pool;
use crate::runs::{self, Runs};
use crate::settings::Bounds;
use crate::store::{ActionStore, ActivationStore, Begin, Kept, Links, Packages, StoreError};
use composition::Steps;
use outcome::{Run, record};
use part::Part;

/// Runs actions.
pub struct Engine {
    /// Actions.
    pub actions: ActionStore,
    /// Packages.
    pub packages: Packages,
    /// Triggers and rules.
    pub links: Links,
    /// Records.
    pub activations: ActivationStore,
    /// Children.
    pub pool: Arc<Pool>,
    /// Pods of actions that bring an image, where this server makes any.
    pub pods: Option<Arc<Pods>>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Bounds.
    pub bounds: Bounds,
    /// The API's address as actions are told it.
    pub api_host: String,
    /// Who is told what ran.
    pub runs: Option<Runs>,
    running: AtomicUsize,
    ended: Notify,
}

/// Who invokes, and within what.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The subject.
    pub subject: Subject,
    /// Transaction id of the request.
    pub transaction: String,
    /// When the request came, ms since 1970.
    pub received: i64,
}

/// An invocation that is written down and not started yet.
#[derive(Debug)]
pub struct Accepted {
    /// The activation's id.
    pub id: String,
    action: Arc<Action>,
    caller: Caller,
}

/// The place of an activation within others.
#[derive(Debug, Clone, Default)]
struct Within {
    cause: Option<String>,
    /// Of the composition that it is a part of.
    steps: Option<Arc<Steps>>,
    /// Whether a conductor is asked itself, instead of starting a composition.
    simple: bool,
    /// How many sequences and compositions are around it.
    depth: usize,
    /// How many actions the sequence around it has started, and those around that one.
    actions: Option<Arc<AtomicUsize>>,
}

impl Engine {
    /// An engine over its stores.
    pub fn new(
        kept: Kept,
        (pool, pods): (Arc<Pool>, Option<Arc<Pods>>),
        metrics: Arc<Metrics>,
        bounds: Bounds,
        api_host: String,
        runs: Option<Runs>,
    ) -> Self {
        let (running, ended) = (AtomicUsize::new(0), Notify::new());
        Self {
            actions: kept.actions,
            packages: kept.packages,
            links: kept.links,
            activations: kept.activations,
            pool,
            pods,
            metrics,
            bounds,
            api_host,
            runs,
            running,
            ended,
        }
    }

    /// An action as it runs: with the parameters of its package.
    pub fn action(&self, name: &FullName) -> Option<Arc<Action>> {
        self.packages.action(&self.actions, name)
    }

    /// Ends what runs an action that changed or went.
    pub fn forget(&self, name: &FullName) {
        let now = self.actions.get(name);
        self.pool.forget(name, now.as_deref());
        if let Some(pods) = &self.pods {
            pods.forget(name, now.as_deref());
        }
    }

    /// Unpacks the code of an action that runs as a child, in the background. To be called within a runtime.
    pub fn unpack_ahead(self: &Arc<Self>, action: Arc<Action>) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let Exec::Code { code, .. } = &action.exec {
                engine.pool.unpack_ahead(code, &engine.actions).await;
            }
        });
    }

    /// Accepts an invocation: it is written down, and runs from now on whoever waits for it.
    ///
    /// Returns its id, and where its record arrives.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written down; then it does not run.
    pub fn accept(
        self: &Arc<Self>,
        action: Arc<Action>,
        payload: Value,
        caller: Caller,
        at_end: impl FnOnce() + Send + 'static,
    ) -> Result<(String, oneshot::Receiver<Activation>), StoreError> {
        let accepted = self.prepare(action, caller)?;
        let id = accepted.id.clone();
        Ok((id, self.launch(accepted, payload, at_end)))
    }

    /// Writes down that an invocation was accepted. It runs when it is launched; when the server ends
    /// before that, the next start gives it a record that says so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prepare(&self, action: Arc<Action>, caller: Caller) -> Result<Accepted, StoreError> {
        let id = activation_id();
        self.begin(&id, &action, &caller, &Within::default())?;
        Ok(Accepted { id, action, caller })
    }

    /// Starts what was accepted. Returns where its record arrives.
    pub fn launch(
        self: &Arc<Self>,
        accepted: Accepted,
        payload: Value,
        at_end: impl FnOnce() + Send + 'static,
    ) -> oneshot::Receiver<Activation> {
        let (sender, receiver) = oneshot::channel();
        let engine = Arc::clone(self);
        let Accepted { id, action, caller } = accepted;
        self.running.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            let record = engine
                .run(id, action, payload, caller, Within::default())
                .await;
            at_end();
            // Nobody may be waiting any more; the record is kept anyway.
            let _ = sender.send(record);
            engine.running.fetch_sub(1, Ordering::AcqRel);
            engine.ended.notify_waiters();
        });
        receiver
    }

    /// Gives what was accepted and shall not run after all a record that says why.
    pub fn abandon(&self, accepted: &Accepted, why: &str) {
        let run = Run::failed(Response::error(Status::Internal, why));
        let record = record(
            accepted.id.clone(),
            &accepted.action,
            &accepted.caller,
            &Within::default(),
            run,
        );
        self.activations.keep(&record);
    }

    /// Waits until no invocation runs, at most so long; how many still do.
    pub async fn drain(&self, patience: Duration) -> usize {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let running = self.running.load(Ordering::Acquire);
            if running == 0 || tokio::time::timeout_at(deadline, ended).await.is_err() {
                return running;
            }
        }
    }

    fn begin(
        &self,
        id: &str,
        action: &Action,
        caller: &Caller,
        within: &Within,
    ) -> Result<(), StoreError> {
        self.activations.begin(Begin {
            id: id.to_owned(),
            namespace: caller.subject.namespace.clone(),
            name: action.full_name().leaf().to_owned(),
            path: Some(action.full_name().to_string()),
            version: action.version.to_string(),
            subject: caller.subject.namespace.clone(),
            cause: within.cause.clone(),
            start: now(),
        })
    }

    fn run(
        self: &Arc<Self>,
        id: String,
        action: Arc<Action>,
        payload: Value,
        caller: Caller,
        within: Within,
    ) -> BoxFuture<'static, Activation> {
        let engine = Arc::clone(self);
        async move {
            let trace = engine.runs.as_ref().and_then(|_| runs::trace(&payload));
            let composed = !within.simple && Self::is_conductor(&action);
            let record = match &action.exec {
                _ if composed => {
                    engine
                        .run_composition(id, &action, payload, &caller, &within)
                        .await
                }
                Exec::Code { code, .. } => {
                    engine
                        .run_code(id, &action, code, payload, &caller, &within)
                        .await
                }
                Exec::Image { image, code, main } => {
                    let parts = (image.as_str(), code.as_ref(), main.as_deref());
                    engine
                        .run_image(id, &action, parts, payload, &caller, &within)
                        .await
                }
                Exec::Sequence { components } => {
                    engine
                        .run_sequence(id, &action, components, payload, &caller, &within)
                        .await
                }
            };
            engine
                .metrics
                .activations
                .get_or_create(&StatusLabel {
                    status: record.response.status.label(),
                })
                .inc();
            engine.metrics.duration.observe(
                Duration::from_millis(record.duration.unwrap_or(0).unsigned_abs()).as_secs_f64(),
            );
            engine.activations.keep(&record);
            if let Some(runs) = &engine.runs {
                runs.note(&record, trace);
            }
            record
        }
        .boxed()
    }
}

/// Now, ms since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
