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
