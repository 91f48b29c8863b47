//! What a user overrides in the pods of a resource. Pure.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use millrace_contract::Invalid;
use serde_json::Value;

use super::FreeForm;

/// Merges what a user overrides into a built pod template, as Kubernetes does by strategic merge: lists with a key
/// (containers, env, volumes) by that key, other lists as a whole. Nothing is taken away: neither `null` nor a directive
/// (`$patch`) is known. `field` is where the overrides stand.
///
/// # Errors
/// The overrides are not in the form of a pod template, hold a field that none has or a null, or change a label by which
/// the pods are found.
pub fn override_pods(
    template: &mut PodTemplateSpec,
    overrides: &FreeForm,
    field: &str,
) -> Result<(), Invalid> {
    if overrides.is_empty() {
        return Ok(());
    }
    let given = Value::Object(overrides.clone());
    if let Some(path) = null_in(&given, field.to_owned()) {
        return Err(Invalid::new(
            path,
            "null",
            "takes nothing away: overrides change and add only",
            "remove it, or give the value that is to be there",
        ));
    }
    let parsed: PodTemplateSpec = serde_json::from_value(given.clone()).map_err(|error| {
        Invalid::new(
            field,
            given.to_string(),
            format!("is not in the form of a pod template: {error}"),
            "write it like {\"metadata\": {…}, \"spec\": {…}} of a pod",
        )
    })?;
    let kept = serde_json::to_value(&parsed).unwrap_or_default();
    if let Some((path, value)) = lost(&given, &kept, field) {
        return Err(Invalid::new(
            path,
            value,
            "is no field of a pod template",
            "remove it, or correct its name: see kubectl explain pod.spec",
        ));
    }
    let before = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default();
    let mut merged = template.clone();
    merged.merge_from(parsed);
    let after = merged.metadata.as_ref().and_then(|m| m.labels.as_ref());
    for (label, value) in &before {
        let now = after.and_then(|labels| labels.get(label));
        if now != Some(value) {
            return Err(Invalid::new(
                format!("{field}.metadata.labels.{label}"),
                now.map(String::as_str).unwrap_or_default(),
                "is a label of the operator, which finds the pods by it",
                "remove it, or take another label",
            ));
        }
    }
    let nameless = merged
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .any(|container| container.name.is_empty());
    if nameless {
        return Err(Invalid::new(
            format!("{field}.spec.containers"),
            "a container without a name",
            "containers are found by their names",
            "give the name of the container that is to be changed, or of a new one",
        ));
    }
    *template = merged;
    Ok(())
}

/// Where the first null stands.
fn null_in(given: &Value, path: String) -> Option<String> {
    match given {
        Value::Null => Some(path),
        Value::Object(fields) => {
            let mut fields = fields.iter();
            fields.find_map(|(key, value)| null_in(value, format!("{path}.{key}")))
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| null_in(item, format!("{path}[{index}]")))
        }
        _ => None,
    }
}

/// The first field that was given and did not survive reading: nobody knows it.
fn lost(given: &Value, kept: &Value, path: &str) -> Option<(String, String)> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => given.iter().find_map(|(key, value)| {
            let at = format!("{path}.{key}");
            match kept.get(key) {
                Some(kept) => lost(value, kept, &at),
                None => Some((at, value.to_string())),
            }
        }),
        (Value::Array(given), Value::Array(kept)) => given
            .iter()
            .zip(kept)
            .enumerate()
            .find_map(|(index, (given, kept))| lost(given, kept, &format!("{path}[{index}]"))),
        _ => None,
    }
}
