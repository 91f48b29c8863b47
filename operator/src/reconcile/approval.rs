//! No surprise restarts: a pod template that differs only because the operator does is not written until somebody
//! approves it.
//!
//! Each workload carries what it was last built from (see [`Mark`]) and the template that was sent. While a new one
//! waits, the former is sent again, so that drift is still corrected and a crash brings back what ran. ConfigMaps that
//! it mounts wait with it: a file of the new version is not for pods of the old one. A workload without these marks
//! keeps what it has: nobody knows who wanted the difference. What waits is let go while a maintenance window of its
//! owner is open, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::difference::differences;
use super::owner::Owner;
use super::resources::{Entry, fingerprint};
use crate::types::{GROUP, moment};

/// On a custom resource: the revisions of its [`PendingRestart`]s that may be written, separated by commas.
pub const APPROVE: &str = "millrace.dev/approve-restart";
/// On a custom resource that another one has made: the generation of what its user wrote.
pub const INTENT: &str = "millrace.dev/intent";
/// On a custom resource that another one has made: the operator build that made it so.
pub const BUILT_BY: &str = "millrace.dev/built-by";
pub(super) const MARK: &str = "millrace.dev/restart-mark";
pub(super) const TEMPLATE: &str = "millrace.dev/sent-template";
/// What a file of a ConfigMap is called that running pods are told by: it never waits, and restarts nobody.
pub const LIVE: &str = "live.";
/// So many differences are named.
const NAMED: usize = 4;
/// So many restarts are told at once, as the definitions have it; the others follow when these are done.
const MOST: usize = 8;
/// Characters of a reason, as the definitions have it.
const REASON_MAX: usize = 2048;

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
    /// When the next maintenance window opens, in which it happens without approval (RFC 3339); absent where there are no
    /// windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub next_window: Option<String>,
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
    // Why it waits, where the template that runs was found and not sent: it cannot be compared with ours again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The operator build that an object with these annotations was last built by, if it tells.
#[must_use]
pub fn build_of(annotations: &BTreeMap<String, String>) -> Option<String> {
    let mark: Mark = serde_json::from_str(annotations.get(MARK)?).ok()?;
    let build = mark.build.split('/').next()?;
    (!build.is_empty()).then(|| build.to_owned())
}

/// A live object.
pub(super) struct Seen {
    /// As it is.
    pub(super) body: Value,
    /// As it would be after an apply, where [`lacks_marks`] says that this has to be known.
    pub(super) would: Option<Value>,
}

/// Whether a live object is a workload that does not say what it was built from.
pub(super) fn lacks_marks(entry: &Entry, live: &Value) -> bool {
    is_workload(entry) && marks(live).is_none()
}

// What a workload was last built from, and the template that was sent.
fn marks(live: &Value) -> Option<(Mark, Value)> {
    let sent = serde_json::from_str(annotation(live, TEMPLATE)?).ok()?;
    Some((mark_of(live)?, sent))
}

/// What may be written at this moment though it restarts pods.
#[derive(Clone, Copy, Debug)]
struct Allowed<'a> {
    // Revisions, separated by commas.
    approved: &'a str,
    // Whether a maintenance window is open.
    open: bool,
}

impl Allowed<'_> {
    fn covers(self, built: &str) -> bool {
        self.open
            || self
                .approved
                .split(',')
                .any(|revision| revision.trim() == built)
    }
}

// Why a build differs from what was sent: the user or a Secret has changed, or only the operator has.
fn is_held(mark: &Mark, sent: &str, built: &str, now: &Mark, allowed: Allowed<'_>) -> bool {
    if built == sent || allowed.covers(built) {
        return false;
    }
    if mark.pending.as_deref() == Some(built) {
        return true;
    }
    mark.build != now.build && mark.intent == now.intent
}

/// Puts back what was sent before wherever only the operator has changed its mind. `live` are the objects as
/// Kubernetes has them, in the order of `entries`; `at` is the time. Gives what waits now.
pub(super) fn hold(
    entries: &mut [Entry],
    live: &[Option<Seen>],
    owner: &Owner,
    build: &str,
    at: Timestamp,
) -> Vec<PendingRestart> {
    let now = Mark {
        build: match &owner.built_by {
            Some(by) => format!("{build}/{by}"),
            None => build.to_owned(),
        },
        intent: owner.intent.clone(),
        pending: None,
        reason: None,
    };
    let allowed = Allowed {
        approved: owner.approved.as_deref().unwrap_or_default(),
        open: owner.windows.is_open(at),
    };
    let next_window = owner.windows.next(at).map(moment);
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
    let mut files = BTreeSet::new();
    for (entry, live) in entries.iter_mut().zip(live) {
        if is_workload(entry) {
            let mut mounted = BTreeSet::new();
            config_maps(&entry.body["spec"]["template"], &mut mounted);
            if let Some(held) = hold_workload(entry, live.as_ref(), &now, allowed) {
                // Of the former template, too: it goes on.
                config_maps(&entry.body["spec"]["template"], &mut mounted);
                files.append(&mut mounted);
                waiting.push(PendingRestart {
                    next_window: next_window.clone(),
                    ..held
                });
            }
        }
    }
    for (entry, live) in entries.iter_mut().zip(live) {
        if entry.resource.kind == "ConfigMap" {
            let live = live.as_ref().map(|live| &live.body);
            let held = files.contains(&entry.name);
            hold_files(entry, live, &now, allowed, held);
        }
    }
    waiting.truncate(MOST);
    waiting
}

