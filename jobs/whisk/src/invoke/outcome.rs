//! From what a child did to the record of its activation.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Caller, Within, now};
use crate::action::Action;
use crate::activation::{Activation, Response, Status, note};
use crate::kinds::SEQUENCE;
use crate::pods::PodError;
use crate::pool::{Outcome, PoolError, StartError, Stream, Verdict, line};

/// The last line of the log of an activation that broke.
pub(super) const BROKEN: &str =
    "The action did not initialize or run as expected. Log data might be missing.";

/// How one run of code went.
pub(super) struct Run {
    pub(super) response: Response,
    pub(super) init: Option<Duration>,
    pub(super) took: Duration,
    /// When it ended, ms since 1970.
    pub(super) ended: i64,
    pub(super) timed_out: bool,
    /// The child ended before it had read its input.
    pub(super) unread: bool,
    pub(super) logs: Vec<String>,
}

impl Run {
    pub(super) fn failed(response: Response) -> Self {
        Self {
            response,
            init: None,
            took: Duration::ZERO,
            ended: now(),
            timed_out: false,
            unread: false,
            logs: Vec::new(),
        }
    }
}

/// The input: bound parameters, then what the caller gives over them. What is no object is passed as it is.
pub(super) fn merged(action: &Action, payload: Value) -> Value {
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
pub(super) fn response(outcome: Outcome, timeout: u64, longest: usize) -> Response {
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
        Outcome::Ended(Verdict::Disk) => {
            broken("The action wrote too much and was aborted.".to_owned())
        }
        Outcome::Told(text) => broken(text).sized(),
    }
}

/// The run of an action for which no child could be had.
pub(super) fn unleased(error: PoolError) -> Run {
    let status = match &error {
        PoolError::Code(_) | PoolError::Start(_) => Status::Developer,
        PoolError::Pod(error) if error.is_of_action() => Status::Developer,
        PoolError::Pod(_) | PoolError::Store(_) | PoolError::Full(_) | PoolError::Ending => {
            Status::Internal
        }
    };
    let mut run = Run::failed(Response::error(status, error.to_string()));
    run.timed_out = matches!(
        error,
        PoolError::Start(StartError::Timeout(_)) | PoolError::Pod(PodError::Timeout(_))
    );
    if let PoolError::Pod(PodError::Init { log, .. }) = error {
        run.logs = log;
    }
    if status == Status::Developer {
        run.init = Some(Duration::ZERO);
        run.logs.push(line(Stream::Err, BROKEN));
        if !run.timed_out {
            run.response = run.response.sized();
        }
    }
    run
}

pub(super) fn record(
    id: String,
    action: &Action,
    caller: &Caller,
    within: &Within,
    run: Run,
) -> Activation {
    let end = run.ended;
    let duration = milliseconds(run.took) + run.init.map_or(0, milliseconds);
    let start = end - duration;
    let mut annotations = Vec::new();
    if within.cause.is_some() {
        annotations.push(note("causedBy", SEQUENCE));
    }
    if let Some(binding) = &action.binding {
        annotations.push(note("binding", binding.to_string()));
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
        duration: Some(duration),
        end: Some(end),
        logs: run.logs,
        name: action.full_name().leaf().to_owned(),
        namespace: caller.subject.namespace.clone(),
        publish: false,
        response: run.response,
        start,
        subject: caller.subject.namespace.clone(),
        version: action.version.to_string(),
    }
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
