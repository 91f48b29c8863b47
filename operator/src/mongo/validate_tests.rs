use super::*;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

pub(in crate::mongo) fn cluster(spec: Value) -> MongoCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "MongoCluster",
        "metadata": {"name": "m", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

pub(in crate::mongo) fn of(cluster: &MongoCluster, found: &Found) -> Result<ValidatedMongo, Error> {
    let images = Images::named(|name| format!("{name}:1"));
    let now = "2026-11-01T00:00:00Z".parse().unwrap();
    validate(cluster, found, &images, now)
}

pub(in crate::mongo) fn valid(spec: Value) -> Result<ValidatedMongo, Error> {
    of(&cluster(spec), &Found::default())
}

#[test]
fn what_cannot_work_is_refused() {
    for (spec, field) in [
        (
            json!({"engine": "wire", "database": "admin"}),
            "spec.database: admin",
        ),
        (
            json!({"engine": "wire", "resources": {"memory": "64Mi"}}),
            "spec.resources.memory: 64Mi",
        ),
        (
            json!({"engine": "mongodb", "resources": {"memory": "256Mi"}}),
            "spec.resources.memory: 256Mi",
        ),
    ] {
        let told = valid(spec).unwrap_err().to_string();
        assert!(told.starts_with(field), "{told}");
    }
    let wire = valid(json!({"engine": "wire"})).unwrap();
    assert_eq!(
        (wire.image.as_str(), wire.heap_mebibytes()),
        ("mongo-wire:1", 80)
    );
    assert_eq!(wire.host(), "m-mongo.ns.svc");
    assert!(wire.users.is_empty());
}

#[test]
fn jobs_always_have_a_user_and_dumps_have_one_where_they_are_wanted() {
    let rights = |spec: Value| {
        let mongo = valid(spec).unwrap();
        let told = mongo.users.iter().map(|user| {
            let rights = user
                .rights
                .iter()
                .map(|(role, database)| format!("{role}@{database}"));
            format!(
                "{} {}: {}",
                user.name,
                user.database,
                rights.collect::<Vec<_>>().join(" ")
            )
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(
        rights(json!({"engine": "mongodb", "backup": {"schedule": "@daily"}})),
        [
            "jobs millrace: readWrite@millrace readWrite@millrace-identity",
            "backup : backup@admin",
        ]
    );
    let users = json!([
        {"name": "ann", "roles": [{"database": "other", "role": "read"}]},
        {"name": "jobs", "roles": [{"database": "millrace", "role": "read"}]}]);
    assert_eq!(
        rights(json!({"engine": "mongodb", "users": users})),
        ["jobs millrace: read@millrace", "ann other: read@other"]
    );
}

#[test]
fn passwords_that_are_kept_stay_until_a_new_one_is_asked_for() {
    let entry = |text: &str| ByteString(text.as_bytes().to_vec());
    let ours = |key: &str, text: &str| FoundSecret::Ours([(key.to_owned(), entry(text))].into());
    let mut found = Found {
        users: [(JOBS.to_owned(), ours("password", "old"))].into(),
        keyfile: ours("keyfile", "key"),
        replicas: 1,
        ..Found::default()
    };
    let mut asked = cluster(json!({"engine": "mongodb"}));
    let first = of(&asked, &found).unwrap();
    assert_eq!(
        (
            first.keyfile.as_str(),
            first.users[0].password.text.as_str()
        ),
        ("key", "old")
    );
    asked.annotations_mut().insert(ROTATE.into(), "1".into());
    let next = of(&asked, &found).unwrap().users[0].password.clone();
    assert!(next.text != "old" && !next.is_kept);
    found.users = [(JOBS.to_owned(), FoundSecret::Given)].into();
    let told = of(&asked, &found).unwrap_err().to_string();
    assert!(told.contains("m-binding"), "{told}");
}

#[test]
fn no_other_keyfile_is_made_while_members_run() {
    let found = Found {
        replicas: 3,
        ..Found::default()
    };
    let told = of(&cluster(json!({"engine": "mongodb"})), &found).unwrap_err();
    assert!(
        told.to_string().starts_with("Secret: m-keyfile: is gone"),
        "{told}"
    );
    assert!(
        of(
            &cluster(json!({"engine": "mongodb", "stopped": true})),
            &found
        )
        .is_ok()
    );
}

#[test]
fn a_set_is_founded_once_unless_it_is_let() {
    let mut cluster = cluster(json!({"engine": "mongodb"}));
    let none = Found::default();
    let may = |cluster: &MongoCluster| of(cluster, &none).unwrap().may_found;
    assert!(may(&cluster));
    cluster.status = serde_json::from_value(json!({"initialized": true})).unwrap();
    assert!(!may(&cluster));
    cluster
        .annotations_mut()
        .insert(ALLOW_FORMAT.into(), "1".into());
    assert!(may(&cluster));
    let followed = json!({"initialized": true, "allowedFormat": "1"});
    cluster.status = serde_json::from_value(followed).unwrap();
    assert!(!may(&cluster));
}
