//! Compositions: an action with the annotation `conductor` says after each step which action is next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};

use super::{Caller, Engine, Part, Within};
use crate::action::{Action, Exec};
use crate::activation::{Activation, Response, Status};
use crate::name::{FullName, check};
use crate::store::StoreError;

/// The annotation of a conductor, in its action and in the records of its compositions.
pub(super) const CONDUCTOR: &str = "conductor";

const TOO_LONG: &str = "Too many actions in the composition.";

/// Steps of a composition and of all compositions in it: together they are bounded.
#[derive(Debug, Default)]
pub(super) struct Steps {
    components: AtomicUsize,
    conductors: AtomicUsize,
}

/// A composition on its way.
struct Session {
    steps: Arc<Steps>,
    depth: usize,
    state: Option<Map<String, Value>>,
    logs: Vec<String>,
    duration: i64,
    memory: u64,
}

impl Session {
    fn took(&mut self, record: &Activation) {
        self.logs.push(record.activation_id.clone());
        self.duration += record.duration.unwrap_or(0);
        let memory = record
            .annotations
            .iter()
            .find(|annotation| annotation.key == "limits")
            .and_then(|limits| limits.value.get("memory")?.as_u64());
        self.memory = self.memory.max(memory.unwrap_or(0));
    }
}

/// What a conductor answered.
#[derive(Debug, PartialEq)]
struct Said {
    params: Option<Map<String, Value>>,
    state: Option<Map<String, Value>>,
    next: Option<Value>,
}

impl Said {
    /// Reads an answer; what is no object is put into one.
    fn of(result: &Map<String, Value>) -> Self {
        let boxed = |field: &str, name: &str| {
            result.get(field).map(|value| match value {
                Value::Object(fields) => fields.clone(),
                other => Map::from_iter([(name.to_owned(), other.clone())]),
            })
        };
        Self {
            params: boxed("params", "value"),
            state: boxed("state", "state"),
            next: result.get("action").cloned(),
        }
    }
}

/// The action that a conductor names: `/namespace/action`, `/namespace/package/action`, `package/action` or
/// `action`; without a namespace the caller's own.
fn resolve(next: &Value, own: &str) -> Option<FullName> {
    let text = next.as_str()?;
    let full = text.starts_with('/');
    let parts: Vec<&str> = text.strip_prefix('/').unwrap_or(text).split('/').collect();
    let legal = |(index, part): (usize, &&str)| (index == 0 && *part == "_") || check(part).is_ok();
    if !parts.iter().enumerate().all(legal) {
        return None;
    }
    let (namespace, name) = match (full, parts.as_slice()) {
        (true, [namespace, name @ ..]) if (1..=2).contains(&name.len()) => (*namespace, name),
        (false, [namespace, name @ ..]) if name.len() == 2 => (*namespace, name),
        (false, name) if (1..=2).contains(&name.len()) => ("_", name),
        _ => return None,
    };
    Some(FullName {
        namespace: if namespace == "_" { own } else { namespace }.to_owned(),
        name: name.join("/"),
    })
}

fn failed(text: impl Into<String>) -> Map<String, Value> {
    Map::from_iter([("error".to_owned(), json!(text.into()))])
}

impl Engine {
    /// Whether an action is a conductor, so that its invocation is a composition.
    pub(super) fn is_conductor(action: &Action) -> bool {
        !matches!(action.exec, Exec::Sequence { .. }) && action.is_truthy(CONDUCTOR)
    }

    pub(super) async fn run_composition(
        self: &Arc<Self>,
        id: String,
        action: &Arc<Action>,
        payload: Value,
        caller: &Caller,
        within: &Within,
    ) -> Activation {
        let start = super::now();
        let mut session = Session {
            steps: within.steps.clone().unwrap_or_default(),
            depth: within.depth,
            state: None,
            logs: Vec::new(),
            duration: 0,
            memory: action.limits.memory,
        };
        let response = self
            .conduct(&id, action, payload, caller, &mut session)
            .await
            .unwrap_or_else(|error| {
                tracing::error!(activation = id, %error, "a composition broke");
                Response::error(Status::Internal, "Activation failure during composition.")
            });
        let mut limits = action.limits;
        limits.memory = session.memory;
        let part = Part {
            response,
            logs: session.logs,
            duration: session.duration,
            limits,
            conducted: true,
            start,
        };
        part.record(id, action, caller, within)
    }

