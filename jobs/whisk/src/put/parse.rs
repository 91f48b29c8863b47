//! The parts of a body, read and checked one by one.

use serde_json::{Map, Value};

use super::{LimitsPatch, NewExec};
use crate::action::Parameter;
use crate::api::ApiError;
use crate::kinds::{BLACKBOX, Kinds, SEQUENCE};
use crate::name::FullName;

pub(super) fn check_range(
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

pub(super) fn too_large(what: &str, size: usize, allowed: usize) -> Result<(), ApiError> {
    if size <= allowed {
        return Ok(());
    }
    Err(ApiError::rejected(
        413,
        format!("{what} larger than allowed: {size} > {allowed} bytes."),
    ))
}

/// Sets a parameter where it is, or at the end.
pub(super) fn set(list: &mut Vec<Parameter>, parameter: Parameter) {
    match list.iter_mut().find(|old| old.key == parameter.key) {
        Some(old) => *old = parameter,
        None => list.push(parameter),
    }
}

pub(super) fn optional<T>(
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

pub(super) fn parse_names(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
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

pub(super) fn parse_parameters(value: &Value) -> Result<Vec<Parameter>, ApiError> {
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

pub(super) fn parse_limits(value: &Value) -> Result<LimitsPatch, ApiError> {
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

pub(super) fn parse_exec(
    value: &Value,
    own_namespace: &str,
    kinds: &Kinds,
) -> Result<NewExec, ApiError> {
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

pub(super) fn unsupported(kind: &str, kinds: &Kinds) -> ApiError {
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

pub(super) fn parse_sequence(
    fields: &Map<String, Value>,
    own_namespace: &str,
) -> Result<NewExec, ApiError> {
    let malformed =
        || ApiError::malformed("'components' must be defined in 'exec' for sequence kind");
    let list = fields
        .get("components")
        .and_then(Value::as_array)
        .ok_or_else(malformed)?;
    let mut components = Vec::new();
    for item in list {
        if !item.is_string() {
            return Err(malformed());
        }
        let name = parse_name(item, own_namespace)?;
        components.push(name);
    }
    Ok(NewExec::Sequence { components })
}

/// The full name of another entity.
pub(super) fn parse_name(value: &Value, own_namespace: &str) -> Result<FullName, ApiError> {
    value
        .as_str()
        .and_then(|text| FullName::parse(text, own_namespace))
        .ok_or_else(|| {
            ApiError::malformed(
                "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name of the entity.",
            )
        })
}

/// Whether a text can name an image: lower case path parts, optionally a registry, a tag and a digest.
pub(super) fn is_image(text: &str) -> bool {
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
