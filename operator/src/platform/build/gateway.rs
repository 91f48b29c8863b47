//! The gateway of a platform: its keys, its job, its certificate and how it is exposed. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use kube::api::{ApiResource, ObjectMeta};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::kafka::kafka_binding;
use super::warnings::vehicle_groups;
use super::{COMPONENT, meta, part};
use crate::job::crd::{Job, JobTls, StreamJob, StreamJobSpec};
use crate::job::{HTTP_PORT, HTTPS_SERVICE_PORT, MQTT_PORT, MQTTS_PORT, internal_name};
use crate::platform::crd::{
    CertManager, GatewayApi, HttpBackend, Ingress as IngressWanted, ParentRef, PlatformGateway,
};
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::reconcile::{Error, Prepared, Resources};
use crate::types::FreeForm;

/// An API that a platform uses when it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its group.
    pub group: &'static str,
    /// The versions that this operator writes, the best first. A cluster need not serve them all.
    pub versions: &'static [&'static str],
    /// The kind.
    pub kind: &'static str,
    /// The kind's plural.
    pub plural: &'static str,
    /// Who brings it.
    pub from: &'static str,
}

/// A certificate that cert-manager keeps.
pub const CERTIFICATE: Api = Api {
    group: "cert-manager.io",
    versions: &["v1"],
    kind: "Certificate",
    plural: "certificates",
    from: "install cert-manager, or set spec.gateway.tls.secretName",
};
/// A route for HTTP.
pub const HTTP_ROUTE: Api = route(&["v1"], "HTTPRoute", "httproutes");
/// A route for TLS that is passed through. The standard channel of the Gateway API serves v1 alone since 1.5; before it
/// was v1alpha2, in the experimental channel.
pub const TLS_ROUTE: Api = route(&["v1", "v1alpha2"], "TLSRoute", "tlsroutes");
/// A route for any bytes. The standard channel serves v1 alone since 1.6; before it was v1alpha2, as [`TLS_ROUTE`].
pub const TCP_ROUTE: Api = route(&["v1", "v1alpha2"], "TCPRoute", "tcproutes");
/// All of them.
pub const APIS: [Api; 4] = [CERTIFICATE, HTTP_ROUTE, TLS_ROUTE, TCP_ROUTE];

/// An API that this cluster serves, in the version to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which API.
    pub api: Api,
    /// The best of its versions that is served.
    pub version: &'static str,
}

const fn route(
    versions: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
) -> Api {
    Api {
        group: "gateway.networking.k8s.io",
        versions,
        kind,
        plural,
        from: "install that part of the Gateway API, or use spec.gateway.service or spec.gateway.ingress instead",
    }
}

impl Api {
    /// How the client names it in one of its versions.
    #[must_use]
    pub fn resource(self, version: &str) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }
}

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
            job: Job::Gateway,
            image: gateway.image.clone(),
            replicas: gateway.replicas.unwrap_or(platform.sizes.gateway_replicas),
            bindings: vec![kafka_binding(platform), part(platform, "gateway")],
            config,
            files: Vec::new(),
            tls: tls_secret(platform, gateway).map(|secret_name| JobTls {
                secret_name,
                only: only_tls(gateway),
            }),
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

/// Adds what exposes the gateway, as far as this cluster has the APIs for it.
///
/// # Errors
/// An object cannot be written as JSON.
pub(super) fn expose(
    platform: &ValidatedPlatform,
    gateway: &PlatformGateway,
    resources: &mut Resources<Prepared>,
) -> Result<(), Error> {
    if let Some(wanted) = &gateway.ingress {
        resources.add(&ingress(platform, gateway, wanted))?;
    }
    for (api, name, spec) in dynamic(platform, gateway) {
        if let Some(served) = platform.served(api) {
            resources.add_dynamic(api.resource(served.version), &meta(platform, name), spec);
        }
    }
    Ok(())
}

