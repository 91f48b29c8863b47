//! Tests of [`super`].

use super::super::validate::tests::{large, small, valid};
use super::*;
use crate::reconcile::restarts::CONFIG;

// The files have snapshots of their own.
fn without_files(druid: &ValidatedDruid) -> String {
    let built = build(druid).unwrap().to_yaml().unwrap();
    let parts = built.split("---\n");
    let rest: Vec<&str> = parts
        .filter(|part| !part.contains("kind: ConfigMap") && !part.is_empty())
        .collect();
    rest.join("---\n")
}

#[test]
fn the_objects_of_the_smallest() {
    insta::assert_snapshot!(without_files(&valid(small())));
}

#[test]
fn the_objects_of_several_on_hdfs_and_postgres() {
    insta::assert_snapshot!(without_files(&valid(large())));
}

fn hash(druid: &ValidatedDruid, kind: RoleKind) -> String {
    let set: StatefulSet = build(druid).unwrap().get(&kind.set("d")).unwrap();
    let template = set.spec.unwrap().template.metadata.unwrap();
    template.annotations.unwrap()[CONFIG].clone()
}

#[test]
fn a_new_password_restarts_coordinators_alone() {
    let before = valid(large());
    let mut after = before.clone();
    if let Metadata::Postgres(postgres) = &mut after.metadata {
        postgres.login = "other".into();
    }
    for role in &before.roles {
        let same = hash(&before, role.kind) == hash(&after, role.kind);
        assert_eq!(same, role.kind != RoleKind::Coordinator, "{}", role.set);
    }
}

#[test]
fn who_reads_kafka_has_its_passwords_as_files_and_the_binding_says_so() {
    let mut spec = small();
    spec["kafkaSecrets"] = serde_json::json!(["a-kafka", "b"]);
    let druid = valid(spec);
    let built = build(&druid).unwrap();
    for role in &druid.roles {
        let set: StatefulSet = built.get(&role.set).unwrap();
        let volumes = set.spec.unwrap().template.spec.unwrap().volumes.unwrap();
        let sources = volumes
            .into_iter()
            .filter_map(|volume| volume.projected?.sources);
        let paths: Vec<String> = sources
            .flatten()
            .filter_map(|source| source.secret)
            .inspect(|secret| assert_eq!(secret.optional, Some(true)))
            .map(|secret| secret.items.unwrap()[0].path.clone())
            .collect();
        let reads = matches!(role.kind, RoleKind::Coordinator | RoleKind::Worker);
        let expected: &[&str] = if reads {
            &["a-kafka/password", "b/password"]
        } else {
            &[]
        };
        assert_eq!(paths, expected, "{}", role.set);
    }
    let binding: Secret = built.get("d-binding").unwrap();
    assert_eq!(binding.data.unwrap()[HAS_KAFKA_SECRETS].0, b"a-kafka,b");
}

#[test]
fn no_password_stands_in_what_is_built() {
    assert!(
        !build(&valid(large()))
            .unwrap()
            .to_yaml()
            .unwrap()
            .contains("hidden")
    );
}

#[test]
fn a_stopped_cluster_has_no_pods_and_keeps_its_addresses() {
    let mut spec = small();
    spec["stopped"] = true.into();
    let built = build(&valid(spec)).unwrap();
    for kind in [RoleKind::Coordinator, RoleKind::Worker] {
        let set: StatefulSet = built.get(&kind.set("d")).unwrap();
        assert_eq!(set.spec.unwrap().replicas, Some(0));
    }
    assert!(built.get::<Service>("d-broker").is_some());
}
