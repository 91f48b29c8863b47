//! The objects of an embedded OpenWhisk. Pure.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, PodTemplateSpec, Secret, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ApiResource, ObjectMeta};

use super::validate::{AUTH_KEY, ValidatedWhisk};
use super::{API_PORT, apache, binding_name, image_actions};
use crate::job::METRICS_PORT;
use crate::pods;
use crate::reconcile::{Error, Owner, Prepared, Resources, fingerprint, storage};

/// The component's name in labels.
pub const COMPONENT: &str = "openwhisk";
/// Name of the volume claim template.
pub const VOLUME: &str = "data";
const DATA: &str = "/data";
const AUTH: &str = "/auth";
/// The volume of all actions' children. A pod whose volume is over its size is evicted.
const RUN_VOLUME: &str = "512Mi";
/// What children may take of it. The rest is for what they write between two looks at it.
const RUN_MEBIBYTES: u64 = 384;
/// The volume with the token by which runs are told, and its file.
const AUDIT: &str = "audit";
const AUDIT_DIR: &str = "/etc/millrace-audit";

/// Every kind that [`build`] makes.
fn embedded_kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
    ]
}

/// Every kind that any mode makes: what another mode has made is looked for among them, and removed.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    let mut all = embedded_kinds();
    all.extend(apache::kinds());
    all
}

/// Name of the Secret with the credentials.
#[must_use]
pub fn auth_name(openwhisk: &str) -> String {
    format!("{openwhisk}-auth")
}

/// Address of the REST API inside Kubernetes.
#[must_use]
pub fn uri(whisk: &ValidatedWhisk) -> String {
    format!("http://{}:{API_PORT}", host(whisk))
}

fn host(whisk: &ValidatedWhisk) -> String {
    format!("{}.{}.svc", whisk.owner.name, whisk.owner.namespace)
}

/// All objects of an OpenWhisk.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn build(whisk: &ValidatedWhisk) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    if whisk.makes_auth {
        resources.add(&auth(&whisk.owner, &whisk.auth))?;
    }
    resources.add(&binding(
        &whisk.owner,
        &whisk.namespace,
        &whisk.auth,
        &host(whisk),
    ))?;
    resources.add(&service(whisk))?;
    image_actions::add(whisk, &mut resources)?;
    resources.add(&stateful_set(whisk)?)?;
    Ok(resources)
}

/// The embedded server of an OpenWhisk that has gone over to another mode: without a pod, it keeps its volume for the way back.
///
/// # Errors
/// Overrides are not in the form of a pod template.
pub(super) fn asleep(mut whisk: ValidatedWhisk) -> Result<StatefulSet, Error> {
    whisk.operation.stopped = true;
    stateful_set(&whisk)
}

/// The Secret with the credentials, which all modes share.
pub(super) fn auth(owner: &Owner, auth: &str) -> Secret {
    Secret {
        metadata: owner.meta(auth_name(&owner.name), COMPONENT),
        type_: Some("Opaque".into()),
        data: Some(pods::secret_data([(AUTH_KEY, auth.to_owned())])),
        ..Secret::default()
    }
}

/// The connection details, which say the same in all modes.
pub(super) fn binding(owner: &Owner, namespace: &str, auth: &str, host: &str) -> Secret {
    let (username, password) = auth.split_once(':').unwrap_or_default();
    Secret {
        metadata: owner.meta(binding_name(&owner.name), COMPONENT),
        type_: Some("servicebinding.io/openwhisk".into()),
        data: Some(pods::secret_data([
            ("type", "openwhisk".to_owned()),
            ("provider", "millrace".to_owned()),
            ("host", host.to_owned()),
            ("port", API_PORT.to_string()),
            ("uri", format!("http://{host}:{API_PORT}")),
            ("username", username.to_owned()),
            ("password", password.to_owned()),
            ("namespace", namespace.to_owned()),
        ])),
        ..Secret::default()
    }
}

