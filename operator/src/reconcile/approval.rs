//! No surprise restarts: a pod template that another build of the operator makes is not written until somebody approves
//! it.
//!
//! Each workload carries what it was last built from (see [`Mark`]) and the template that was sent. What differs from
//! that goes out at once where the same build has made both: its user has asked for it. Of another build nobody can tell
//! which part was asked for, so that all of it waits; once that build makes what was sent, it counts as its own. While a
//! new template waits, the former is sent again, so that drift is still corrected and a crash brings back what ran; only
//! another revision of certificates is put onto it. ConfigMaps that it mounts wait with it: a file of the new version is
//! not for pods of the old one. A workload without these marks keeps what it has: nobody knows who wanted the difference.
//! What waits is let go while a maintenance window of its owner is open, too; what a window has let go stops when the
//! window closes, see [`waits_for_window`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::difference::differences;
use super::mark::{Mark, annotate, is_foreign, mark_in, marks};
use super::owner::Owner;
use super::resources::{Entry, fingerprint};
use crate::types::{GROUP, moment};

pub use super::mark::build_of;
pub(super) use super::mark::{MARK, TEMPLATE};

/// On a custom resource: the revisions of its [`PendingRestart`]s that may be written, separated by commas.
pub const APPROVE: &str = "millrace.dev/approve-restart";
/// On a custom resource that another one has made: the generation of what its user wrote.
pub const INTENT: &str = "millrace.dev/intent";
/// On a custom resource that another one has made: the operator build that made it so.
pub const BUILT_BY: &str = "millrace.dev/built-by";
/// On pods: the revision of the certificates that they run. Another one never waits, for certificates end.
pub const CERTIFICATES: &str = "millrace.dev/certificates";
/// What a file of a ConfigMap is called that running pods are told by: it never waits, and restarts nobody.
pub const LIVE: &str = "live.";
/// On a workload whose pods hold nothing and work for runs that are tried again: its restarts wait for nobody, so that it is never
/// of another version than the runs are.
pub const FREE: &str = "millrace.dev/restarts-freely";
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

/// What may be written at this moment though it restarts pods.
#[derive(Clone, Copy, Debug)]
struct Allowed<'a> {
    // Revisions, separated by commas.
    approved: &'a str,
    // Whether a maintenance window is open.
    open: bool,
}

impl<'a> Allowed<'a> {
    fn of(owner: &'a Owner, at: Timestamp) -> Self {
        Self {
            approved: owner.approved.as_deref().unwrap_or_default(),
            open: owner.windows.is_open(at),
        }
    }

    fn approves(self, built: &str) -> bool {
        let mut approved = self.approved.split(',');
        approved.any(|revision| revision.trim() == built)
    }

    fn covers(self, built: &str) -> bool {
        self.open || self.approves(built)
    }
}

/// What the restart of pods that work waits for, in words, where a maintenance window let the template of their StatefulSet
/// go and has closed since. `at` is the time.
pub(super) fn waits_for_window(set: &StatefulSet, owner: &Owner, at: Timestamp) -> Option<String> {
    let annotations = set.metadata.annotations.as_ref()?;
    if !mark_in(annotations)?.window {
        return None;
    }
    let sent: Value = serde_json::from_str(annotations.get(TEMPLATE)?).ok()?;
    let revision = fingerprint(&sent);
    if Allowed::of(owner, at).covers(&revision) {
        return None;
    }
    // Where there are none any more, nothing would ever come.
    let opens = moment(owner.windows.next(at)?);
    Some(format!(
        "the maintenance window that opens at {opens}, or approval of revision {revision}"
    ))
}

/// Puts back what was sent before wherever another build had made that. `live` are the objects as
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
        ..Mark::default()
    };
    let allowed = Allowed::of(owner, at);
    let called = format!("{}/{}", owner.reference.kind, owner.name);
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
            if let Some(held) = hold_workload(entry, live.as_ref(), &now, allowed, &called) {
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
            let live = live.as_ref().filter(|_| files.contains(&entry.name));
            hold_files(entry, live.map(|live| &live.body), &now);
        }
    }
    waiting.truncate(MOST);
    waiting
}

fn is_workload(entry: &Entry) -> bool {
    matches!(entry.resource.kind.as_str(), "StatefulSet" | "Deployment")
        && entry.body["metadata"]["annotations"].get(FREE).is_none()
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
    called: &str,
) -> Option<PendingRestart> {
    let mut sent = entry.body["spec"]["template"].clone();
    let revision = fingerprint(&sent);
    let (mark, held) = match live {
        Some(live) => judge(live, &sent, &revision, now, allowed),
        None => (now.clone(), None),
    };
    let waiting = held.map(|(former, mut reason)| {
        if mark.intent != now.intent {
            let also = format!(
                "; the spec was changed since: what of that concerns these pods waits with it, and `millrace approve {called}` lets both happen"
            );
            let room = REASON_MAX.saturating_sub(also.chars().count());
            reason = reason.chars().take(room).chain(also.chars()).collect();
        }
        entry.body["spec"]["template"] = former.clone();
        sent = former;
        PendingRestart {
            workload: format!("{}/{}", entry.resource.kind, entry.name),
            revision,
            reason,
            next_window: None,
        }
    });
    annotate(&mut entry.body, TEMPLATE, sent.to_string());
    annotate(&mut entry.body, MARK, json!(mark).to_string());
    waiting
}

