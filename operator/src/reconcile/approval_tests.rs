use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ApiResource;

use super::*;
use crate::reconcile::roll::{Gate, Member, Standing, next};

fn mark(build: &str, pending: Option<&str>, sent_by: Option<&str>) -> Mark {
    Mark {
        build: build.into(),
        pending: pending.map(Into::into),
        sent_by: sent_by.map(Into::into),
        ..Mark::default()
    }
}

#[test]
fn only_what_another_build_has_sent_is_foreign() {
    let foreign = |before: &Mark, built: &str, by: &str| {
        let mut now = mark(by, None, None);
        now.intent = "2".into();
        is_foreign(before, "a", built, &now)
    };
    let before = mark("op1", None, None);
    assert!(!foreign(&before, "a", "op2"), "no change");
    assert!(foreign(&before, "b", "op2"));
    assert!(!foreign(&before, "b", "op1"), "its user asked for it");

    let waits = mark("op2", Some("b"), Some("op1"));
    assert!(foreign(&waits, "b", "op2"));
    assert!(foreign(&waits, "c", "op2"), "and so does what came since");
    assert!(foreign(&waits, "c", "op3"), "the next operator");
    assert!(!foreign(&waits, "a", "op2"), "nothing is left to wait for");
    assert!(!foreign(&waits, "c", "op1"), "the former operator");
    let unknown = mark("op2", Some("b"), None);
    assert!(foreign(&unknown, "c", "op2") && foreign(&unknown, "c", "op1"));
}

const READY: Standing = Standing::Ready;

fn template(image: &str) -> Value {
    json!({"image": image, "volumes": [{"configMap": {"name": "k"}}]})
}

fn now() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn build(image: &str, file: &str) -> Vec<Entry> {
    let entry = |resource: ApiResource, body: Value| Entry {
        resource,
        name: "k".into(),
        body,
    };
    vec![
        entry(
            ApiResource::erase::<ConfigMap>(&()),
            json!({"metadata": {"name": "k"}, "data": {"f": file}}),
        ),
        entry(
            ApiResource::erase::<StatefulSet>(&()),
            json!({"metadata": {"name": "k"}, "spec": {"replicas": 1, "template": template(image)}}),
        ),
    ]
}

fn owner() -> Owner {
    let cluster: crate::kafka::crd::KafkaCluster = serde_json::from_value(json!({
        "metadata": {"name": "k", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"nodes": 1, "storage": {"size": "1Gi"}}}))
    .unwrap();
    Owner::of(&cluster).unwrap()
}

/// With an hour each night from 02:00 on.
fn windowed() -> Owner {
    let window = json!([{"start": "02:00", "durationMinutes": 60}]);
    let windows: Vec<crate::types::MaintenanceWindow> = serde_json::from_value(window).unwrap();
    Owner {
        windows: crate::types::Windows::check(&windows, "w").unwrap(),
        ..owner()
    }
}

/// What was sent, as Kubernetes has it then.
fn seen(entries: Vec<Entry>) -> Vec<Option<Seen>> {
    let seen = |entry: Entry| Seen {
        body: entry.body,
        would: None,
    };
    entries.into_iter().map(|entry| Some(seen(entry))).collect()
}

#[test]
fn a_held_workload_keeps_its_template_and_its_files() {
    let mut owner = owner();
    let mut first = build("kafka:1", "one");
    assert!(hold(&mut first, &[None, None], &owner, "op1", now()).is_empty());
    let live = seen(first);
    let mut second = build("kafka:2", "two");
    second[1].body["spec"]["replicas"] = json!(3);
    let waiting = hold(&mut second, &live, &owner, "op2", now());
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
        json!({"replicas": 3, "template": template("kafka:1")})
    );
    let live = seen(second);

    let mut third = build("kafka:2", "two");
    assert_eq!(hold(&mut third, &live, &owner, "op2", now()), waiting);
    owner.approved = Some(waiting[0].revision.clone());
    let mut third = build("kafka:2", "two");
    assert!(hold(&mut third, &live, &owner, "op2", now()).is_empty());
    assert_eq!(third[0].body["data"]["f"], "two");
    assert_eq!(third[1].body["spec"]["template"]["image"], "kafka:2");
}

