use super::super::validate::tests::{cluster, serving, valid};
use super::*;
use crate::remote::postgres::{ObservedRole, PostgresError};
use crate::status::message_of;
use serde_json::json;

fn seen(ready: i32, inside: Inside) -> Seen {
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "p"},
        "status": {"replicas": 1, "readyReplicas": ready}});
    Seen {
        set: Some(serde_json::from_value(set).unwrap()),
        inside,
        volumes: Volumes {
            size: Some("5Gi".into()),
            refused: None,
        },
        rolling: Rolling::default(),
        pending: Vec::new(),
        trouble: None,
        backups: None,
        restoring: None,
        members: Members::Asleep,
    }
}

fn outcome(observed: Observed, made: Vec<Change>) -> Inside {
    Inside::Seen(Box::new(Look {
        observed,
        made,
        ..Look::default()
    }))
}

fn told(before: &PostgresCluster, seen: &Seen) -> PostgresClusterStatus {
    match status(before, &valid(serving()), seen).0 {
        Reconciled::Status(status, _) => status,
        Reconciled::Gone => panic!("it is not gone"),
    }
}

#[test]
fn a_server_is_available_when_its_databases_are_made_and_stays_so() {
    let mut cluster = cluster(serving());
    let starting = told(&cluster, &seen(0, Inside::Asleep));
    assert!(!starting.initialized && !is_true(&starting.conditions, AVAILABLE));
    let failed = || {
        Inside::Failed(PostgresError::Unreachable {
            address: "p:5432".into(),
            problem: "no".into(),
        })
    };
    let unreached = told(&cluster, &seen(1, failed()));
    assert!(unreached.initialized && !is_true(&unreached.conditions, AVAILABLE));
    assert_eq!(
        message_of(&unreached.conditions, DEGRADED),
        Some("p:5432: cannot be reached: no")
    );
    let observed = Observed {
        version: "15.14".into(),
        ..Observed::default()
    };
    let made = vec![Change::SetPassword("score".into())];
    let works = told(&cluster, &seen(1, outcome(observed, made)));
    assert!(is_true(&works.conditions, AVAILABLE));
    assert_eq!(works.version.as_deref(), Some("15.14"));
    let score = &works.roles[0];
    assert_eq!(score.binding.as_ref().unwrap().name, "p-score-binding");
    assert!(score.rotation.as_ref().unwrap().changed_at.is_some());
    assert_eq!(works.roles[1].binding, None);
    assert_eq!(works.roles[1].reads, ["scores.public"]);
    cluster.status = Some(works.clone());
    let later = told(&cluster, &seen(1, failed()));
    assert!(is_true(&later.conditions, AVAILABLE) && is_true(&later.conditions, DEGRADED));
    assert_eq!(later.roles[0].rotation, works.roles[0].rotation);
}

#[test]
fn what_is_to_go_is_remembered_until_it_is_gone() {
    let mut cluster = cluster(serving());
    cluster.status = serde_json::from_value(json!({
        "roles": [{"name": "old", "deletionPolicy": "Delete"}, {"name": "kept", "deletionPolicy": "Retain"}],
        "databases": [{"name": "gone", "deletionPolicy": "Delete"}]}))
    .unwrap();
    let mut observed = Observed::default();
    for name in ["old", "kept"] {
        let role = ObservedRole::default();
        observed.roles.insert(name.into(), role);
    }
    let status = told(&cluster, &seen(1, outcome(observed, Vec::new())));
    let names: Vec<_> = status.roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["score", "analysts", "ann_b", "old"]);
    let rights = |failed| {
        let before: Vec<RoleStatus> =
            serde_json::from_value(json!([{"name": "score", "reads": ["other.public"]}])).unwrap();
        let look = Look {
            failed,
            ..Look::default()
        };
        roles(&valid(serving()), &before, &look)[0].reads.clone()
    };
    assert_eq!(rights(Vec::new()), [""; 0]);
    assert_eq!(
        rights(vec![PostgresError::Random("x".into())]),
        ["other.public"]
    );
    assert_eq!(status.databases.len(), 2);
}

#[test]
fn an_empty_volume_is_told_as_lost() {
    let seen = Seen {
        trouble: Some(format!("p-0 waits: CrashLoopBackOff: {}", files::REFUSED)),
        ..seen(0, Inside::Asleep)
    };
    assert_eq!(degraded(&seen).unwrap().0, "VolumeLost");
}

#[test]
fn who_waits_for_others_says_so() {
    let waits = |change: fn(&mut ValidatedPostgres)| {
        let mut postgres = valid(json!({"members": 3}));
        change(&mut postgres);
        starting(&postgres, &seen(0, Inside::Asleep))
    };
    assert_eq!(waits(|_| ()), "the server is starting");
    assert!(waits(|p| p.former_pods = true).contains("former cluster"));
    assert!(waits(|p| p.begun = true).contains("volumes are empty"));
    let stopped = waits(|p| (p.begun, p.operation.stopped) = (true, true));
    assert_eq!(stopped, "the server is starting");
}
