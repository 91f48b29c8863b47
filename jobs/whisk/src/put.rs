//! What a client sends to create or change an action, checked, and what becomes of the action. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::action::{Action, COMPONENTS_PARAMETER, Code, Exec, Limits, Parameter, Version};
use crate::api::ApiError;
use crate::kinds::{BLACKBOX, Kinds, SEQUENCE};
use crate::name::FullName;
use crate::settings::Bounds;

/// A checked body of `PUT actions/{name}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// What to run; kept as it is when absent.
    pub exec: Option<NewExec>,
    parameters: Option<Vec<Parameter>>,
    annotations: Option<Vec<Parameter>>,
    remove_annotations: Vec<String>,
    limits: LimitsPatch,
    publish: Option<bool>,
    version: Option<Version>,
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
        let parameters = body.get("parameters").map(parse_parameters).transpose()?;
        let annotations = body.get("annotations").map(parse_parameters).transpose()?;
        let put = Self {
            exec,
            parameters,
            annotations,
            remove_annotations: parse_names(body.get("delAnnotations"))?,
            limits,
            publish: optional(body, "publish", Value::as_bool, "Expected Boolean")?,
            version: optional(
                body,
                "version",
                |value| Version::parse(value.as_str()?),
                "semantic version required",
            )?,
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
        for (what, list) in [
            ("parameters", &self.parameters),
            ("annotations", &self.annotations),
        ] {
            let size = list
                .iter()
                .flatten()
                .map(|p| p.key.len() + p.value.to_string().len())
                .sum();
            too_large(what, size, bounds.payload_bytes)?;
        }
        Ok(())
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
        let mut parameters = self
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
        for annotation in self.annotations.unwrap_or_default() {
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
        let version = match (self.version, old) {
            (Some(version), _) => version,
            (None, Some(old)) => old.version.next(),
            (None, None) => Version::FIRST,
        };
        Ok(Action {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            version,
            publish: self
                .publish
                .unwrap_or_else(|| old.is_some_and(|old| old.publish)),
            parameters,
            annotations,
            limits: self
                .limits
                .apply(old.map(|old| old.limits).unwrap_or_default()),
            exec,
            updated: now.max(old.map_or(0, |old| old.updated + 1)),
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

fn check_range(
    what: &str,
    value: Option<u64>,
    (low, high): (u64, u64),
    show: impl Fn(u64) -> String,
) -> Result<(), ApiError> {
    let Some(value) = value else { return Ok(()) };
    let (relation, bound) = match value {
        _ if value < low => ("below", low),
        _ if value > high => ("exceeds", high),
        _ => return Ok(()),
    };
    let (value, bound) = (show(value), show(bound));
    Err(ApiError::rejected(
        400,
        format!("requirement failed: {what} {value} {relation} allowed threshold of {bound}"),
    ))
}

fn too_large(what: &str, size: usize, allowed: usize) -> Result<(), ApiError> {
    if size <= allowed {
        return Ok(());
    }
    Err(ApiError::rejected(
        413,
        format!("{what} larger than allowed: {size} > {allowed} bytes."),
    ))
}

/// Sets a parameter where it is, or at the end.
fn set(list: &mut Vec<Parameter>, parameter: Parameter) {
    match list.iter_mut().find(|old| old.key == parameter.key) {
        Some(old) => *old = parameter,
        None => list.push(parameter),
    }
}

fn optional<T>(
    body: &Map<String, Value>,
    field: &str,
    read: impl Fn(&Value) -> Option<T>,
    problem: &str,
) -> Result<Option<T>, ApiError> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value)
            .map(Some)
            .ok_or_else(|| ApiError::malformed(format!("'{field}': {problem}"))),
    }
}

fn parse_names(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let malformed = || ApiError::malformed("'delAnnotations' must be a list of strings");
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(malformed))
            .collect(),
        Some(_) => Err(malformed()),
    }
}

