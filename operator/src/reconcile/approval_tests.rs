use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ApiResource;

use super::*;

fn mark(build: &str, intent: &str, pending: Option<&str>) -> Mark {
    Mark {
        build: build.into(),
        intent: intent.into(),
        pending: pending.map(Into::into),
        reason: None,
    }
}

#[test]
fn only_a_change_of_the_operator_alone_is_held() {
    let before = mark("op1", "1", None);
    let held = |before: &Mark, built: &str, now: &Mark, approved: &str| {
        let allowed = Allowed {
            approved,
            open: false,
        };
        is_held(before, "a", built, now, allowed)
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
    let none = Allowed {
        approved: "",
        open: false,
    };
    let held = |built: &str, now: &Mark| is_held(&before, "a", built, now, none);
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
    let mut owner = owner();
    let window = json!([{"start": "02:00", "durationMinutes": 60}]);
    let windows: Vec<crate::types::MaintenanceWindow> = serde_json::from_value(window).unwrap();
    owner.windows = crate::types::Windows::check(&windows, "w").unwrap();
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