/// The kinds that the gateway needs of others, in the order of the spec.
pub fn needs(gateway: &PlatformGateway) -> Vec<(&'static str, Api)> {
    let mut needs = Vec::new();
    if gateway
        .tls
        .as_ref()
        .is_some_and(|tls| tls.cert_manager.is_some())
    {
        needs.push(("spec.gateway.tls.certManager", CERTIFICATE));
    }
    if let Some(api) = &gateway.gateway_api {
        needs.push(("spec.gateway.gatewayApi", HTTP_ROUTE));
        if !api.mqtt_parent_refs.is_empty() {
            needs.push((
                "spec.gateway.gatewayApi.mqttParentRefs",
                mqtt_route(gateway, api),
            ));
        }
    }
    needs
}

fn mqtt_route(gateway: &PlatformGateway, api: &GatewayApi) -> Api {
    // Only the name in the TLS handshake can tell hosts apart, and without names there is nothing to tell.
    if gateway.tls.is_some() && !api.hostnames.is_empty() {
        TLS_ROUTE
    } else {
        TCP_ROUTE
    }
}

fn dynamic(
    platform: &ValidatedPlatform,
    gateway: &PlatformGateway,
) -> Vec<(Api, &'static str, Value)> {
    let mut objects = Vec::new();
    if let Some(wanted) = gateway
        .tls
        .as_ref()
        .and_then(|tls| tls.cert_manager.as_ref())
    {
        objects.push((
            CERTIFICATE,
            "gateway",
            certificate(platform, gateway, wanted),
        ));
    }
    if let Some(api) = &gateway.gateway_api {
        let backend = json!([{"name": plain_service(platform), "port": HTTP_PORT}]);
        let mut http = json!({
            "parentRefs": parents(&api.parent_refs),
            "rules": [{"backendRefs": backend}],
        });
        hostnames(&mut http, api);
        objects.push((HTTP_ROUTE, "gateway", http));
        if !api.mqtt_parent_refs.is_empty() {
            let port = if gateway.tls.is_some() {
                MQTTS_PORT
            } else {
                MQTT_PORT
            };
            let backend = json!([{"name": part(platform, "gateway"), "port": port}]);
            let mut mqtt = json!({
                "parentRefs": parents(&api.mqtt_parent_refs),
                "rules": [{"backendRefs": backend}],
            });
            let kind = mqtt_route(gateway, api);
            if kind == TLS_ROUTE {
                hostnames(&mut mqtt, api);
            }
            objects.push((kind, "gateway-mqtt", mqtt));
        }
    }
    objects
}

fn hostnames(route: &mut Value, api: &GatewayApi) {
    if !api.hostnames.is_empty() {
        route["hostnames"] = json!(api.hostnames);
    }
}

fn parents(refs: &[ParentRef]) -> Value {
    json!(refs)
}

fn certificate(
    platform: &ValidatedPlatform,
    gateway: &PlatformGateway,
    wanted: &CertManager,
) -> Value {
    json!({
        "secretName": tls_secret(platform, gateway),
        "dnsNames": wanted.dns_names,
        "issuerRef": {"group": CERTIFICATE.group, "kind": wanted.issuer_ref.kind, "name": wanted.issuer_ref.name},
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
    })
}

fn ingress(
    platform: &ValidatedPlatform,
    gateway: &PlatformGateway,
    wanted: &IngressWanted,
) -> Ingress {
    let (service, port) = match wanted.backend {
        HttpBackend::Http => (plain_service(platform), HTTP_PORT),
        HttpBackend::Https => (part(platform, "gateway"), HTTPS_SERVICE_PORT),
    };
    let mut metadata = meta(platform, "gateway");
    metadata.annotations = (!wanted.annotations.is_empty()).then(|| wanted.annotations.clone());
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: wanted.class_name.clone(),
            tls: wanted.tls_secret_name.as_ref().map(|secret| {
                vec![IngressTLS {
                    hosts: Some(vec![wanted.host.clone()]),
                    secret_name: Some(secret.clone()),
                }]
            }),
            rules: Some(vec![IngressRule {
                host: Some(wanted.host.clone()),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath {
                        path: Some("/".into()),
                        path_type: "Prefix".into(),
                        backend: IngressBackend {
                            service: Some(IngressServiceBackend {
                                name: service,
                                port: Some(ServiceBackendPort {
                                    number: Some(port),
                                    name: None,
                                }),
                            }),
                            resource: None,
                        },
                    }],
                }),
            }]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    }
}
