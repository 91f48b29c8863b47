//! What a client sends to create or change an action, checked, and what becomes of the action. Pure.

mod common;
mod link;
mod package;
mod parse;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::action::{Action, COMPONENTS_PARAMETER, Code, Exec, Hold, Limits, Parameter};
use crate::api::ApiError;
use crate::kinds::Kinds;
use crate::name::FullName;
use crate::settings::Bounds;
pub use common::Common;
pub use link::{RulePut, TriggerPut, parse_status};
pub use package::PackagePut;
use parse::{check_range, parse_exec, parse_limits, parse_names, set, too_large};

/// A checked body of `PUT actions/{name}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// What to run; kept as it is when absent.
    pub exec: Option<NewExec>,
    common: Common,
    remove_annotations: Vec<String>,
    limits: LimitsPatch,
}

/// What to run, with its code at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewExec {
    /// Code of a kind.
    Code {
        /// The kind, resolved.
        kind: String,
        /// The code's text.
        code: String,
        /// Entry point.
        main: Option<String>,
    },
    /// An image.
    Image {
        /// Name.
        image: String,
        /// The code's text.
        code: Option<String>,
        /// Entry point.
        main: Option<String>,
    },
    /// Other actions.
    Sequence {
        /// Their names.
        components: Vec<FullName>,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LimitsPatch {
    concurrency: Option<u64>,
    instances: Option<u64>,
    logs: Option<u64>,
    memory: Option<u64>,
    timeout: Option<u64>,
}

/// The digest under which a code's text is kept.
pub fn code_digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a code's text is base64, by the rule of the real server: its shape alone decides.
pub fn is_binary(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.len().is_multiple_of(4) && STANDARD.decode(text).is_ok()
}

fn code(text: &str) -> Code {
    Code {
        digest: code_digest(text),
        binary: is_binary(text),
        length: text.len(),
        hold: Hold::default(),
    }
}

impl Put {
    /// Checks a body.
    ///
    /// # Errors
    /// [`ApiError`] with the real server's words.
    pub fn parse(
        body: &Map<String, Value>,
        own_namespace: &str,
        kinds: &Kinds,
        bounds: &Bounds,
    ) -> Result<Self, ApiError> {
        let exec = body
            .get("exec")
            .map(|exec| parse_exec(exec, own_namespace, kinds))
            .transpose()?;
        let limits = body
            .get("limits")
            .map(parse_limits)
            .transpose()?
            .unwrap_or_default();
        let put = Self {
            exec,
            common: Common::parse(body)?,
            remove_annotations: parse_names(body.get("delAnnotations"))?,
            limits,
        };
        put.check_sizes(bounds)?;
        put.limits.check(bounds)?;
        put.check_kind(kinds)?;
        Ok(put)
    }

    fn check_sizes(&self, bounds: &Bounds) -> Result<(), ApiError> {
        let code = match &self.exec {
            Some(NewExec::Code { code, .. }) => code.len(),
            Some(NewExec::Image { code, .. }) => code.as_ref().map_or(0, String::len),
            _ => 0,
        };
        too_large("exec", code, bounds.code_bytes)?;
        self.common.check_sizes(bounds)
    }

    fn check_kind(&self, kinds: &Kinds) -> Result<(), ApiError> {
        if let Some(NewExec::Code { kind, .. }) = &self.exec
            && kinds.find(kind).is_some_and(|kind| kind.deprecated)
        {
            return Err(deprecated(kind));
        }
        Ok(())
    }

    /// Applies the body to `old`, or makes a new action.
    ///
    /// # Errors
    /// [`ApiError`] when there is nothing to run.
    pub fn apply(
        self,
        old: Option<&Action>,
        name: &FullName,
        now: i64,
    ) -> Result<Action, ApiError> {
        let exec = match (self.exec, old) {
            (Some(exec), _) => exec.into_exec(),
            (None, Some(old)) => old.exec.clone(),
            (None, None) => return Err(ApiError::rejected(400, "exec undefined")),
        };
        let version = self.common.next_version(old.map(|old| old.version));
        let mut parameters = self
            .common
            .parameters
            .unwrap_or_else(|| old.map(|old| old.parameters.clone()).unwrap_or_default());
        parameters.retain(|parameter| parameter.key != COMPONENTS_PARAMETER);
        if let Exec::Sequence { components } = &exec {
            parameters.push(Parameter {
                key: COMPONENTS_PARAMETER.to_owned(),
                value: json!(components),
                init: false,
            });
        }
        let mut annotations = old.map(|old| old.annotations.clone()).unwrap_or_default();
        annotations.retain(|annotation| !self.remove_annotations.contains(&annotation.key));
        for annotation in self.common.annotations.unwrap_or_default() {
            set(&mut annotations, annotation);
        }
        if !annotations
            .iter()
            .any(|annotation| annotation.key == "provide-api-key")
        {
            let value = Value::Bool(false);
            annotations.push(Parameter {
                key: "provide-api-key".to_owned(),
                value,
                init: false,
            });
        }
        set(
            &mut annotations,
            Parameter {
                key: "exec".to_owned(),
                value: json!(exec.kind()),
                init: false,
            },
        );
        Ok(Action {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            version,
            publish: self
                .common
                .publish
                .unwrap_or_else(|| old.is_some_and(|old| old.publish)),
            parameters,
            annotations,
            limits: self
                .limits
                .apply(old.map(|old| old.limits).unwrap_or_default()),
            exec,
            binding: None,
            updated: common::updated(now, old.map(|old| old.updated)),
        })
    }

    /// The text of the code that the body brings.
    pub fn code(&self) -> Option<&str> {
        match &self.exec {
            Some(NewExec::Code { code, .. }) => Some(code),
            Some(NewExec::Image { code, .. }) => code.as_deref(),
            _ => None,
        }
    }
}

/// The answer for a kind that runs no more.
pub fn deprecated(kind: &str) -> ApiError {
    ApiError::rejected(
        400,
        format!(
            "The '{kind}' runtime is no longer supported. You may read and delete but not update or invoke this action."
        ),
    )
}

impl NewExec {
    fn into_exec(self) -> Exec {
        match self {
            Self::Code {
                kind,
                code: text,
                main,
            } => Exec::Code {
                kind,
                code: code(&text),
                main,
            },
            Self::Image {
                image,
                code: text,
                main,
            } => Exec::Image {
                image,
                code: text.as_deref().map(code),
                main,
            },
            Self::Sequence { components } => Exec::Sequence {
                components: components.iter().map(|name| format!("/{name}")).collect(),
            },
        }
    }
}

impl LimitsPatch {
    fn apply(&self, old: Limits) -> Limits {
        Limits {
            concurrency: self.concurrency.unwrap_or(old.concurrency),
            instances: self.instances.or(old.instances),
            logs: self.logs.unwrap_or(old.logs),
            memory: self.memory.unwrap_or(old.memory),
            timeout: self.timeout.unwrap_or(old.timeout),
        }
    }

    fn check(&self, bounds: &Bounds) -> Result<(), ApiError> {
        let milliseconds = |n| format!("{n} milliseconds");
        let megabytes = |n| format!("{n} MB");
        let plain = |n: u64| n.to_string();
        check_range("duration", self.timeout, bounds.timeout, milliseconds)?;
        check_range("memory size", self.memory, bounds.memory, megabytes)?;
        check_range("log size", self.logs, bounds.logs, megabytes)?;
        check_range("concurrency", self.concurrency, bounds.concurrency, plain)?;
        check_range("instances", self.instances, (1, bounds.instances), plain)
    }
}
#[cfg(test)]
mod tests;