#[test]
fn a_workload_without_marks_is_not_restarted_unasked() {
    let mut owner = owner();
    // With the defaults of Kubernetes, and without anything of ours.
    let bare = |image: &str| {
        let mut template = template(image);
        template["dnsPolicy"] = json!("ClusterFirst");
        template["metadata"] = json!({"creationTimestamp": null});
        json!({"metadata": {"name": "k"}, "spec": {"template": template}})
    };
    let live = |would: &str| {
        let files = json!({"metadata": {"name": "k"}, "data": {"f": "one"}});
        vec![
            Some(Seen {
                body: files,
                would: None,
            }),
            Some(Seen {
                body: bare("kafka:1"),
                would: Some(bare(would)),
            }),
        ]
    };
    let mut same = build("kafka:1", "two");
    assert!(hold(&mut same, &live("kafka:1"), &owner, "op2", now()).is_empty());
    assert_eq!(same[1].body["spec"]["template"], template("kafka:1"));
    assert_eq!(same[0].body["data"]["f"], "two");
    let mut other = build("kafka:2", "two");
    let waiting = hold(&mut other, &live("kafka:2"), &owner, "op2", now());
    assert!(
        waiting[0]
            .reason
            .ends_with("differently: image: kafka:1 → kafka:2"),
        "{}",
        waiting[0].reason
    );
    assert_eq!(
        other[1].body["spec"]["template"],
        json!({"image": "kafka:1", "dnsPolicy": "ClusterFirst", "metadata": {},
            "volumes": [{"configMap": {"name": "k"}}]})
    );
    assert_eq!(other[0].body["data"]["f"], "one");
    let marked = seen(other);
    let mut again = build("kafka:2", "two");
    assert_eq!(hold(&mut again, &marked, &owner, "op2", now()), waiting);
    owner.approved = Some(waiting[0].revision.clone());
    let mut approved = build("kafka:2", "two");
    assert!(hold(&mut approved, &marked, &owner, "op2", now()).is_empty());
    assert_eq!(approved[1].body["spec"]["template"]["image"], "kafka:2");
    assert_eq!(approved[0].body["data"]["f"], "two");
}

#[test]
fn an_open_window_lets_go_what_waits() {
    let owner = windowed();
    let mut first = build("kafka:1", "one");
    hold(&mut first, &[None, None], &owner, "op1", now());
    let live = seen(first);

    let mut second = build("kafka:2", "two");
    let waiting = hold(&mut second, &live, &owner, "op2", now());
    assert_eq!(
        waiting[0].next_window.as_deref(),
        Some("2026-03-03T02:00:00Z")
    );
    let live = seen(second);
    let open: Timestamp = "2026-03-03T02:30:00Z".parse().unwrap();
    let mut third = build("kafka:2", "two");
    assert!(hold(&mut third, &live, &owner, "op2", open).is_empty());
    assert_eq!(third[0].body["data"]["f"], "two");
    assert_eq!(third[1].body["spec"]["template"]["image"], "kafka:2");
}

#[test]
fn files_of_a_workload_that_does_not_wait_are_not_held() {
    let owner = owner();
    let both = |image: &str, file: &str| {
        let mut entries = build(image, file);
        for mut entry in build("other:1", file) {
            entry.name = "other".into();
            entry.body["metadata"]["name"] = json!("other");
            if is_workload(&entry) {
                entry.body["spec"]["template"]["volumes"][0]["configMap"]["name"] = json!("other");
            }
            entries.push(entry);
        }
        entries
    };
    let mut first = both("kafka:1", "one");
    hold(&mut first, &[None, None, None, None], &owner, "op1", now());
    let live = seen(first);
    let mut second = both("kafka:2", "two");
    let waiting = hold(&mut second, &live, &owner, "op2", now());
    assert_eq!(waiting.len(), 1);
    assert_eq!(second[0].body["data"]["f"], "one", "its pods go on");
    assert_eq!(second[2].body["data"]["f"], "two", "its pods are as built");
}