fn parse_parameters(value: &Value) -> Result<Vec<Parameter>, ApiError> {
    let malformed = || ApiError::malformed("parameters malformed!");
    let mut parameters = Vec::new();
    for item in value.as_array().ok_or_else(malformed)? {
        let key = item
            .get("key")
            .and_then(Value::as_str)
            .filter(|key| !key.is_empty())
            .ok_or_else(malformed)?;
        let value = item.get("value").ok_or_else(malformed)?.clone();
        let init = match item.get("init") {
            None => false,
            Some(init) => init.as_bool().ok_or_else(malformed)?,
        };
        set(
            &mut parameters,
            Parameter {
                key: key.to_owned(),
                value,
                init,
            },
        );
    }
    Ok(parameters)
}

fn parse_limits(value: &Value) -> Result<LimitsPatch, ApiError> {
    let fields = value
        .as_object()
        .ok_or_else(|| ApiError::malformed("JSON object expected"))?;
    let limit = |field: &str, name: &str| match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| ApiError::malformed(format!("{name} limit malformed"))),
    };
    Ok(LimitsPatch {
        concurrency: limit("concurrency", "concurrency")?,
        instances: limit("instances", "instance")?,
        logs: limit("logs", "log")?,
        memory: limit("memory", "memory")?,
        timeout: limit("timeout", "time")?,
    })
}

fn parse_exec(value: &Value, own_namespace: &str, kinds: &Kinds) -> Result<NewExec, ApiError> {
    let fields = value
        .as_object()
        .ok_or_else(|| ApiError::malformed("JSON object expected"))?;
    let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::to_owned);
    let kind = text("kind")
        .ok_or_else(|| ApiError::malformed("'kind' must be a string defined in 'exec'"))?;
    let main = text("main");
    match kind.as_str() {
        SEQUENCE => parse_sequence(fields, own_namespace),
        BLACKBOX if kinds.blackbox => {
            let image = text("image").ok_or_else(|| {
                ApiError::malformed(
                    "'image' must be a string defined in 'exec' for 'blackbox' actions",
                )
            })?;
            if !is_image(&image) {
                return Err(ApiError::malformed("could not parse image name"));
            }
            Ok(NewExec::Image {
                image,
                code: text("code").filter(|code| !code.trim().is_empty()),
                main,
            })
        }
        _ => {
            let Some(found) = kinds.find(&kind) else {
                return Err(unsupported(&kind, kinds));
            };
            let kind = found.kind.clone();
            let code = text("code").ok_or_else(|| {
                ApiError::malformed(format!("'code' must be a string or attachment object defined in 'exec' for '{kind}' actions"))
            })?;
            if found.require_main && main.is_none() {
                return Err(ApiError::malformed(format!(
                    "'main' must be a string defined in 'exec' for '{kind}' actions"
                )));
            }
            Ok(NewExec::Code { kind, code, main })
        }
    }
}

fn unsupported(kind: &str, kinds: &Kinds) -> ApiError {
    let names: Vec<String> = kinds
        .names()
        .iter()
        .map(|name| format!("'{name}'"))
        .collect();
    let cure = if kinds.blackbox {
        ""
    } else {
        " This server runs executables: build the action as a static program that speaks ActionLoop and use 'native:default' or 'rust:default'."
    };
    ApiError::malformed(format!(
        "The specified runtime '{kind}' is not supported by this platform. Valid values are: {}.{cure}",
        names.join(", ")
    ))
}

fn parse_sequence(fields: &Map<String, Value>, own_namespace: &str) -> Result<NewExec, ApiError> {
    let malformed =
        || ApiError::malformed("'components' must be defined in 'exec' for sequence kind");
    let list = fields
        .get("components")
        .and_then(Value::as_array)
        .ok_or_else(malformed)?;
    let mut components = Vec::new();
    for item in list {
        let text = item.as_str().ok_or_else(malformed)?;
        let name = FullName::parse(text, own_namespace).ok_or_else(|| {
            ApiError::malformed(
                "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name of the entity.",
            )
        })?;
        components.push(name);
    }
    Ok(NewExec::Sequence { components })
}

