use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;

const UID: &str = "u1";

fn object(kind: &str, name: &str, resource_version: u64, label: &str) -> Value {
    json!({
        "kind": kind,
        "apiVersion": "apps/v1",
        "metadata": {
            "name": name, "namespace": "n", "uid": format!("{name}-uid"), "generation": 1,
            "resourceVersion": resource_version.to_string(), "labels": {OWNER_LABEL: label},
            "ownerReferences": [{"apiVersion": "millrace.dev/v1alpha1", "kind": "StreamJob", "name": "j",
                "uid": UID, "controller": true}],
        },
        "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"containers": []}}},
        "status": {"readyReplicas": resource_version, "conditions": [{"type": "Progressing"}]},
    })
}

fn seen(kind: &str, name: &str, resource_version: u64) -> Seen {
    serde_json::from_value(object(kind, name, resource_version, UID)).unwrap()
}

fn answer(kind: &str, name: &str, resource_version: u64) -> DynamicObject {
    serde_json::from_value(object(kind, name, resource_version, UID)).unwrap()
}

/// An index that has listed nothing, with a watch of Deployments and somebody who listens.
fn listed() -> (Made, usize, impl FnMut() -> Vec<String>) {
    let made = Made::default();
    let mut changed = Box::pin(made.listen("StreamJob", None));
    let watch = made.add("Deployment", None);
    made.take(watch, Event::Init);
    made.take(watch, Event::InitDone);
    let told = move || {
        use futures::{FutureExt, StreamExt};
        std::iter::from_fn(|| changed.next().now_or_never().flatten())
            .map(|changed| format!("{}/{}", changed.namespace, changed.name))
            .collect()
    };
    (made, watch, told)
}

fn known(made: &Made, name: &str, version: u64) -> Option<Value> {
    let objects = [("Deployment", name)].into_iter();
    let found = made.unchanged(UID, "n", objects, &[version])?;
    found.into_iter().next()
}

/// Whether the objects of an owner are these, as far as that is known.
fn are(made: &Made, uid: &str, kind: &str, namespace: &str, names: &[&str]) -> Option<bool> {
    let all = made.has_only(uid, kind, namespace, names.iter().copied())?;
    let none_spare = (0..names.len()).all(|left_out| {
        let others = names.iter().enumerate().filter(|(at, _)| *at != left_out);
        let others = others.map(|(_, name)| *name);
        made.has_only(uid, kind, namespace, others) == Some(false)
    });
    Some(all && none_spare)
}

fn version_one() -> u64 {
    version(&seen("Deployment", "d", 1).metadata)
}

#[test]
fn nothing_is_known_before_the_first_list_and_while_a_watch_fails() {
    let made = Made::default();
    let watch = made.add("Deployment", None);
    made.take(watch, Event::Init);
    made.take(watch, Event::InitApply(seen("Deployment", "d", 1)));
    assert_eq!(known(&made, "d", version_one()), None);
    assert_eq!(are(&made, UID, "Deployment", "n", &[]), None);
    made.take(watch, Event::InitDone);
    assert!(known(&made, "d", version_one()).is_some());
    assert_eq!(are(&made, UID, "Deployment", "n", &["d"]), Some(true));
    assert_eq!(are(&made, UID, "Secret", "n", &[]), None, "not watched");
    made.fails(watch);
    assert_eq!(known(&made, "d", version_one()), None);
    made.take(watch, Event::Apply(seen("Deployment", "e", 2)));
    assert!(known(&made, "d", version_one()).is_some());
}

#[test]
fn the_status_is_there_and_may_change_and_nothing_else_may() {
    let (made, watch, _) = listed();
    made.take(watch, Event::Apply(seen("Deployment", "d", 1)));
    made.take(watch, Event::Apply(seen("Deployment", "d", 2)));
    let body = known(&made, "d", version_one()).unwrap();
    assert_eq!(body["status"], json!({"readyReplicas": 2}));
    assert_eq!(body["spec"], json!({"replicas": 2}));
    let deployment: k8s_openapi::api::apps::v1::Deployment = serde_json::from_value(body).unwrap();
    assert_eq!(deployment.metadata.name.as_deref(), Some("d"));
    let mut other = seen("Deployment", "d", 3);
    other.metadata.generation = Some(2);
    made.take(watch, Event::Apply(other));
    assert_eq!(known(&made, "d", version_one()), None);
}

