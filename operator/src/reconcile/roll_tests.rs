use super::*;
use serde_json::json;

fn set(observed: i64) -> StatefulSet {
    serde_json::from_value(json!({"metadata": {"name": "k", "generation": 2},
        "spec": {"replicas": 2, "selector": {}, "serviceName": "k", "template": {
            "metadata": {"annotations": {"config": "b", "certificates": "1"}},
            "spec": {"containers": [{"name": "c", "image": "i:2"}]}}},
        "status": {"replicas": 1, "observedGeneration": observed, "updateRevision": "k-2"}}))
    .unwrap()
}

fn pod(name: &str, revision: &str, config: &str, image: &str) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"controller-revision-hash": revision},
            "annotations": {"config": config, "certificates": "1"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    )
    .unwrap()
}

const NAMED: &[(&str, &str)] = &[("config", "settings"), ("certificates", "certificates")];

#[test]
fn a_pod_of_the_former_template_says_what_it_is_restarted_for() {
    let reasons = |set: &StatefulSet, pod: &Pod| reasons(set, pod, NAMED);
    assert_eq!(
        reasons(&set(2), &pod("k-0", "k-1", "a", "i:2")),
        ["settings"]
    );
    assert_eq!(
        reasons(&set(2), &pod("k-0", "k-1", "a", "i:1")),
        ["settings", "its image changes from i:1 to i:2"]
    );
    assert_eq!(
        reasons(&set(2), &pod("k-0", "k-1", "b", "i:2")),
        ["its template changed from revision k-1 to k-2"]
    );
    assert!(reasons(&set(2), &pod("k-0", "k-2", "b", "i:2")).is_empty());
    assert!(
        reasons(&set(1), &pod("k-0", "k-1", "a", "i:1")).is_empty(),
        "the status is older than the spec"
    );
}

#[test]
fn pods_that_are_to_be_there_and_are_not_are_members_too() {
    let members = members(&set(2), &[pod("k-0", "k-1", "a", "i:2")], NAMED);
    let standings: Vec<_> = members.iter().map(|m| (&*m.pod, m.standing)).collect();
    assert_eq!(
        standings,
        [("k-0", Standing::Ready), ("k-1", Standing::Missing)]
    );
}

fn member(pod: &str, standing: Standing, needs: bool) -> Member {
    Member {
        pod: pod.into(),
        uid: None,
        since: None,
        standing,
        reasons: needs.then(|| "why".to_owned()).into_iter().collect(),
        held: None,
    }
}

const READY: Standing = Standing::Ready;
const BROKEN: Standing = Standing::Unready { runs: false };

fn decide(members: &[Member], shut: &[&str]) -> (Option<String>, Option<String>) {
    let decision = next(
        members,
        |member| u8::from(member.pod == "a"),
        |member| {
            if shut.contains(&&*member.pod) {
                Gate::Shut(format!("gate of {}", member.pod))
            } else {
                Gate::Open
            }
        },
    );
    let waits = decision.restarts.first().and_then(|r| r.waits_for.clone());
    (decision.now.map(|member| member.pod), waits)
}

#[test]
fn one_at_a_time_by_rank_and_only_while_all_others_are_ready() {
    let all = [
        member("a", READY, true),
        member("b", READY, true),
        member("c", READY, true),
    ];
    assert_eq!(decide(&all, &[]), (Some("b".into()), None));
    // Nobody goes before the one whose turn it is.
    assert_eq!(decide(&all, &["b"]), (None, Some("gate of b".into())));
    for (between, told) in [
        (Standing::Leaving, "d is on its way out"),
        (Standing::Missing, "d is not there yet"),
        (BROKEN, "d is not ready"),
    ] {
        let mut more = all.to_vec();
        more.push(member("d", between, false));
        assert_eq!(decide(&more, &[]), (None, Some(told.into())));
    }
}

#[test]
fn one_that_does_not_work_goes_first_and_only_the_gate_keeps_it() {
    let all = [
        member("b", READY, true),
        member("c", BROKEN, true),
        member("d", BROKEN, true),
    ];
    assert_eq!(decide(&all, &[]), (Some("c".into()), None));
    assert_eq!(decide(&all, &["c"]), (Some("d".into()), None));
    assert_eq!(decide(&all, &["c", "d"]), (None, Some("gate of c".into())));
    // One on its way up is not touched.
    let starting = [
        member("b", READY, true),
        member("c", Standing::Unready { runs: true }, false),
    ];
    assert_eq!(
        decide(&starting, &[]),
        (None, Some("c is not ready".into()))
    );
}

#[test]
fn one_that_works_and_is_held_waits_and_keeps_nobody_else() {
    let held = |pod: &str, standing| Member {
        held: Some("the window".into()),
        ..member(pod, standing, true)
    };
    let all = [held("b", READY), held("c", READY)];
    assert_eq!(decide(&all, &[]), (None, Some("the window".into())));
    assert_eq!(
        decide(&all, &["b"]),
        (None, Some("the window".into())),
        "the system is not asked"
    );
    // What does not work is not held, and neither are pods of another set.
    let broken = [held("b", READY), held("c", BROKEN)];
    assert_eq!(decide(&broken, &[]), (Some("c".into()), None));
    let other = [held("b", READY), member("c", READY, true)];
    assert_eq!(decide(&other, &[]), (Some("c".into()), None));
}

#[test]
fn every_pod_that_needs_it_is_told() {
    let all = [member("b", READY, true), member("c", READY, true)];
    let decision = next(&all, |_| 0, |_| Gate::Open);
    assert_eq!(
        decision.told().unwrap(),
        "restarting b: why (1 more to follow)"
    );
    assert_eq!(
        decision.restarts[1].waits_for.as_deref(),
        Some("b is restarted first")
    );
    let none = [member("b", READY, false)];
    assert_eq!(next(&none, |_| 0, |_| Gate::Open), Decision::default());
}

#[test]
fn who_hands_over_first_is_told_to_wait() {
    let mut decision = next(&[member("b", READY, true)], |_| 0, |_| Gate::Open);
    decision.postpone("another one takes over".into());
    assert_eq!(decision.now, None);
    let told = decision.told().unwrap();
    assert_eq!(
        told,
        "b must be restarted: why; waiting: another one takes over"
    );
}
