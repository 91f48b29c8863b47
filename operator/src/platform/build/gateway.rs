//! The gateway of a platform: its keys, its job and its certificate. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use serde_json::json;

use super::ingest;
use super::kafka::kafka_binding;
use super::users::User;
use super::warnings::vehicle_groups;
use super::{COMPONENT, meta, part};
use crate::job::crd::{Job, JobTls, StreamJob, StreamJobSpec};
use crate::job::{HTTP_PORT, internal_name};
use crate::platform::crd::PlatformGateway;
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::types::{FreeForm, Operation};

/// Name of the Secret with the gateway's keys.
#[must_use]
pub fn gateway_secret_name(platform: &str) -> String {
    format!("{platform}-gateway")
}

/// The Secret with the gateway's keys, when it has to be made.
///
/// It has no owner: volumes outlive the platform, and without the keys nobody could tell which hire a pseudonym in
/// their topics meant, or open a sealed dead letter. So it is created, and what is in it is never changed or removed; a platform
/// that is made anew finds and uses it.
#[must_use]
pub fn gateway_secret(platform: &ValidatedPlatform) -> Option<Secret> {
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(gateway_secret_name(&platform.owner.name)),
            namespace: Some(platform.owner.namespace.clone()),
            labels: Some(platform.owner.labels(COMPONENT)),
            ..ObjectMeta::default()
        },
        type_: Some("servicebinding.io/millrace-gateway".into()),
        data: Some(platform.gateway_secret.clone()?),
        ..Secret::default()
    })
}

/// What an older Secret of ours lacks: it is added, and nothing else in it is touched.
#[must_use]
pub fn gateway_secret_additions(
    platform: &ValidatedPlatform,
) -> Option<&BTreeMap<String, ByteString>> {
    let additions = &platform.gateway_additions;
    (!additions.is_empty()).then_some(additions)
}

/// Name of the Secret with the gateway's certificate, when it has one.
#[must_use]
pub fn tls_secret(platform: &ValidatedPlatform, gateway: &PlatformGateway) -> Option<String> {
    let tls = gateway.tls.as_ref()?;
    match &tls.secret_name {
        Some(name) => Some(name.clone()),
        None => Some(part(platform, "gateway-tls")),
    }
}

fn only_tls(gateway: &PlatformGateway) -> bool {
    gateway.tls.as_ref().is_some_and(|tls| tls.only)
}

/// Name of the Service with the plain port for HTTP inside Kubernetes. It does not depend on `tls.only`, so that nothing
/// ever points to a Service that is gone already or not there yet.
pub(super) fn plain_service(platform: &ValidatedPlatform) -> String {
    internal_name(&part(platform, "gateway"))
}

/// Where the gateway speaks plain HTTP inside Kubernetes.
#[must_use]
pub fn gateway_url(platform: &ValidatedPlatform) -> String {
    let host = plain_service(platform);
    format!("http://{host}.{}.svc:{HTTP_PORT}", platform.owner.namespace)
}

pub(super) fn gateway_job(platform: &ValidatedPlatform, gateway: &PlatformGateway) -> StreamJob {
    let mut config = FreeForm::new();
    if let Some(warnings) = &platform.warnings {
        config.insert("dispatchGroups".into(), json!(vehicle_groups(warnings)));
    }
    // Put over it, field by field: lists are replaced, as everywhere.
    config.extend(gateway.config.clone());
    StreamJob {
        metadata: meta(platform, "gateway"),
        spec: StreamJobSpec {
            operation: Operation::default(),
            job: Job::Gateway,
            image: gateway.image.clone(),
            replicas: gateway.replicas.unwrap_or(platform.sizes.gateway_replicas),
            bindings: vec![
                kafka_binding(platform, User::Gateway),
                part(platform, "gateway"),
            ],
            config,
            files: ingest::files(platform).into_iter().collect(),
            tls: tls_secret(platform, gateway).map(|secret_name| JobTls {
                secret_name,
                only: only_tls(gateway),
            }),
            lake: None,
            service: Some(gateway.service.clone().unwrap_or_default()),
            resources: Some(or_profile(
                gateway.resources.as_ref(),
                &platform.sizes.gateway,
            )),
            paused: false,
        },
        status: None,
    }
}