    async fn conduct(
        self: &Arc<Self>,
        id: &str,
        conductor: &Arc<Action>,
        payload: Value,
        caller: &Caller,
        session: &mut Session,
    ) -> Result<Response, StoreError> {
        let most = self.bounds.sequence_length;
        let mut payload = payload;
        loop {
            // So many that a composition can have as many components as a sequence.
            let turns = session.steps.conductors.fetch_add(1, Ordering::AcqRel);
            if turns > 2 * most || self.is_too_deep(session.depth) {
                return Ok(Response::error(Status::Application, TOO_LONG));
            }
            if let (Some(state), Value::Object(fields)) = (session.state.take(), &mut payload) {
                fields.extend(state);
            }
            let mut inner = Within {
                cause: Some(id.to_owned()),
                steps: Some(Arc::clone(&session.steps)),
                simple: true,
                depth: session.depth + 1,
                // A sequence in a composition is one component: what it starts it counts by itself.
                actions: None,
            };
            let record = self
                .part(Arc::clone(conductor), payload, caller, inner.clone())
                .await?;
            session.took(&record);
            let Value::Object(result) = record.response.result else {
                return Ok(record.response);
            };
            let said = Said::of(&result);
            session.state = said.state;
            let Some(next) = said.next else {
                let result = said.params.unwrap_or(result);
                return Ok(Response::new(
                    record.response.status,
                    Value::Object(result),
                    None,
                ));
            };
            let component = self.component(
                &next,
                caller,
                session.steps.components.load(Ordering::Acquire),
            );
            payload = match component {
                Err(error) => Value::Object(failed(error)),
                Ok(component) => {
                    if !Self::is_conductor(&component) {
                        session.steps.components.fetch_add(1, Ordering::AcqRel);
                    }
                    let input = Value::Object(said.params.unwrap_or_default());
                    inner.simple = false;
                    let record = self.part(component, input, caller, inner).await?;
                    session.took(&record);
                    match record.response.result {
                        Value::Object(result) => Value::Object(result),
                        other => json!({ "value": other }),
                    }
                }
            };
        }
    }

    /// The next component, or why there is none; the conductor is told that.
    fn component(
        &self,
        next: &Value,
        caller: &Caller,
        components: usize,
    ) -> Result<Arc<Action>, String> {
        let own = &caller.subject.namespace;
        let name = resolve(next, own).ok_or_else(|| {
            format!("Failed to parse action name from json value {next} during composition.")
        })?;
        if components >= self.bounds.sequence_length {
            return Err(TOO_LONG.to_owned());
        }
        if !self.packages.may_run(own, &name) {
            return Err(format!(
                "Failed entitlement check for action with name '{name}' during composition."
            ));
        }
        self.action(&name).ok_or_else(|| {
            format!("Failed to resolve action with name '{name}' during composition.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_next_action() {
        let name = |text: &str| resolve(&json!(text), "me").map(|name| name.to_string());
        assert_eq!(name("a").as_deref(), Some("me/a"));
        assert_eq!(name("p/a").as_deref(), Some("me/p/a"));
        assert_eq!(name("/_/a").as_deref(), Some("me/a"));
        assert_eq!(name("/other/p/a").as_deref(), Some("other/p/a"));
        assert_eq!(name("other/p/a").as_deref(), Some("other/p/a"));
        for none in ["", "/a", "a/b/c/d", "/a/b/c/d", "a$", "//a"] {
            assert_eq!(name(none), None, "{none}");
        }
        assert_eq!(resolve(&json!(5), "me"), None);
    }

    #[test]
    fn what_a_conductor_says() {
        let said = |value: Value| Said::of(value.as_object().unwrap());
        let full = said(json!({ "action": "a", "params": 1, "state": [2] }));
        assert_eq!(full.params, json!({ "value": 1 }).as_object().cloned());
        assert_eq!(full.state, json!({ "state": [2] }).as_object().cloned());
        assert_eq!(full.next, Some(json!("a")));
        assert_eq!(said(json!({ "x": 1 })).next, None);
    }
}
