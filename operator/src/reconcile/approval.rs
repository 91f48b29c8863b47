//! No surprise restarts: a pod template that differs only because the operator does is not written until somebody
//! approves it.
//!
//! Each workload carries what it was last built from (see [`Mark`]) and the template that was sent. While a new one
//! waits, the former is sent again, so that drift is still corrected and a crash brings back what ran. ConfigMaps of
//! the same owner wait with it: a file of the new version is not for pods of the old one.

use std::fmt::Write as _;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::difference::differences;
use super::owner::Owner;
use super::resources::{Entry, fingerprint};
use crate::types::GROUP;

/// On a custom resource: the revisions of its [`PendingRestart`]s that may be written, separated by commas.
pub const APPROVE: &str = "millrace.dev/approve-restart";
/// On a custom resource that another one has made: the generation of what its user wrote.
pub const INTENT: &str = "millrace.dev/intent";
/// On a custom resource that another one has made: the operator build that made it so.
pub const BUILT_BY: &str = "millrace.dev/built-by";
const MARK: &str = "millrace.dev/restart-mark";
const TEMPLATE: &str = "millrace.dev/sent-template";
/// So many differences are named.
const NAMED: usize = 4;

/// A pod template that waits for approval.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingRestart {
    /// Kind and name of the workload whose pods would restart, for example `StatefulSet/dev-kafka`.
    #[schemars(length(max = 300))]
    pub workload: String,
    /// What the annotation `millrace.dev/approve-restart` must name to let it happen.
    #[schemars(length(max = 64))]
    pub revision: String,
    /// What differs, for people.
    #[schemars(length(max = 2048))]
    pub reason: String,
}

/// What an object was last built from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    // The operator that built it.
    build: String,
    // What its user had asked for.
    intent: String,
    // The revision that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
}

// Why a build differs from what was sent: the user or a Secret has changed, or only the operator has.
fn is_held(mark: &Mark, sent: &str, built: &str, now: &Mark, approved: &str) -> bool {
    if built == sent || approved.split(',').any(|revision| revision.trim() == built) {
        return false;
    }
    if mark.pending.as_deref() == Some(built) {
        return true;
    }
    mark.build != now.build && mark.intent == now.intent
}

/// Puts back what was sent before wherever only the operator has changed its mind. `live` are the objects as
/// Kubernetes has them, in the order of `entries`. Gives what waits now.
pub(super) fn hold(
    entries: &mut [Entry],
    live: &[Option<Value>],
    owner: &Owner,
    build: &str,
) -> Vec<PendingRestart> {
    let now = Mark {
        build: match &owner.built_by {
            Some(by) => format!("{build}/{by}"),
            None => build.to_owned(),
        },
        intent: owner.intent.clone(),
        pending: None,
    };
    let approved = owner.approved.as_deref().unwrap_or_default();
    for entry in entries
        .iter_mut()
        .filter(|entry| entry.resource.group == GROUP)
    {
        annotate(&mut entry.body, INTENT, now.intent.clone());
        annotate(&mut entry.body, BUILT_BY, now.build.clone());
    }
    let mut waiting = Vec::new();
    if !entries.iter().any(is_workload) {
        return waiting;
    }
    for (entry, live) in entries.iter_mut().zip(live) {
        if is_workload(entry) {
            waiting.extend(hold_workload(entry, live.as_ref(), &now, approved));
        }
    }
    for (entry, live) in entries.iter_mut().zip(live) {
        if entry.resource.kind == "ConfigMap" {
            hold_files(entry, live.as_ref(), &now, approved, !waiting.is_empty());
        }
    }
    waiting
}

fn is_workload(entry: &Entry) -> bool {
    matches!(entry.resource.kind.as_str(), "StatefulSet" | "Deployment")
}

fn hold_workload(
    entry: &mut Entry,
    live: Option<&Value>,
    now: &Mark,
    approved: &str,
) -> Option<PendingRestart> {
    let template = entry.body["spec"]["template"].clone();
    let built = fingerprint(&template);
    let mut mark = now.clone();
    let former = live.and_then(|live| {
        let sent: Value = serde_json::from_str(annotation(live, TEMPLATE)?).ok()?;
        Some((mark_of(live)?, sent))
    });
    let mut sent = template;
    let mut waiting = None;
    if let Some((before, former)) = former
        && is_held(&before, &fingerprint(&former), &built, now, approved)
    {
        waiting = Some(PendingRestart {
            workload: format!("{}/{}", entry.resource.kind, entry.name),
            revision: built.clone(),
            reason: reason(&former, &sent),
        });
        mark.pending = Some(built);
        entry.body["spec"]["template"] = former.clone();
        sent = former;
    }
    annotate(&mut entry.body, TEMPLATE, sent.to_string());
    annotate(&mut entry.body, MARK, json!(mark).to_string());
    waiting
}