#[test]
fn what_was_written_counts_at_once_and_is_no_news_when_it_is_shown() {
    let (made, watch, mut told) = listed();
    made.remember("Deployment", &answer("Deployment", "d", 5));
    assert!(known(&made, "d", version_one()).is_some());
    made.take(watch, Event::Apply(seen("Deployment", "d", 4)));
    made.take(watch, Event::Apply(seen("Deployment", "d", 5)));
    assert!(told().is_empty());
    let body = known(&made, "d", version_one()).unwrap();
    assert_eq!(body["status"]["readyReplicas"], 5, "not what was before");
    made.take(watch, Event::Apply(seen("Deployment", "d", 6)));
    assert_eq!(told(), ["n/j"]);
    // Of a former one of the same name.
    made.take(watch, Event::Delete(seen("Deployment", "d", 3)));
    assert!(told().is_empty());
    assert!(known(&made, "d", version_one()).is_some());
    made.take(watch, Event::Delete(seen("Deployment", "d", 7)));
    assert_eq!(told(), ["n/j"]);
    assert_eq!(known(&made, "d", version_one()), None);
}

#[test]
fn what_a_new_list_does_not_show_is_gone() {
    let (made, watch, mut told) = listed();
    for name in ["d", "e"] {
        made.take(watch, Event::Apply(seen("Deployment", name, 1)));
    }
    assert_eq!(told().len(), 2);
    made.take(watch, Event::Init);
    made.take(watch, Event::InitApply(seen("Deployment", "d", 1)));
    made.take(watch, Event::InitDone);
    assert!(told().is_empty(), "nothing new");
    assert_eq!(are(&made, UID, "Deployment", "n", &["d"]), Some(true));
}

#[test]
fn another_owner_in_the_label_is_seen() {
    let (made, watch, mut told) = listed();
    made.take(watch, Event::Apply(seen("Deployment", "d", 1)));
    told();
    let stolen = serde_json::from_value(object("Deployment", "d", 2, "other")).unwrap();
    made.take(watch, Event::Apply(stolen));
    assert_eq!(told(), ["n/j"]);
    assert_eq!(known(&made, "d", version_one()), None);
    // Without the label it leaves the watch, as it was before.
    made.take(watch, Event::Delete(seen("Deployment", "d", 3)));
    assert_eq!(are(&made, "other", "Deployment", "n", &[]), Some(true));
}

#[test]
fn of_other_kinds_all_has_to_be_read() {
    let made = Made::default();
    let watch = made.add("StatefulSet", Some("n"));
    made.take(watch, Event::Init);
    made.take(watch, Event::InitApply(seen("StatefulSet", "d", 1)));
    made.take(watch, Event::InitDone);
    let versions = [version_one()];
    let objects = [("StatefulSet", "d")].into_iter();
    assert_eq!(made.unchanged(UID, "n", objects, &versions), None);
    assert_eq!(are(&made, UID, "StatefulSet", "n", &["d"]), Some(true));
    assert_eq!(
        are(&made, UID, "StatefulSet", "m", &[]),
        None,
        "out of scope"
    );
}

#[test]
fn a_name_is_free_only_when_a_sound_watch_shows_nothing_of_it() {
    let (made, watch, _) = listed();
    assert!(made.lacks("Deployment", "n", "d"));
    assert!(!made.lacks("Secret", "n", "d"), "not watched");
    made.take(watch, Event::Apply(seen("Deployment", "d", 1)));
    assert!(!made.lacks("Deployment", "n", "d"));
    assert!(made.lacks("Deployment", "m", "d"), "another namespace");
    made.fails(watch);
    assert!(!made.lacks("Deployment", "m", "d"));
    // A new list without it.
    made.take(watch, Event::Init);
    made.take(watch, Event::InitDone);
    assert!(made.lacks("Deployment", "n", "d"));
}
