//! Invocations: one action, or a sequence of them, each with its record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, oneshot};

use crate::action::{Action, Code, Exec, Parameter};
use crate::activation::{Activation, Response, Status, note};
use crate::auth::Subject;
use crate::kinds::SEQUENCE;
use crate::metrics::{Metrics, StatusLabel};
use crate::name::{FullName, activation_id};
use crate::pool::{Lease, Log, Outcome, Pool, PoolError, StartError, Stream, Verdict, line};
use crate::settings::Bounds;
use crate::store::{ActionStore, ActivationStore, Begin, StoreError};

/// The version of the ActionLoop protocol that children are told: what upstream's proxy of 2025 speaks.
const PROTOCOL_VERSION: &str = "1.17.1";

/// The last line of the log of an activation that broke.
const BROKEN: &str = "The action did not initialize or run as expected. Log data might be missing.";

/// Runs actions.
pub struct Engine {
    /// Actions.
    pub actions: ActionStore,
    /// Records.
    pub activations: ActivationStore,
    /// Children.
    pub pool: Arc<Pool>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Bounds.
    pub bounds: Bounds,
    /// The API's address as actions are told it.
    pub api_host: String,
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

/// The place of an activation within others.
#[derive(Debug, Clone, Default)]
struct Within {
    cause: Option<String>,
}

impl Engine {
    /// An engine over its stores.
    pub fn new(
        actions: ActionStore,
        activations: ActivationStore,
        pool: Arc<Pool>,
        metrics: Arc<Metrics>,
        bounds: Bounds,
        api_host: String,
    ) -> Self {
        let (running, ended) = (AtomicUsize::new(0), Notify::new());
        Self {
            actions,
            activations,
            pool,
            metrics,
            bounds,
            api_host,
            running,
            ended,
        }
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
        let id = activation_id();
        self.begin(&id, &action, &caller, &Within::default())?;
        let (sender, receiver) = oneshot::channel();
        let (engine, accepted) = (Arc::clone(self), id.clone());
        self.running.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            let record = engine
                .run(accepted, action, payload, caller, Within::default())
                .await;
            at_end();
            // Nobody may be waiting any more; the record is kept anyway.
            let _ = sender.send(record);
            engine.running.fetch_sub(1, Ordering::AcqRel);
            engine.ended.notify_waiters();
        });
        Ok((id, receiver))
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
            name: action.name.clone(),
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
            let record = match &action.exec {
                Exec::Code { code, .. } => engine.run_code(id, &action, code, payload, &caller, &within).await,
                Exec::Image { code: Some(code), .. } => engine.run_code(id, &action, code, payload, &caller, &within).await,
                Exec::Image { image, code: None, .. } => {
                    let text = format!("Failed to pull container image '{image}'.");
                    let run = Run::failed(Response::error(Status::Developer, text));
                    record(id, &action, &caller, &within, run)
                }
                Exec::Sequence { components } => engine.run_sequence(id, &action, components, payload, &caller, &within).await,
            };
            engine.metrics.activations.get_or_create(&StatusLabel { status: record.response.status.label() }).inc();
            engine.metrics.duration.observe(Duration::from_millis(record.duration.unsigned_abs()).as_secs_f64());
            if let Err(error) = engine.activations.finish(&record) {
                tracing::error!(activation = record.activation_id, %error, "a record could not be kept");
            }
            record
        }
        .boxed()
    }

    async fn run_code(
        &self,
        id: String,
        action: &Action,
        code: &Code,
        payload: Value,
        caller: &Caller,
        within: &Within,
    ) -> Activation {
        let deadline = now() + i64::try_from(action.limits.timeout).unwrap_or(i64::MAX);
        let leased = self
            .pool
            .lease(action, code, &self.actions, || {
                self.environment(&id, action, caller, deadline)
            })
            .await;
        let run = match leased {
            Ok(lease) => self.run_leased(lease, &id, action, payload, caller).await,
            Err(error) => unleased(error),
        };
        record(id, action, caller, within, run)
    }

    async fn run_leased(
        &self,
        mut lease: Lease,
        id: &str,
        action: &Action,
        payload: Value,
        caller: &Caller,
    ) -> Run {
        let init = lease.started;
        let timeout = Duration::from_millis(action.limits.timeout);
        let deadline = now() + i64::try_from(action.limits.timeout).unwrap_or(i64::MAX);
        let line = self.input_line(id, action, payload, caller, deadline);
        let limit = usize::try_from(action.limits.logs).unwrap_or(0) * 1024 * 1024;
        let (start, mut log) = (Instant::now(), Log::new(limit));
        let outcome = match lease.worker() {
            Some(worker) => {
                worker
                    .run(&line, timeout, self.bounds.payload_bytes, &mut log)
                    .await
            }
            None => Err(std::io::Error::other("the child is gone")),
        };
        let took = start.elapsed();
        let timed_out = matches!(outcome, Ok(Outcome::TimedOut));
        let response = match outcome {
            Ok(outcome) => response(outcome, action.limits.timeout, self.bounds.payload_bytes),
            Err(error) => Response::error(
                Status::Internal,
                format!("The action's pipes failed: {error}"),
            ),
        };
        match response.status {
            Status::Success | Status::Application => lease.keep(),
            Status::Developer | Status::Internal => {
                self.pool.count_end("fault");
                drop(lease);
            }
        }
        let mut logs = log.finish();
        if response.status == Status::Developer {
            logs.push(self::line(Stream::Err, BROKEN));
        }
        Run {
            response,
            init,
            took,
            timed_out,
            logs,
        }
    }

    async fn run_sequence(
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
        for component in components {
            let found = FullName::parse(component, &caller.subject.namespace)
                .and_then(|name| self.actions.get(&name));
            let Some(next) = found else {
                response =
                    Response::error(Status::Application, "Sequence component does not exist.")
                        .sized();
                break;
            };
            let inner = Within {
                cause: Some(id.clone()),
            };
            let part = activation_id();
            if let Err(error) = self.begin(&part, &next, caller, &inner) {
                response = Response::error(Status::Internal, error.to_string());
                break;
            }
            memory = memory.max(next.limits.memory);
            let received = Caller {
                received: now(),
                ..caller.clone()
            };
            let record = self.run(part, next, response.result, received, inner).await;
            logs.push(record.activation_id);
            duration += record.duration;
            response = record.response;
            if !response.success {
                break;
            }
        }
        let mut limits = action.limits;
        limits.memory = if memory == 0 { limits.memory } else { memory };
        let mut annotations = Vec::new();
        if within.cause.is_none() {
            annotations.push(note("topmost", true));
        } else {
            annotations.push(note("causedBy", SEQUENCE));
        }
        annotations.push(note("path", action.full_name().to_string()));
        annotations.push(note("waitTime", (start - caller.received).max(0)));
        annotations.push(note("kind", SEQUENCE));
        annotations.push(note("limits", json!(limits)));
        Activation {
            activation_id: id,
            annotations,
            cause: within.cause.clone(),
            duration,
            end: now(),
            logs,
            name: action.name.clone(),
            namespace: caller.subject.namespace.clone(),
            publish: false,
            response,
            start,
            subject: caller.subject.namespace.clone(),
            version: action.version.to_string(),
        }
    }

    /// A child's whole environment: what OpenWhisk tells, and the action's init parameters.
    fn environment(
        &self,
        id: &str,
        action: &Action,
        caller: &Caller,
        deadline: i64,
    ) -> Vec<(String, String)> {
        let told = [
            ("__OW_API_HOST", self.api_host.clone()),
            ("__OW_ACTION_NAME", format!("/{}", action.full_name())),
            ("__OW_ACTION_VERSION", action.version.to_string()),
            ("__OW_ACTIVATION_ID", id.to_owned()),
            ("__OW_DEADLINE", deadline.to_string()),
            ("__OW_NAMESPACE", action.namespace.clone()),
            ("__OW_PROXY_VERSION", PROTOCOL_VERSION.to_owned()),
            ("__OW_TRANSACTION_ID", caller.transaction.clone()),
        ];
        let mut environment: Vec<(String, String)> = told
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if action.is("provide-api-key") {
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
    fn input_line(
        &self,
        id: &str,
        action: &Action,
        payload: Value,
        caller: &Caller,
        deadline: i64,
    ) -> Vec<u8> {
        let mut envelope = json!({
            "value": merged(action, payload),
            "namespace": action.namespace,
            "action_name": format!("/{}", action.full_name()),
            "action_version": action.version.to_string(),
            "activation_id": id,
            "transaction_id": caller.transaction,
            "deadline": deadline.to_string(),
        });
        if action.is("provide-api-key") {
            envelope["api_key"] = json!(caller.subject.credentials());
        }
        let mut line = envelope.to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

/// How one run of code went.
struct Run {
    response: Response,
    init: Option<Duration>,
    took: Duration,
    timed_out: bool,
    logs: Vec<String>,
}

impl Run {
    fn failed(response: Response) -> Self {
        Self {
            response,
            init: None,
            took: Duration::ZERO,
            timed_out: false,
            logs: Vec::new(),
        }
    }
}

/// The input: bound parameters, then what the caller gives over them. What is no object is passed as it is.
fn merged(action: &Action, payload: Value) -> Value {
    let Value::Object(payload) = payload else {
        return payload;
    };
    let mut input: Map<String, Value> = action
        .inputs()
        .map(|p| (p.key.clone(), p.value.clone()))
        .collect();
    input.extend(payload);
    Value::Object(input)
}

/// From what a child did to what its activation answered.
fn response(outcome: Outcome, timeout: u64, longest: usize) -> Response {
    let broken = |text: String| Response::error(Status::Developer, text);
    match outcome {
        Outcome::Answer { line, length } if length > longest => {
            let text = String::from_utf8_lossy(&line);
            Response::error(Status::Application, format!(
                "The action produced a response that exceeded the allowed length: {length} > {longest} bytes. The truncated response was: {text}"
            ))
            .sized()
        }
        Outcome::Answer { line, length } => match serde_json::from_slice::<Value>(&line) {
            Ok(Value::Object(result)) if result.contains_key("error") => {
                Response::new(Status::Application, Value::Object(result), Some(length))
            }
            Ok(result @ (Value::Object(_) | Value::Array(_))) => {
                Response::new(Status::Success, result, Some(length))
            }
            Ok(Value::Null) => {
                let mut response = broken(
                    "The action did not produce a valid JSON or JSON Array response: null\n"
                        .to_owned(),
                );
                response.size = Some(length);
                response
            }
            _ => broken("The action did not return a dictionary or array.".to_owned()).sized(),
        },
        Outcome::NotStarted => broken("cannot start action: command exited".to_owned()).sized(),
        Outcome::Exited => broken("command exited".to_owned()).sized(),
        Outcome::TimedOut => broken(format!(
            "The action exceeded its time limits of {timeout} milliseconds."
        )),
        Outcome::Ended(Verdict::Memory) => {
            broken("The action exhausted its memory and was aborted.".to_owned())
        }
        Outcome::Ended(Verdict::Processes) => {
            broken("The action started too many processes and was aborted.".to_owned())
        }
    }
}

/// The run of an action for which no child could be had.
fn unleased(error: PoolError) -> Run {
    let status = match &error {
        PoolError::Code(_) | PoolError::Start(_) => Status::Developer,
        PoolError::Store(_) | PoolError::Full(_) | PoolError::Ending => Status::Internal,
    };
    let mut run = Run::failed(Response::error(status, error.to_string()));
    run.timed_out = matches!(error, PoolError::Start(StartError::Timeout(_)));
    if status == Status::Developer {
        run.init = Some(Duration::ZERO);
        run.logs.push(line(Stream::Err, BROKEN));
        if !run.timed_out {
            run.response = run.response.sized();
        }
    }
    run
}

fn record(id: String, action: &Action, caller: &Caller, within: &Within, run: Run) -> Activation {
    let end = now();
    let duration = milliseconds(run.took) + run.init.map_or(0, milliseconds);
    let start = end - duration;
    let mut annotations = Vec::new();
    if within.cause.is_some() {
        annotations.push(note("causedBy", SEQUENCE));
    }
    annotations.push(note("path", action.full_name().to_string()));
    annotations.push(note("waitTime", (start - caller.received).max(0)));
    annotations.push(note("kind", action.exec.kind()));
    annotations.push(note("timeout", run.timed_out));
    annotations.push(note("limits", json!(action.limits)));
    if let Some(init) = run.init {
        annotations.push(note("initTime", milliseconds(init)));
    }
    Activation {
        activation_id: id,
        annotations,
        cause: within.cause.clone(),
        duration,
        end,
        logs: run.logs,
        name: action.name.clone(),
        namespace: caller.subject.namespace.clone(),
        publish: false,
        response: run.response,
        start,
        subject: caller.subject.namespace.clone(),
        version: action.version.to_string(),
    }
}

/// Now, ms since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> Response {
        response(
            Outcome::Answer {
                line: line.as_bytes().to_vec(),
                length: line.len() + 1,
            },
            500,
            64,
        )
    }

    #[test]
    fn answers_are_classified_as_the_real_server_does() {
        assert_eq!(answer("{}").status, Status::Success);
        assert_eq!(answer("[1]").status, Status::Success);
        assert_eq!(answer("{\"error\":null}").status, Status::Application);
        assert_eq!(answer("\"s\"").size, Some(61));
        assert_eq!(answer("junk").status, Status::Developer);
        assert_eq!(answer("null").size, Some(5));
        let long = answer(&format!("{{\"x\":\"{}\"}}", "x".repeat(64)));
        assert_eq!(long.status, Status::Application);
        assert!(
            long.result["error"]
                .as_str()
                .unwrap()
                .contains("allowed length: 73 > 64 bytes"),
            "{long:?}"
        );
        let late = response(Outcome::TimedOut, 500, 64);
        assert_eq!(
            late.result["error"],
            "The action exceeded its time limits of 500 milliseconds."
        );
        assert_eq!(late.size, None);
    }
}
