//! Activations that are parts of others, and the records of those others.

use std::sync::Arc;

use serde_json::{Value, json};

use super::composition::CONDUCTOR;
use super::{Caller, Engine, Within, now};
use crate::action::{Action, Limits, Parameter};
use crate::activation::{Activation, Response, note};
use crate::kinds::SEQUENCE;
use crate::name::activation_id;
use crate::store::StoreError;

/// How a sequence or a composition went.
pub(super) struct Part {
    pub(super) response: Response,
    /// Ids of its parts.
    pub(super) logs: Vec<String>,
    /// Sum of what its parts took, ms.
    pub(super) duration: i64,
    pub(super) limits: Limits,
    pub(super) conducted: bool,
    /// When it began, ms since 1970.
    pub(super) start: i64,
}

impl Part {
    fn annotations(&self, action: &Action, caller: &Caller, within: &Within) -> Vec<Parameter> {
        let mut annotations = vec![match within.cause {
            None => note("topmost", true),
            Some(_) => note("causedBy", SEQUENCE),
        }];
        if let Some(binding) = &action.binding {
            annotations.push(note("binding", binding.to_string()));
        }
        annotations.push(note("path", action.full_name().to_string()));
        annotations.push(note("waitTime", (self.start - caller.received).max(0)));
        if self.conducted {
            annotations.push(note(CONDUCTOR, true));
        }
        annotations.push(note("kind", SEQUENCE));
        annotations.push(note("limits", json!(self.limits)));
        annotations
    }

    pub(super) fn record(
        self,
        id: String,
        action: &Action,
        caller: &Caller,
        within: &Within,
    ) -> Activation {
        Activation {
            activation_id: id,
            annotations: self.annotations(action, caller, within),
            cause: within.cause.clone(),
            duration: Some(self.duration),
            end: Some(now()),
            logs: self.logs,
            name: action.full_name().leaf().to_owned(),
            namespace: caller.subject.namespace.clone(),
            publish: false,
            response: self.response,
            start: self.start,
            subject: caller.subject.namespace.clone(),
            version: action.version.to_string(),
        }
    }
}

impl Engine {
    /// Whether a sequence or a composition has more of them around it than a composition may have turns: what runs
    /// itself, directly or through a binding that was changed later, ends there.
    pub(super) fn is_too_deep(&self, depth: usize) -> bool {
        depth > 2 * self.bounds.sequence_length
    }

    /// Runs an activation within another one.
    pub(super) async fn part(
        self: &Arc<Self>,
        action: Arc<Action>,
        payload: Value,
        caller: &Caller,
        within: Within,
    ) -> Result<Activation, StoreError> {
        let id = activation_id();
        self.begin(&id, &action, caller, &within)?;
        let caller = Caller {
            received: now(),
            ..caller.clone()
        };
        Ok(self.run(id, action, payload, caller, within).await)
    }
}