/// Whether a text can name an image: lower case path parts, optionally a registry, a tag and a digest.
fn is_image(text: &str) -> bool {
    let without_digest = text.split('@').next().unwrap_or_default();
    !text.is_empty()
        && text.len() <= 512
        && !text.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-/:@".contains(c)))
        && without_digest.split('/').all(|part| !part.is_empty())
        && without_digest.rsplit('/').next().is_some_and(|last| {
            let name = last.split(':').next().unwrap_or_default();
            !name.is_empty() && !name.contains(|c: char| c.is_ascii_uppercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(body: Value) -> Result<Put, ApiError> {
        let Value::Object(body) = body else {
            panic!("no object")
        };
        Put::parse(&body, "me", &Kinds::default(), &Bounds::default())
    }

    fn name() -> FullName {
        FullName {
            namespace: "me".to_owned(),
            name: "a".to_owned(),
        }
    }

    #[test]
    fn base64_is_told_by_its_shape() {
        assert!(is_binary("aGVsbG8h"));
        for text in ["", "#!/bin/sh\n", "aGVsbG8", "text"] {
            assert_eq!(is_binary(text), text == "text", "{text:?}");
        }
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let first = put(json!({ "exec": { "kind": "rust:default", "code": "x" }, "parameters": [{ "key": "a", "value": 1 }],
            "annotations": [{ "key": "d", "value": "x" }], "limits": { "timeout": 500 } }))
        .unwrap()
        .apply(None, &name(), 10)
        .unwrap();
        assert_eq!(first.version, Version::FIRST);
        let second = put(
            json!({ "annotations": [{ "key": "k", "value": 2 }], "limits": { "memory": 128 } }),
        )
        .unwrap()
        .apply(Some(&first), &name(), 5)
        .unwrap();
        assert_eq!(second.version.to_string(), "0.0.2");
        assert_eq!((second.limits.timeout, second.limits.memory), (500, 128));
        assert_eq!(second.exec, first.exec);
        assert_eq!(second.parameters, first.parameters);
        let keys: Vec<&str> = second
            .annotations
            .iter()
            .map(|annotation| annotation.key.as_str())
            .collect();
        assert_eq!(keys, ["d", "provide-api-key", "exec", "k"]);
        assert!(
            second.updated > first.updated,
            "updates are ordered even when the clock steps back"
        );
    }

    #[test]
    fn a_sequence_shows_its_components_as_a_parameter_and_loses_it_again() {
        let sequence = put(json!({ "exec": { "kind": "sequence", "components": ["/_/x"] } }))
            .unwrap()
            .apply(None, &name(), 0)
            .unwrap();
        assert_eq!(sequence.parameters[0].value, json!(["/me/x"]));
        assert_eq!(sequence.inputs().count(), 0);
        let code = put(json!({ "exec": { "kind": "rust:default", "code": "x" } }))
            .unwrap()
            .apply(Some(&sequence), &name(), 0)
            .unwrap();
        assert!(code.parameters.is_empty());
        assert_eq!(code.annotation("exec"), Some(&json!("rust:default")));
    }

    #[test]
    fn an_unknown_kind_gets_a_cure() {
        let error = put(json!({ "exec": { "kind": "blackbox", "image": "x/y" } })).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(
            error
                .message
                .contains("use 'native:default' or 'rust:default'"),
            "{}",
            error.message
        );
    }

    #[test]
    fn image_names() {
        for good in ["a", "a/b", "registry.example:5000/a/b:1.2", "a@sha256:0f"] {
            assert!(is_image(good), "{good}");
        }
        for bad in ["", "BAD IMAGE!", "a//b", "a/B"] {
            assert!(!is_image(bad), "{bad}");
        }
    }
}