fn service(whisk: &ValidatedWhisk) -> Service {
    Service {
        metadata: whisk.owner.meta(whisk.owner.name.clone(), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(whisk.owner.selector(COMPONENT)),
            ports: Some(vec![ServicePort {
                name: Some("api".into()),
                port: API_PORT,
                target_port: Some(IntOrString::String("api".into())),
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn stateful_set(whisk: &ValidatedWhisk) -> Result<StatefulSet, Error> {
    let name = &whisk.owner.name;
    let mut arguments = vec![
        "serve".to_owned(),
        format!("--listen=0.0.0.0:{API_PORT}"),
        format!("--data={DATA}"),
        format!("--auth-file={AUTH}/{AUTH_KEY}"),
        format!("--metrics=0.0.0.0:{METRICS_PORT}"),
        format!("--namespace={}", whisk.namespace),
        format!("--max-memory-mb={}", whisk.action_mebibytes),
        format!("--keep-mb={}", whisk.record_mebibytes),
        // Off the data volume: what actions write must not fill it.
        "--run-dir=/tmp/run".to_owned(),
        format!("--run-mb={RUN_MEBIBYTES}"),
        "--log-format=json".to_owned(),
    ];
    let mut volumes = vec![pods::secret_volume("auth", &auth_name(name))];
    let mut mounts = vec![
        pods::mount(VOLUME, DATA),
        pods::read_only_mount("auth", AUTH),
    ];
    if let Some(audit) = &whisk.audit {
        arguments.push(format!("--audit-gateway={}", audit.gateway_url));
        arguments.push(format!("--audit-token-file={AUDIT_DIR}/token"));
        let token = &audit.token_secret_ref;
        // Actions run without it; what ran waits until the token is there.
        let keys = [(token.key.as_str(), "token")];
        volumes.push(pods::secret_keys(AUDIT, &token.name, &keys, true));
        mounts.push(pods::read_only_mount(AUDIT, AUDIT_DIR));
    }
    let port = |name: &str, port| ContainerPort {
        name: Some(name.into()),
        container_port: port,
        ..ContainerPort::default()
    };
    let mut container = Container {
        name: "openwhisk".into(),
        image: Some(whisk.image.clone()),
        args: Some(arguments),
        env: Some(vec![pods::env("MILLRACE_LOG_FORMAT", "json")]),
        ports: Some(vec![port("api", API_PORT), port("metrics", METRICS_PORT)]),
        resources: Some(pods::resources(Some(&whisk.resources), "512Mi", "50m")),
        readiness_probe: Some(pods::http_probe("/readyz", API_PORT, 2, 3)),
        liveness_probe: Some(pods::http_probe("/healthz", API_PORT, 10, 6)),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    image_actions::tell(whisk, &mut container);
    let mut pod = pods::pod(container, volumes, 30);
    pods::limit_tmp(&mut pod, RUN_VOLUME);
    image_actions::let_make(whisk, &mut pod);
    let template = match &whisk.live_template {
        Some(live) => live.clone(),
        None => storage::template(&whisk.owner, COMPONENT, VOLUME, &whisk.storage),
    };
    let mut annotations = pods::scraped(METRICS_PORT, "/metrics");
    // New credentials are read at a start only.
    annotations.insert("millrace.dev/config".into(), fingerprint(&whisk.auth));
    let mut pods = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(whisk.owner.labels(COMPONENT)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    whisk.operation.override_pods(&mut pods)?;
    Ok(StatefulSet {
        metadata: whisk.owner.meta(name.clone(), COMPONENT),
        spec: Some(StatefulSetSpec {
            replicas: Some(whisk.operation.replicas(1)),
            service_name: Some(name.clone()),
            selector: LabelSelector {
                match_labels: Some(whisk.owner.selector(COMPONENT)),
                ..LabelSelector::default()
            },
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            template: pods,
            persistent_volume_claim_retention_policy: Some(whisk.deletion_policy.of_claims()),
            volume_claim_templates: Some(vec![template]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{live, valid};
    use super::*;
    use crate::reconcile::secrets::Found;
    use k8s_openapi::ByteString;
    use serde_json::json;

    #[test]
    fn the_objects_of_an_openwhisk() {
        let there = Found::Ours([(AUTH_KEY.to_owned(), ByteString(b"uuid:key".to_vec()))].into());
        let whisk = valid(json!({}), live(there)).unwrap();
        insta::assert_snapshot!(build(&whisk).unwrap().to_yaml().unwrap());
    }

    #[test]
    fn runs_are_told_by_a_token_that_is_the_only_key_of_its_secret_that_the_pod_sees() {
        let there = Found::Ours([(AUTH_KEY.to_owned(), ByteString(b"uuid:key".to_vec()))].into());
        let spec = json!({"audit": {"gatewayUrl": "http://g:8080", "tokenSecretRef": {"name": "p-gateway", "key": "activations-token"}}});
        let whisk = valid(spec, live(there)).unwrap();
        let set: StatefulSet = build(&whisk).unwrap().get("w").unwrap();
        let pod = set.spec.unwrap().template.spec.unwrap();
        let arguments = pod.containers[0].args.clone().unwrap();
        assert!(arguments.contains(&"--audit-gateway=http://g:8080".to_owned()));
        let volumes = pod.volumes.unwrap();
        let volume = volumes.iter().find(|volume| volume.name == AUDIT).unwrap();
        let items = volume.secret.as_ref().unwrap().items.as_ref().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(
            (items[0].key.as_str(), items[0].path.as_str()),
            ("activations-token", "token")
        );
    }
}
