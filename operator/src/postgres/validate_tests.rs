use super::*;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

pub(in crate::postgres) fn cluster(spec: Value) -> PostgresCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "PostgresCluster",
        "metadata": {"name": "p", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

pub(in crate::postgres) fn images() -> Images {
    Images::named(|name| format!("{name}:1"))
}

fn of(cluster: &PostgresCluster, found: &Found) -> Result<ValidatedPostgres, Error> {
    let now = "2026-11-01T00:00:00Z".parse().unwrap();
    validate(cluster, found, &images(), now)
}

pub(in crate::postgres) fn valid(spec: Value) -> ValidatedPostgres {
    of(&cluster(spec), &Found::default()).unwrap()
}

/// Databases and roles of every kind.
pub(in crate::postgres) fn serving() -> Value {
    json!({
        "databases": [{"name": "scores", "owner": "score", "extensions": ["pg_trgm"]}, {"name": "other"}],
        "roles": [
            {"name": "score", "connectionLimit": 20},
            {"name": "analysts", "login": false, "readOnly": [{"database": "scores"}]},
            {"name": "ann_b", "memberOf": ["analysts"], "database": "scores"},
        ],
    })
}

#[test]
fn what_cannot_work_is_refused() {
    for (spec, field) in [
        (
            json!({"resources": {"memory": "64Mi"}}),
            "spec.resources.memory: 64Mi",
        ),
        (
            json!({"parameters": {"work_mem": "1MB\nfsync=off"}}),
            "spec.parameters[work_mem]",
        ),
        (
            json!({"parameters": {"work_mem = 1MB #": "x"}}),
            "spec.parameters: work_mem = 1MB #",
        ),
    ] {
        let told = of(&cluster(spec), &Found::default()).unwrap_err();
        assert!(told.to_string().starts_with(field), "{told}");
    }
}

#[test]
fn each_role_that_logs_in_has_a_password_and_a_database() {
    let valid = valid(serving());
    let told: Vec<_> = valid
        .roles
        .iter()
        .map(|role| (role.database.as_str(), role.password.is_some()))
        .collect();
    assert_eq!(
        told,
        [("scores", true), ("scores", false), ("scores", true)]
    );
}

#[test]
fn passwords_that_are_kept_stay_until_a_new_one_is_asked_for() {
    let entry = |text: &str| ByteString(text.as_bytes().to_vec());
    let kept = [("password".to_owned(), entry("old"))].into();
    let found = Found {
        roles: [("score".to_owned(), FoundSecret::Ours(kept))].into(),
        superuser: FoundSecret::Ours([("password".to_owned(), entry("super"))].into()),
        ..Found::default()
    };
    let mut asked = cluster(serving());
    let score = |cluster: &PostgresCluster| {
        let valid = of(cluster, &found).unwrap();
        assert_eq!(valid.superuser, "super");
        valid.roles[0].password.clone().unwrap()
    };
    assert_eq!(score(&asked).text, "old");
    asked
        .annotations_mut()
        .insert(ROTATE.into(), "score:1".into());
    let new = score(&asked);
    assert!(new.text != "old" && !new.is_kept);
    let taken = Found {
        roles: [("score".to_owned(), FoundSecret::Given)].into(),
        ..Found::default()
    };
    let told = of(&asked, &taken).unwrap_err().to_string();
    assert!(told.contains("p-score-binding"), "{told}");
}

#[test]
fn an_empty_volume_is_filled_once_unless_it_is_let() {
    let mut cluster = cluster(json!({}));
    let none = Found::default();
    let founding = |cluster: &PostgresCluster, found| of(cluster, found).unwrap().founding;
    assert_eq!(founding(&cluster, &none), Founding::Allowed);
    let former = Found {
        former_volume: true,
        ..Found::default()
    };
    assert_eq!(founding(&cluster, &former), Founding::Refused);
    cluster.status = serde_json::from_value(json!({"initialized": true})).unwrap();
    assert_eq!(founding(&cluster, &none), Founding::Refused);
    let asks = |cluster: &mut PostgresCluster| {
        let annotations = cluster.annotations_mut();
        annotations.insert(ALLOW_FORMAT.into(), "1".into());
    };
    asks(&mut cluster);
    assert_eq!(founding(&cluster, &none), Founding::Allowed);
    cluster.status =
        serde_json::from_value(json!({"initialized": true, "allowedFormat": "1"})).unwrap();
    assert_eq!(founding(&cluster, &none), Founding::Refused);
}

#[test]
fn a_membership_in_a_role_that_nobody_makes_is_refused() {
    for of in ["b", "a"] {
        let spec = json!({"roles": [{"name": "a", "memberOf": [of]}]});
        let error = self::of(&cluster(spec), &Found::default()).unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("spec.roles[0].memberOf: {of}: ")),
            "{told}"
        );
    }
    valid(json!({"roles": [{"name": "a", "memberOf": ["b", "pg_monitor"]}, {"name": "b"}]}));
}