fn is_workload(entry: &Entry) -> bool {
    matches!(entry.resource.kind.as_str(), "StatefulSet" | "Deployment")
}

/// The ConfigMaps that a pod template refers to, as volumes or for its environment.
fn config_maps(template: &Value, names: &mut BTreeSet<String>) {
    match template {
        Value::Object(fields) => {
            for (field, value) in fields {
                if matches!(
                    field.as_str(),
                    "configMap" | "configMapRef" | "configMapKeyRef"
                ) && let Some(name) = value["name"].as_str()
                {
                    names.insert(name.to_owned());
                }
                config_maps(value, names);
            }
        }
        Value::Array(values) => {
            for value in values {
                config_maps(value, names);
            }
        }
        _ => {}
    }
}

fn hold_workload(
    entry: &mut Entry,
    live: Option<&Seen>,
    now: &Mark,
    allowed: Allowed<'_>,
) -> Option<PendingRestart> {
    let mut sent = entry.body["spec"]["template"].clone();
    let built = fingerprint(&sent);
    let mut mark = now.clone();
    let mut waiting = None;
    if let Some((former, reason)) =
        live.and_then(|live| held(live, &sent, &built, now, allowed, &mut mark))
    {
        waiting = Some(PendingRestart {
            workload: format!("{}/{}", entry.resource.kind, entry.name),
            revision: built.clone(),
            reason,
            next_window: None,
        });
        mark.pending = Some(built);
        entry.body["spec"]["template"] = former.clone();
        sent = former;
    }
    annotate(&mut entry.body, TEMPLATE, sent.to_string());
    annotate(&mut entry.body, MARK, json!(mark).to_string());
    waiting
}

// The template that goes on, and why, if what was built has to wait.
fn held(
    live: &Seen,
    template: &Value,
    built: &str,
    now: &Mark,
    allowed: Allowed<'_>,
    mark: &mut Mark,
) -> Option<(Value, String)> {
    if let Some((before, former)) = marks(&live.body) {
        if !is_held(&before, &fingerprint(&former), built, now, allowed) {
            return None;
        }
        let still = before.pending.as_deref() == Some(built);
        mark.reason = before.reason.filter(|_| still);
        let reason = match &mark.reason {
            Some(reason) => reason.clone(),
            None => reason(&former, template),
        };
        return Some((former, reason));
    }
    let of = |object: &Value| {
        let mut template = object["spec"]["template"].clone();
        if let Some(metadata) = template["metadata"].as_object_mut() {
            // Kubernetes writes it as null.
            metadata.remove("creationTimestamp");
        }
        template
    };
    let former = of(&live.body);
    let would = live.would.as_ref().map(of)?;
    if former == would || allowed.covers(built) {
        return None;
    }
    let reason = reason(&former, &would);
    mark.reason = Some(reason.clone());
    Some((former, reason))
}

// A ConfigMap on its own restarts nothing: it waits only together with a workload that mounts it.
fn hold_files(
    entry: &mut Entry,
    live: Option<&Value>,
    now: &Mark,
    allowed: Allowed<'_>,
    held: bool,
) {
    let built = fingerprint(&entry.body["data"]);
    let mut mark = now.clone();
    if held
        && let Some(live) = live
        && mark_of(live).is_none_or(|before| {
            is_held(&before, &fingerprint(&live["data"]), &built, now, allowed)
        })
    {
        mark.pending = Some(built);
        let told = std::mem::replace(&mut entry.body["data"], live["data"].clone());
        if let (Some(data), Value::Object(told)) = (entry.body["data"].as_object_mut(), told) {
            data.retain(|name, _| !name.starts_with(LIVE));
            data.extend(told.into_iter().filter(|(name, _)| name.starts_with(LIVE)));
        }
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
    text.chars().take(REASON_MAX).collect()
}

#[cfg(test)]
#[path = "approval_tests.rs"]
mod tests;