// The mark of what is sent, and the template that goes on, and why, if what was built has to wait.
fn judge(
    live: &Seen,
    template: &Value,
    built: &str,
    now: &Mark,
    allowed: Allowed<'_>,
) -> (Mark, Option<(Value, String)>) {
    let Some((before, mut former)) = marks(&live.body) else {
        return judge_found(live, template, built, now, allowed);
    };
    put_certificates(&mut former, template);
    let foreign = is_foreign(&before, &fingerprint(&former), built, now);
    let rolls = before.window && !has_rolled(&live.body);
    if !foreign || allowed.covers(built) {
        let mark = Mark {
            // What a window has begun with, another change does not carry on outside of it.
            window: (foreign || rolls) && !allowed.approves(built),
            ..now.clone()
        };
        return (mark, None);
    }
    let still = before.pending.as_deref() == Some(built);
    let sent_by = Some(before.sender().to_owned());
    let kept = before.reason.filter(|_| still);
    let reason = kept.clone().unwrap_or_else(|| reason(&former, template));
    let mark = Mark {
        build: now.build.clone(),
        intent: before.intent,
        pending: Some(built.to_owned()),
        sent_by,
        window: rolls,
        reason: kept,
    };
    (mark, Some((former, reason)))
}

// The same of a workload that does not say what was sent.
fn judge_found(
    live: &Seen,
    template: &Value,
    built: &str,
    now: &Mark,
    allowed: Allowed<'_>,
) -> (Mark, Option<(Value, String)>) {
    let of = |object: &Value| {
        let mut template = object["spec"]["template"].clone();
        if let Some(metadata) = template["metadata"].as_object_mut() {
            // Kubernetes writes it as null.
            metadata.remove("creationTimestamp");
        }
        template
    };
    let mut former = of(&live.body);
    put_certificates(&mut former, template);
    let would = live.would.as_ref().map(of);
    let mut mark = now.clone();
    let Some(would) = would.filter(|would| former != *would) else {
        return (mark, None);
    };
    if allowed.covers(built) {
        mark.window = !allowed.approves(built);
        return (mark, None);
    }
    let reason = reason(&former, &would);
    mark.pending = Some(built.to_owned());
    mark.sent_by = Some(String::new());
    mark.reason = Some(reason.clone());
    (mark, Some((former, reason)))
}

// Where pods have certificates, the revision that they are to have now goes onto the template that goes on.
fn put_certificates(former: &mut Value, template: &Value) {
    let has = former
        .pointer_mut("/metadata/annotations")
        .and_then(|annotations| annotations.get_mut(CERTIFICATES));
    let wanted = template["metadata"]["annotations"].get(CERTIFICATES);
    if let (Some(has), Some(wanted)) = (has, wanted) {
        has.clone_from(wanted);
    }
}

// Whether all pods of a workload are as its template, as far as Kubernetes has looked.
fn has_rolled(live: &Value) -> bool {
    let status = &live["status"];
    let updated = status["updatedReplicas"].as_i64().unwrap_or_default();
    status["observedGeneration"] == live["metadata"]["generation"]
        && updated >= live["spec"]["replicas"].as_i64().unwrap_or(1)
}

// A ConfigMap on its own restarts nothing: it waits only together with a workload that mounts it. `goes_on` is the live
// one then.
fn hold_files(entry: &mut Entry, goes_on: Option<&Value>, now: &Mark) {
    if let Some(live) = goes_on {
        let told = std::mem::replace(&mut entry.body["data"], live["data"].clone());
        if let (Some(data), Value::Object(told)) = (entry.body["data"].as_object_mut(), told) {
            data.retain(|name, _| !name.starts_with(LIVE));
            data.extend(told.into_iter().filter(|(name, _)| name.starts_with(LIVE)));
        }
    }
    annotate(&mut entry.body, MARK, json!(now).to_string());
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

#[cfg(test)]
mod free_tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use kube::api::ApiResource;

    use super::*;

    #[test]
    fn what_restarts_freely_waits_for_nobody() {
        let waits = |annotations: Value| {
            is_workload(&Entry {
                resource: ApiResource::erase::<Deployment>(&()),
                name: "k".into(),
                body: json!({"metadata": {"annotations": annotations}}),
            })
        };
        assert!(waits(json!({})) && waits(Value::Null));
        assert!(!waits(json!({FREE: "true"})));
    }
}