#[test]
fn a_restore_is_asked_for_until_it_is_done_and_never_over_a_volume() {
    let bootstrap = |time: &str| {
        let restore = json!({"from": {"cluster": "q"}, "targetTime": time});
        cluster(json!({"bootstrap": {"restore": restore}}))
    };
    let mut asks = bootstrap("2026-03-01T10:30:00+01:00");
    let found = Found::default();
    let restore = of(&asks, &found).unwrap().restore.unwrap();
    assert_eq!(restore.claim, "q-backup");
    assert_eq!(restore.target.unwrap().to_string(), "2026-03-01T09:30:00Z");
    let former = Found {
        former_volume: true,
        ..Found::default()
    };
    let told = of(&asks, &former).unwrap_err().to_string();
    assert!(
        told.starts_with("spec.bootstrap.restore: data-p-0"),
        "{told}"
    );
    let member = Found {
        former_members: 3,
        ..Found::default()
    };
    let mut several = asks.clone();
    several.spec.members = 3;
    let told = of(&several, &member).unwrap_err().to_string();
    assert!(told.contains("data-p-2"), "{told}");
    // The form is right, and there is no such day.
    let told = of(&bootstrap("2026-02-30T00:00:00Z"), &found).unwrap_err();
    let told = told.to_string();
    assert!(
        told.starts_with("spec.bootstrap.restore.targetTime: 2026-02-30"),
        "{told}"
    );

    let status = json!({"restore": {"claim": "q-backup", "completed": "2026-11-01T00:00:00Z"}});
    asks.status = Some(serde_json::from_value(status).unwrap());
    let done = of(&asks, &found).unwrap();
    assert_eq!(done.restore, None);
    assert_eq!(done.founding, Founding::Refused);
    let status = json!({"restore": {"claim": "q-backup"}});
    asks.status = Some(serde_json::from_value(status).unwrap());
    assert!(of(&asks, &found).unwrap().restore.is_some());
}

#[test]
fn base_backups_have_a_role_of_their_own() {
    let valid = valid(json!({"backup": {"schedule": "@daily"}}));
    let role = &valid.roles[0];
    assert_eq!(role.role.name, "millrace_backup");
    assert!(role.password.is_some());
    // It goes with what it is for.
    assert_eq!(role.role.deletion_policy, DeletionPolicy::Delete);
}

#[test]
fn several_servers_do_not_become_one_by_another_cluster_of_the_name() {
    let found = Found {
        former_volume: true,
        former_members: 3,
        ..Found::default()
    };
    let told = of(&cluster(json!({})), &found).unwrap_err().to_string();
    assert!(told.starts_with("spec.members: 1: "), "{told}");
    assert!(told.contains("data-p-2"), "{told}");
    let several = of(&cluster(json!({"members": 3})), &found).unwrap();
    assert_eq!(several.founding, Founding::Refused);
    assert_eq!(several.servers, 3, "they know together who has most");
}

#[test]
fn members_that_were_stopped_come_back_together_before_fewer_are_left() {
    let mut asks = cluster(json!({"members": 2}));
    let servers = |cluster: &PostgresCluster, live| {
        let found = Found {
            live,
            ..Found::default()
        };
        of(cluster, &found).unwrap().servers
    };
    let member = |pod: &str| json!({"pod": pod, "role": "replica", "state": "running"});
    let members = ["p-0", "p-1", "p-2"].map(member);
    let status = json!({"initialized": true, "timeline": 4, "members": members});
    asks.status = Some(serde_json::from_value(status).unwrap());
    assert_eq!(servers(&asks, 0), 3, "the third one may have led");
    assert_eq!(servers(&asks, 2), 2, "two work, and no more are to be");
    asks.status = Some(serde_json::from_value(json!({"timeline": 4})).unwrap());
    assert_eq!(servers(&asks, 0), 2);
}