fn image(entries: &[Entry]) -> &Value {
    &entries[1].body["spec"]["template"]["image"]
}

#[test]
fn what_is_asked_for_waits_with_what_another_build_changes_and_later_goes_at_once() {
    let mut owner = owner();
    let mut first = build("kafka:1", "one");
    hold(&mut first, &[None, None], &owner, "op1", now());
    let live = seen(first);

    // The operator was replaced, and the spec changed before it looked.
    owner.intent = "2".into();
    let mut second = build("kafka:2", "two");
    let waiting = hold(&mut second, &live, &owner, "op2", now());
    assert_eq!(image(&second), "kafka:1");
    let told = &waiting[0].reason;
    for part in ["kafka:1 → kafka:2", "`millrace approve KafkaCluster/k`"] {
        assert!(told.contains(part), "{part} is missing in: {told}");
    }
    let live = seen(second);

    // Another change of the spec or of a Secret does not carry it out either.
    owner.intent = "3".into();
    let mut third = build("kafka:3", "three");
    let later = hold(&mut third, &live, &owner, "op2", now());
    assert_eq!((image(&third), later.len()), (&json!("kafka:1"), 1));
    assert_eq!(third[0].body["data"]["f"], "one");
    assert_ne!(later[0].revision, waiting[0].revision);
    let live = seen(third);

    owner.approved = Some(later[0].revision.clone());
    let mut fourth = build("kafka:3", "three");
    assert!(hold(&mut fourth, &live, &owner, "op2", now()).is_empty());
    assert_eq!(image(&fourth), "kafka:3");
    let live = seen(fourth);

    owner.intent = "4".into();
    let mut fifth = build("kafka:4", "four");
    assert!(hold(&mut fifth, &live, &owner, "op2", now()).is_empty());
    assert_eq!(image(&fifth), "kafka:4", "nothing of another build is left");
}

#[test]
fn a_build_that_makes_the_same_holds_up_no_later_change() {
    let mut owner = owner();
    let mut first = build("kafka:1", "one");
    hold(&mut first, &[None, None], &owner, "op1", now());
    let mut same = build("kafka:1", "one");
    assert!(hold(&mut same, &seen(first), &owner, "op2", now()).is_empty());
    owner.intent = "2".into();
    let mut asked = build("kafka:2", "two");
    assert!(hold(&mut asked, &seen(same), &owner, "op2", now()).is_empty());
    assert_eq!(image(&asked), "kafka:2");

    // The next operator would change something, and is taken back.
    let mut third = build("kafka:3", "three");
    let live = seen(asked);
    assert_eq!(hold(&mut third, &live, &owner, "op3", now()).len(), 1);
    owner.intent = "3".into();
    let mut back = build("kafka:4", "four");
    assert!(hold(&mut back, &seen(third), &owner, "op2", now()).is_empty());
    assert_eq!(image(&back), "kafka:4");
}

#[test]
fn other_certificates_do_not_wait_and_carry_nothing_else() {
    let owner = owner();
    let secure = |image: &str, revision: &str| {
        let mut entries = build(image, image);
        entries[1].body["spec"]["template"]["metadata"] =
            json!({"annotations": {CERTIFICATES: revision}});
        entries
    };
    let revision = |entries: &[Entry]| {
        let metadata = &entries[1].body["spec"]["template"]["metadata"];
        metadata["annotations"][CERTIFICATES].clone()
    };
    let mut first = secure("kafka:1", "1");
    hold(&mut first, &[None, None], &owner, "op1", now());
    let live = seen(first);
    let mut alone = secure("kafka:1", "2");
    assert!(hold(&mut alone, &live, &owner, "op2", now()).is_empty());
    assert_eq!(revision(&alone), "2");

    let mut second = secure("kafka:2", "1");
    assert_eq!(hold(&mut second, &live, &owner, "op2", now()).len(), 1);
    let live = seen(second);
    let mut third = secure("kafka:2", "2");
    let waiting = hold(&mut third, &live, &owner, "op2", now());
    assert!(
        waiting[0].reason.ends_with("image: kafka:1 → kafka:2"),
        "{}",
        waiting[0].reason
    );
    assert_eq!(
        (image(&third), revision(&third)),
        (&json!("kafka:1"), json!("2"))
    );
    assert_eq!(third[0].body["data"]["f"], "kafka:1");
    // It is what was sent from now on.
    let live = seen(third);
    let mut fourth = secure("kafka:1", "2");
    assert!(hold(&mut fourth, &live, &owner, "op1", now()).is_empty());
    assert_eq!(revision(&fourth), "2");
}

