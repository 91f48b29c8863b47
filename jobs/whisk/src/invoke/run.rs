//! One activation: of code in a child, or of a sequence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::outcome::{BROKEN, Run, merged, record, response, unleased};
use super::{Caller, Engine, Part, Within, now};
use crate::action::{Action, Code, Exec, Parameter};
use crate::activation::{Activation, Response, Status};
use crate::auth::not_authorized;
use crate::name::FullName;
use crate::pods::{ImagePod, init};
use crate::pool::{Instance, Lease, Log, Outcome, PoolError, Stream, Worker, line};
use crate::proxy::PROTOCOL_VERSION;

/// How an instance of an action is had, as often as one is needed.
type Leased<'a, W> = BoxFuture<'a, Result<Lease<W>, PoolError>>;

/// When an activation that begins now has to be through, ms since 1970.
fn deadline(action: &Action) -> i64 {
    now() + i64::try_from(action.limits.timeout).unwrap_or(i64::MAX)
}

impl Engine {
    pub(super) async fn run_code(
        &self,
        id: String,
        action: &Action,
        code: &Code,
        payload: Value,
        caller: &Caller,
        within: &Within,
    ) -> Activation {
        let lease = || -> Leased<'_, Worker> {
            let environment = || self.environment(&id, action, caller, &self.api_host);
            let lease = self.pool.lease(action, code, &self.actions, environment);
            lease.boxed()
        };
        let run = self.run_leased(&id, action, payload, caller, lease).await;
        record(id, action, caller, within, run)
    }

    /// An action that brings an image: in a pod, where this server makes pods.
    pub(super) async fn run_image(
        &self,
        id: String,
        action: &Action,
        (image, code, main): (&str, Option<&Code>, Option<&str>),
        payload: Value,
        caller: &Caller,
        within: &Within,
    ) -> Activation {
        let run = match (&self.pods, code) {
            (Some(pods), code) => {
                let lease = || -> Leased<'_, ImagePod> {
                    let init = || -> Result<Value, PoolError> {
                        let text = code
                            .map(|code| self.actions.code(&code.digest))
                            .transpose()?;
                        let code = text.as_deref().zip(code.map(|code| code.binary));
                        let env = self.environment(&id, action, caller, pods.api_host());
                        Ok(init(action, main, code, env))
                    };
                    pods.lease(action, image, init).boxed()
                };
                self.run_leased(&id, action, payload, caller, lease).await
            }
            (None, Some(code)) => {
                return self
                    .run_code(id, action, code, payload, caller, within)
                    .await;
            }
            (None, None) => {
                let text = format!("Failed to pull container image '{image}'.");
                Run::failed(Response::error(Status::Developer, text))
            }
        };
        record(id, action, caller, within, run)
    }

    async fn run_leased<'a, W: Instance>(
        &self,
        id: &str,
        action: &Action,
        mut payload: Value,
        caller: &Caller,
        lease: impl Fn() -> Leased<'a, W> + Send,
    ) -> Run {
        let mut line = None;
        loop {
            let leased = match lease().await {
                Ok(leased) => leased,
                Err(error) => return unleased(error),
            };
            let line =
                line.get_or_insert_with(|| self.input_line(id, action, payload.take(), caller));
            let warm = leased.started.is_none();
            let run = self.run_once(leased, action, line).await;
            // A warm instance that was about to end has read none of it: the next one gets it.
            if !(warm && run.unread) {
                return run;
            }
        }
    }

    async fn run_once<W: Instance>(
        &self,
        mut lease: Lease<W>,
        action: &Action,
        line: &[u8],
    ) -> Run {
        let init = lease.started;
        let timeout = Duration::from_millis(action.limits.timeout);
        let mut log = Log::new(action.limits.log_bytes());
        let (mut took, mut ended) = (Duration::ZERO, now());
        let outcome = match lease.worker() {
            Some(worker) => {
                if init.is_some() || worker.ready().await {
                    let start = Instant::now();
                    let outcome = worker
                        .run(line, timeout, self.bounds.payload_bytes, &mut log)
                        .await;
                    // What is waited for from here on is no part of the activation.
                    (took, ended) = (start.elapsed(), now());
                    match outcome {
                        Ok(outcome) => Ok(worker.finish(outcome, &mut log).await),
                        Err(error) => Err(error),
                    }
                } else {
                    Ok(Outcome::NotStarted)
                }
            }
            None => Err(std::io::Error::other("the child is gone")),
        };
        let timed_out = matches!(outcome, Ok(Outcome::TimedOut));
        let unread = matches!(outcome, Ok(Outcome::NotStarted));
        let response = match outcome {
            Ok(outcome) => response(outcome, action.limits.timeout, self.bounds.payload_bytes),
            Err(error) => Response::error(
                Status::Internal,
                format!("The action's pipes failed: {error}"),
            ),
        };
        match response.status {
            Status::Success | Status::Application => lease.keep(),
            Status::Developer | Status::Internal => lease.fail(),
        }
        let mut logs = log.finish();
        if response.status == Status::Developer {
            logs.push(self::line(Stream::Err, BROKEN));
        }
        Run {
            response,
            init,
            took,
            ended,
            timed_out,
            unread,
            logs,
        }
    }

    pub(super) async fn run_sequence(
        self: &Arc<Self>,
        id: String,
        action: &Action,
        components: &[String],
        payload: Value,
        caller: &Caller,
        within: &Within,
    ) -> Activation {
        let start = now();
        let (mut logs, mut duration, mut memory) = (Vec::new(), 0, 0);
        let mut response = Response::new(Status::Success, merged(action, payload), None);
        let started = within.actions.clone().unwrap_or_default();
        for component in components {
            let next = match self.component_of_sequence(component, caller, within, &started) {
                Ok(next) => next,
                Err(why) => {
                    response = Response::error(Status::Application, why).sized();
                    break;
                }
            };
            memory = memory.max(next.limits.memory);
            let inner = Within {
                cause: Some(id.clone()),
                steps: within.steps.clone(),
                simple: false,
                depth: within.depth + 1,
                actions: Some(Arc::clone(&started)),
            };
            let record = match self.part(next, response.result, caller, inner).await {
                Ok(record) => record,
                Err(error) => {
                    response = Response::error(Status::Internal, error.to_string());
                    break;
                }
            };
            logs.push(record.activation_id);
            duration += record.duration.unwrap_or(0);
            response = record.response;
            if !response.success {
                break;
            }
        }
        let mut limits = action.limits;
        limits.memory = if memory == 0 { limits.memory } else { memory };
        let part = Part {
            response,
            logs,
            duration,
            limits,
            conducted: false,
            start,
        };
        part.record(id, action, caller, within)
    }

    /// The next component of a sequence, or why there is none. What it was when the sequence was made is not what
    /// it is now: it may have gone, have been closed to the caller, or have become a sequence itself.
    fn component_of_sequence(
        &self,
        component: &str,
        caller: &Caller,
        within: &Within,
        started: &AtomicUsize,
    ) -> Result<Arc<Action>, String> {
        let own = &caller.subject.namespace;
        let most = self.bounds.sequence_length;
        if self.is_too_deep(within.depth) || started.load(Ordering::Acquire) >= most {
            return Err("Too many actions in the sequence.".to_owned());
        }
        let missing = || "Sequence component does not exist.".to_owned();
        let name = FullName::parse(component, own).ok_or_else(missing)?;
        if !self.packages.may_run(own, &name) {
            return Err(not_authorized(&name));
        }
        let action = self.action(&name).ok_or_else(missing)?;
        if !matches!(action.exec, Exec::Sequence { .. }) {
            started.fetch_add(1, Ordering::AcqRel);
        }
        Ok(action)
    }

    /// A child's whole environment: what OpenWhisk tells, and the action's init parameters.
    pub(super) fn environment(
        &self,
        id: &str,
        action: &Action,
        caller: &Caller,
        api_host: &str,
    ) -> Vec<(String, String)> {
        let told = [
            ("__OW_API_HOST", api_host.to_owned()),
            ("__OW_ACTION_NAME", format!("/{}", action.full_name())),
            ("__OW_ACTION_VERSION", action.version.to_string()),
            ("__OW_ACTIVATION_ID", id.to_owned()),
            ("__OW_DEADLINE", deadline(action).to_string()),
            ("__OW_NAMESPACE", action.namespace.clone()),
            ("__OW_PROXY_VERSION", PROTOCOL_VERSION.to_owned()),
            ("__OW_TRANSACTION_ID", caller.transaction.clone()),
        ];
        let mut environment: Vec<(String, String)> = told
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if action.is_truthy("provide-api-key") {
            environment.push(("__OW_API_KEY".to_owned(), caller.subject.credentials()));
        }
        let usable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
        for Parameter { key, value, .. } in action
            .parameters
            .iter()
            .filter(|p| p.init && usable(&p.key))
        {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            environment.push((key.clone(), text.replace('\0', "")));
        }
        environment
    }

    /// The line that a child reads.
    pub(super) fn input_line(
        &self,
        id: &str,
        action: &Action,
        payload: Value,
        caller: &Caller,
    ) -> Vec<u8> {
        let mut envelope = json!({
            "value": merged(action, payload),
            "namespace": action.namespace,
            "action_name": format!("/{}", action.full_name()),
            "action_version": action.version.to_string(),
            "activation_id": id,
            "transaction_id": caller.transaction,
            "deadline": deadline(action).to_string(),
        });
        if action.is_truthy("provide-api-key") {
            envelope["api_key"] = json!(caller.subject.credentials());
        }
        let mut line = envelope.to_string().into_bytes();
        line.push(b'\n');
        line
    }
}