// A ConfigMap on its own restarts nothing: it waits only together with a workload.
fn hold_files(entry: &mut Entry, live: Option<&Value>, now: &Mark, approved: &str, held: bool) {
    let built = fingerprint(&entry.body["data"]);
    let mut mark = now.clone();
    if held
        && let Some(live) = live
        && let Some(before) = mark_of(live)
        && is_held(&before, &fingerprint(&live["data"]), &built, now, approved)
    {
        mark.pending = Some(built);
        entry.body["data"] = live["data"].clone();
    }
    annotate(&mut entry.body, MARK, json!(mark).to_string());
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

fn mark_of(object: &Value) -> Option<Mark> {
    serde_json::from_str(annotation(object, MARK)?).ok()
}

fn annotate(object: &mut Value, name: &str, value: String) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    annotations[name] = value.into();
}

fn reason(former: &Value, built: &Value) -> String {
    let differences = differences(former, built);
    let mut text = String::from("this operator builds its pods differently: ");
    for (n, difference) in differences.iter().take(NAMED).enumerate() {
        // Writing into a String cannot fail.
        let _ = write!(text, "{}{difference}", if n > 0 { "; " } else { "" });
    }
    if differences.len() > NAMED {
        let _ = write!(text, "; and {} more", differences.len() - NAMED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(build: &str, intent: &str, pending: Option<&str>) -> Mark {
        Mark {
            build: build.into(),
            intent: intent.into(),
            pending: pending.map(Into::into),
        }
    }

    #[test]
    fn only_a_change_of_the_operator_alone_is_held() {
        let before = mark("op1", "1", None);
        let held = |before: &Mark, built: &str, now: &Mark, approved: &str| {
            is_held(before, "a", built, now, approved)
        };
        assert!(
            !held(&before, "a", &mark("op2", "1", None), ""),
            "no change"
        );
        assert!(held(&before, "b", &mark("op2", "1", None), ""));
        assert!(
            !held(&before, "b", &mark("op2", "2", None), ""),
            "the user has asked for something else meanwhile"
        );
        assert!(
            !held(&before, "b", &mark("op1", "1", None), ""),
            "a Secret has changed"
        );
        assert!(!held(&before, "b", &mark("op2", "1", None), "x, b"));
        assert!(held(&before, "b", &mark("op2", "1", None), "x"));
    }

    #[test]
    fn what_waits_goes_on_waiting_until_its_inputs_change() {
        let before = mark("op2", "1", Some("b"));
        let held = |built: &str, now: &Mark| is_held(&before, "a", built, now, "");
        assert!(held("b", &mark("op2", "1", None)));
        assert!(
            held("b", &mark("op2", "2", None)),
            "the user changed something that no pod sees"
        );
        assert!(!held("c", &mark("op2", "1", None)), "a Secret has changed");
        assert!(!held("c", &mark("op2", "2", None)));
        assert!(held("c", &mark("op3", "1", None)), "the next operator");
        assert!(!held("a", &mark("op1", "1", None)), "the former operator");
    }

    #[test]
    fn a_held_workload_keeps_its_template_and_its_files() {
        use kube::api::ApiResource;
        let entry = |resource: ApiResource, body: Value| Entry {
            resource,
            name: "k".into(),
            body,
        };
        let build = |image: &str, file: &str| {
            vec![
                entry(
                    ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
                    json!({"metadata": {"name": "k"}, "data": {"f": file}}),
                ),
                entry(
                    ApiResource::erase::<k8s_openapi::api::apps::v1::StatefulSet>(&()),
                    json!({"metadata": {"name": "k"}, "spec": {"replicas": 1, "template": {"image": image}}}),
                ),
            ]
        };
        let cluster: crate::kafka::crd::KafkaCluster = serde_json::from_value(json!({
            "metadata": {"name": "k", "namespace": "n", "uid": "u", "generation": 1},
            "spec": {"nodes": 1, "storage": {"size": "1Gi"}}}))
        .unwrap();
        let mut owner = Owner::of(&cluster).unwrap();
        let mut first = build("kafka:1", "one");
        assert!(hold(&mut first, &[None, None], &owner, "op1").is_empty());
        let live: Vec<Option<Value>> = first.into_iter().map(|e| Some(e.body)).collect();

        let mut second = build("kafka:2", "two");
        second[1].body["spec"]["replicas"] = json!(3);
        let waiting = hold(&mut second, &live, &owner, "op2");
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].workload, "StatefulSet/k");
        assert!(
            waiting[0].reason.ends_with("image: kafka:1 → kafka:2"),
            "{}",
            waiting[0].reason
        );
        assert_eq!(second[0].body["data"]["f"], "one");
        assert_eq!(
            second[1].body["spec"],
            json!({"replicas": 3, "template": {"image": "kafka:1"}})
        );
        let live: Vec<Option<Value>> = second.into_iter().map(|e| Some(e.body)).collect();

        let mut third = build("kafka:2", "two");
        assert_eq!(hold(&mut third, &live, &owner, "op2"), waiting);
        owner.approved = Some(waiting[0].revision.clone());
        let mut third = build("kafka:2", "two");
        assert!(hold(&mut third, &live, &owner, "op2").is_empty());
        assert_eq!(third[0].body["data"]["f"], "two");
        assert_eq!(third[1].body["spec"]["template"]["image"], "kafka:2");
    }
}
