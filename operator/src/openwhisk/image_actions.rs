//! Actions that bring an image, which the embedded server runs as pods: what it may for that, and what it is told. Pure.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::api::rbac::v1::PolicyRule;

use super::build;
use super::validate::{ValidatedImages, ValidatedWhisk};
use crate::pods::{self, account};
use crate::reconcile::{Error, Prepared, Resources};

/// The name of these pods in labels: not that of the pods of an Apache OpenWhisk, which the operator ends when the mode changes.
pub const IMAGE_ACTION: &str = millrace_whisk::pods::COMPONENT;

/// What the server may: group, resource and verbs. The operator holds more of it, to hand it on to the servers of Apache OpenWhisk.
const RIGHTS: [(&str, &str, &[&str]); 2] = [
    ("", "pods", &["create", "delete", "get", "list"]),
    ("", "pods/log", &["get"]),
];

/// What the server's pod gets to end: for activations under way (25 s unless told otherwise), then for the deletion of its pods,
/// for telling what ran, and for clients that keep their connections.
const GRACE_SECONDS: i64 = 45;

fn account_name(openwhisk: &str) -> String {
    format!("{openwhisk}-image-actions")
}

/// Who makes the pods, and what he may.
pub(super) fn add(
    whisk: &ValidatedWhisk,
    resources: &mut Resources<Prepared>,
) -> Result<(), Error> {
    if whisk.image_actions.is_none() {
        return Ok(());
    }
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let rules = RIGHTS
        .iter()
        .map(|(group, resource, verbs)| PolicyRule {
            api_groups: Some(text(&[group])),
            resources: Some(text(&[resource])),
            verbs: text(verbs),
            ..PolicyRule::default()
        })
        .collect();
    let name = account_name(&whisk.owner.name);
    account::add(resources, &whisk.owner, &name, IMAGE_ACTION, rules)
}

/// Tells the server to make pods.
pub(super) fn tell(whisk: &ValidatedWhisk, container: &mut Container) {
    let Some(ValidatedImages {
        mebibytes,
        pull_secret,
        idle_seconds,
    }) = &whisk.image_actions
    else {
        return;
    };
    let arguments = container.args.get_or_insert_default();
    arguments.extend([
        format!("--pods={}", whisk.owner.name),
        format!("--pods-memory-mb={mebibytes}"),
        format!("--pods-api-host={}", build::uri(whisk)),
    ]);
    if let Some(secret) = pull_secret {
        arguments.push(format!("--pods-pull-secret={secret}"));
    }
    if let Some(seconds) = idle_seconds {
        arguments.push(format!("--idle-seconds={seconds}"));
    }
    // Its pods belong to its own, and end with it.
    container.env.get_or_insert_default().extend([
        pods::env_of_pod("POD_NAME", "metadata.name"),
        pods::env_of_pod("POD_UID", "metadata.uid"),
    ]);
}

/// Lets the server's pod do it. Actions that run inside it cannot read the token: they are isolated, or it does not start.
pub(super) fn let_make(whisk: &ValidatedWhisk, pod: &mut PodSpec) {
    if whisk.image_actions.is_some() {
        pod.service_account_name = Some(account_name(&whisk.owner.name));
        pod.automount_service_account_token = Some(true);
        pod.termination_grace_period_seconds = Some(GRACE_SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{live, valid};
    use super::*;
    use crate::reconcile::secrets::Found;
    use k8s_openapi::api::apps::v1::StatefulSet;
    use k8s_openapi::api::rbac::v1::Role;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> (Resources<Prepared>, PodSpec) {
        let whisk = valid(spec, live(Found::Absent)).unwrap();
        let made = build::build(&whisk).unwrap();
        let set: StatefulSet = made.get("w").unwrap();
        (made, set.spec.unwrap().template.spec.unwrap())
    }

    #[test]
    fn without_the_switch_the_server_is_nobody_to_kubernetes() {
        let (made, pod) = pod(json!({}));
        assert_eq!(pod.service_account_name, None);
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.termination_grace_period_seconds, Some(30));
        assert!(made.get::<Role>("w-image-actions").is_none());
        let arguments = pod.containers[0].args.clone().unwrap();
        assert!(!arguments.iter().any(|one| one.starts_with("--pods")));
    }

    #[test]
    fn with_it_the_server_may_make_pods_and_nothing_else() {
        let (made, pod) = pod(
            json!({"imageActions": {"memory": "2Gi", "pullSecret": "registry", "idleSeconds": 30}}),
        );
        assert_eq!(pod.service_account_name.as_deref(), Some("w-image-actions"));
        assert_eq!(pod.automount_service_account_token, Some(true));
        assert_eq!(pod.termination_grace_period_seconds, Some(GRACE_SECONDS));
        let arguments = pod.containers[0].args.clone().unwrap();
        for argument in [
            "--pods=w",
            "--pods-memory-mb=2048",
            "--pods-api-host=http://w.ns.svc:3233",
            "--pods-pull-secret=registry",
            "--idle-seconds=30",
        ] {
            assert!(arguments.iter().any(|one| one == argument), "{arguments:?}");
        }
        let role: Role = made.get("w-image-actions").unwrap();
        let rules = serde_json::to_value(role.rules).unwrap();
        assert_eq!(
            rules,
            json!([
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get", "list"]},
                {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            ])
        );
    }
}
