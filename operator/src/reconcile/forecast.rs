//! What an apply would change: the same reads, the same approval and a dry run instead of each write.

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use serde_json::Value;

use super::apply::{ApplyError, objects, read, see};
use super::approval::{self, PendingRestart};
use super::difference::{Difference, difference};
use super::owner::OWNER_LABEL;
use super::preparation::Batch;
use super::resources::{Entry, body_of};
use crate::context::{Context, MANAGER, is_status};

/// What would become of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It would be made.
    Create,
    /// It would be changed.
    Change,
    /// It would be removed.
    Remove,
    /// It would stay as it is.
    Keep,
    /// This cannot be told.
    Unknown,
}

/// An object as it is and as it would be.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What would become of it.
    pub verb: Verb,
    /// What would differ. Content of Secrets is not among it.
    pub fields: Vec<Difference>,
    /// As it is; null when it is not there.
    pub live: Value,
    /// As it would be; null when it would not be there.
    pub would: Value,
    /// Why it cannot be told.
    pub problem: Option<String>,
}

/// What the operator notes for itself: that alone is no change.
const NOTES: [&str; 4] = [
    approval::INTENT,
    approval::BUILT_BY,
    approval::MARK,
    approval::TEMPLATE,
];

/// Says what an apply of these objects would do, and which restarts would wait for approval. Nothing is written.
///
/// # Errors
/// The orphans could not be listed, or a dry run that decides about approval failed. What is wrong with one object is
/// told with it.
pub async fn forecast(
    context: &Context,
    batch: Batch,
) -> Result<(Vec<Forecast>, Vec<PendingRestart>), ApplyError> {
    let Batch {
        owner,
        resources,
        kinds,
        each,
    } = batch;
    let mut entries = Vec::new();
    let (mut live, mut seen, mut told) = (Vec::new(), Vec::new(), Vec::new());
    let mut names = Vec::new();
    for entry in resources.into_entries() {
        names.push((entry.resource.kind.clone(), entry.name.clone()));
        let found = match read(context, &owner, &entry).await {
            Ok(found) => found.as_ref().map(body_of),
            Err(error) => {
                told.push(unknown(&entry, Value::Null, error.to_string()));
                continue;
            }
        };
        seen.push(match &found {
            Some(found) if !each => match see(context, &owner, &entry, found.clone()).await {
                Ok(seen) => Some(seen),
                Err(error) => {
                    told.push(unknown(&entry, found.clone(), error.to_string()));
                    continue;
                }
            },
            _ => None,
        });
        live.push(found);
        entries.push(entry);
    }
    let pending = if each {
        Vec::new()
    } else {
        approval::hold(
            &mut entries,
            &seen,
            &owner,
            &context.settings.build,
            jiff::Timestamp::now(),
        )
    };
    for (entry, live) in entries.into_iter().zip(live) {
        let dry = PatchParams::apply(MANAGER).force().dry_run();
        let answer = objects(context, &owner, &entry)
            .patch(&entry.name, &dry, &Patch::Apply(&entry.body))
            .await;
        told.push(match answer {
            Ok(would) => compare(live.unwrap_or_default(), body_of(&would)),
            Err(error) => unknown(&entry, live.unwrap_or_default(), reason(&error)),
        });
    }
    for kind in &kinds {
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(context.client.clone(), &owner.namespace, kind);
        let ours = ListParams::default().labels(&format!("{OWNER_LABEL}={}", owner.uid));
        let made = match api.list_metadata(&ours).await {
            Ok(made) => made,
            Err(error) if is_status(&error, 404) => continue,
            Err(source) => {
                return Err(ApplyError::Kubernetes {
                    kind: kind.kind.clone(),
                    name: String::new(),
                    source: Box::new(source),
                });
            }
        };
        for object in made {
            let name = object.metadata.name.clone().unwrap_or_default();
            let wanted = names.iter().any(|(k, n)| *k == kind.kind && *n == name);
            let going = object.metadata.deletion_timestamp.is_some();
            if !wanted && !going && owner.owns(&object.metadata) {
                told.push(Forecast {
                    kind: kind.kind.clone(),
                    name,
                    verb: Verb::Remove,
                    fields: Vec::new(),
                    live: Value::Null,
                    would: Value::Null,
                    problem: None,
                });
            }
        }
    }
    Ok((told, pending))
}

/// Compares an object with what a dry run made of it.
#[must_use]
pub fn compare(live: Value, would: Value) -> Forecast {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let secret = would["kind"] == "Secret";
    let (before, after) = (told_of(&live, secret), told_of(&would, secret));
    let mut fields = if live.is_null() {
        Vec::new()
    } else {
        difference(&before, &after)
    };
    if secret && !live.is_null() {
        fields.extend(difference(&live["data"], &would["data"]).into_iter().map(
            |Difference { path, .. }| Difference {
                path: format!("data.{path}"),
                before: "(not shown)".into(),
                after: "(not shown)".into(),
            },
        ));
    }
    Forecast {
        kind: text(&would["kind"]),
        name: text(&would["metadata"]["name"]),
        verb: match (live.is_null(), fields.is_empty()) {
            (true, _) => Verb::Create,
            (false, true) => Verb::Keep,
            (false, false) => Verb::Change,
        },
        fields,
        live,
        would,
        problem: None,
    }
}

// What of an object is worth telling: not what Kubernetes keeps for itself, nor what we do.
fn told_of(object: &Value, secret: bool) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
        if secret {
            map.remove("data");
            map.remove("stringData");
        }
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
        ] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.retain(|name, _| !NOTES.contains(&name.as_str()));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

fn unknown(entry: &Entry, live: Value, problem: String) -> Forecast {
    Forecast {
        kind: entry.resource.kind.clone(),
        name: entry.name.clone(),
        verb: Verb::Unknown,
        fields: Vec::new(),
        live,
        would: Value::Null,
        problem: Some(problem),
    }
}

fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_named_and_not_shown() {
        let of = |value: &str| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": value, "user": "dQ=="}});
        let told = compare(of("b2xk"), of("bmV3"));
        assert_eq!(told.verb, Verb::Change);
        let text = format!("{:?}", told.fields);
        assert!(text.contains("data.password"), "{text}");
        assert!(!text.contains("b2xk") && !text.contains("bmV3") && !text.contains("user"));
    }

    #[test]
    fn what_is_kept_for_bookkeeping_is_no_change() {
        let live = json!({"kind": "ConfigMap", "metadata": {"name": "c", "resourceVersion": "1", "uid": "u"}, "data": {"a": "1"}});
        let mut would = live.clone();
        would["metadata"]["annotations"] = json!({"millrace.dev/restart-mark": "{}"});
        would["metadata"]["managedFields"] = json!([{"time": "now"}]);
        assert_eq!(compare(live.clone(), would.clone()).verb, Verb::Keep);
        would["metadata"]["annotations"]["theirs"] = json!("x");
        assert_eq!(compare(live, would.clone()).verb, Verb::Change);
        assert_eq!(compare(Value::Null, would).verb, Verb::Create);
    }
}
