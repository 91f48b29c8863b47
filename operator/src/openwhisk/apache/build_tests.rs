use super::super::validate::tests::{apache, lean, secure, valid};
use super::*;
use crate::reconcile::restarts::CONFIG;
use serde_json::json;

/// The settings and the script have tests of their own.
fn told(whisk: &ValidatedApache) -> String {
    let built = build(whisk).unwrap().to_yaml().unwrap();
    let parts = built.split("---\n").filter(|part| {
        !part.is_empty()
            && !part.contains("name: w-files\n  namespace")
            && !part.contains("name: w-settings\n  namespace")
    });
    parts.collect::<Vec<_>>().join("---\n")
}

#[test]
fn the_objects_of_the_smallest() {
    insta::assert_snapshot!(told(&valid(apache())));
}

#[test]
fn the_objects_of_several_invokers_with_users_and_tls() {
    insta::assert_snapshot!(told(&valid(secure())));
}

fn set(whisk: &ValidatedApache, name: &str) -> StatefulSet {
    build(whisk).unwrap().get(name).unwrap()
}

#[test]
fn a_lean_controller_starts_pods_itself() {
    let whisk = valid(lean());
    let built = build(&whisk).unwrap();
    assert!(built.get::<StatefulSet>("w-invoker").is_none());
    assert!(built.get::<Role>("w-invoker").is_some());
    let pod = set(&whisk, "w-controller")
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("w-invoker"));
    assert_eq!(pod.automount_service_account_token, Some(true));
    let environment = pod.containers[0].env.clone().unwrap();
    assert!(environment.iter().all(|entry| entry.name != "KAFKA_HOSTS"));
    // In the other mode it has nothing to ask of Kubernetes.
    let apart = set(&valid(apache()), "w-controller");
    let pod = apart.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name, None);
    assert_eq!(pod.automount_service_account_token, Some(false));
}

#[test]
fn nothing_secret_stands_outside_of_secrets() {
    let built = build(&valid(secure())).unwrap().to_yaml().unwrap();
    let shown: Vec<&str> = built
        .split("---\n")
        .filter(|part| !part.contains("kind: Secret\n"))
        .collect();
    let shown = shown.join("---\n");
    for secret in ["hidden", "a\"b", "a\\\"b", "uuid:key"] {
        assert!(!shown.contains(secret), "{secret}");
    }
    let secret: Secret = build(&valid(secure())).unwrap().get("w-settings").unwrap();
    let encoded = secret.data.unwrap()[SETTINGS].0.clone();
    let settings = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    assert!(settings.contains("hidden") && settings.starts_with("include classpath"));
}

fn config(whisk: &ValidatedApache, name: &str) -> String {
    let template = set(whisk, name).spec.unwrap().template;
    template.metadata.unwrap().annotations.unwrap()[CONFIG].clone()
}

#[test]
fn another_key_restarts_the_controller_alone_and_other_settings_both() {
    let before = valid(apache());
    let mut key = before.clone();
    key.auth = "uuid:other".into();
    let mut spec = apache();
    spec["apache"]["config"] = json!({"whisk.time-limit.max": "10 m"});
    let other = valid(spec);
    for (name, by_key) in [("w-controller", true), ("w-invoker", false)] {
        assert_eq!(
            config(&before, name) != config(&key, name),
            by_key,
            "{name}"
        );
        assert_ne!(config(&before, name), config(&other, name), "{name}");
    }
}

#[test]
fn a_stopped_one_has_no_pods() {
    let mut spec = apache();
    spec["stopped"] = true.into();
    let whisk = valid(spec);
    for name in ["w-controller", "w-invoker"] {
        assert_eq!(set(&whisk, name).spec.unwrap().replicas, Some(0));
    }
}