#[test]
fn what_a_window_has_let_go_stops_when_it_closes() {
    let mut owner = windowed();
    let open: Timestamp = "2026-03-03T02:59:00Z".parse().unwrap();
    let closed: Timestamp = "2026-03-03T03:00:00Z".parse().unwrap();
    let waits = |entries: &[Entry], owner: &Owner, at: Timestamp| {
        let set: StatefulSet = serde_json::from_value(entries[1].body.clone()).unwrap();
        waits_for_window(&set, owner, at)
    };
    let mut first = build("kafka:1", "one");
    hold(&mut first, &[None, None], &owner, "op1", now());
    assert_eq!(waits(&first, &owner, closed), None, "it was asked for");
    let mut second = build("kafka:2", "two");
    assert!(hold(&mut second, &seen(first), &owner, "op2", open).is_empty());
    assert_eq!(image(&second), "kafka:2");

    // The first of three pods was restarted before the window closed.
    let decide = |at: Timestamp, last: Standing| {
        let pods: Vec<Member> = [("k-0", READY), ("k-1", READY), ("k-2", last)]
            .into_iter()
            .map(|(pod, standing)| Member {
                pod: pod.into(),
                uid: None,
                standing,
                since: None,
                reasons: (pod != "k-0")
                    .then(|| "image".to_owned())
                    .into_iter()
                    .collect(),
                held: waits(&second, &owner, at),
            })
            .collect();
        let decision = next(&pods, |_| 0, |_| Gate::Open);
        let waits = decision.restarts[0].waits_for.clone();
        (decision.now.map(|member| member.pod), waits)
    };
    assert_eq!(decide(open, READY), (Some("k-1".into()), None));
    let (now_restarted, told) = decide(closed, READY);
    assert_eq!(now_restarted, None);
    let told = told.unwrap();
    let (says, revision) = told.rsplit_once(' ').unwrap();
    assert_eq!(
        says,
        "the maintenance window that opens at 2026-03-04T02:00:00Z, or approval of revision"
    );
    let broken = Standing::Unready { runs: false };
    assert_eq!(decide(closed, broken), (Some("k-2".into()), None));

    // Approved, or without windows, it goes on.
    owner.approved = Some(revision.into());
    assert_eq!(waits(&second, &owner, closed), None);
    owner.approved = None;
    let never = Owner {
        windows: crate::types::Windows::default(),
        ..owner.clone()
    };
    assert_eq!(waits(&second, &never, closed), None);

    // What is asked for meanwhile does not carry the rest out of the window; when all pods are done there is none.
    let mut live = seen(second);
    owner.intent = "2".into();
    let mut third = build("kafka:3", "three");
    assert!(hold(&mut third, &live, &owner, "op2", closed).is_empty());
    assert!(waits(&third, &owner, closed).is_some());
    live[1].as_mut().unwrap().body["status"] = json!({"updatedReplicas": 1});
    let mut third = build("kafka:3", "three");
    assert!(hold(&mut third, &live, &owner, "op2", closed).is_empty());
    assert_eq!(image(&third), "kafka:3");
    assert_eq!(waits(&third, &owner, closed), None);
}
