//! What exposes the gateway of a platform: Ingress, routes and certificate, in the APIs of others. Pure.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::gateway::{plain_service, tls_secret};
use super::{meta, part};
use crate::job::{HTTP_PORT, HTTPS_SERVICE_PORT, MQTT_PORT, MQTTS_PORT};
use crate::platform::crd::{
    CertManager, GatewayApi, HttpBackend, Ingress as IngressWanted, ParentRef, PlatformGateway,
};
use crate::platform::validate::ValidatedPlatform;
use crate::reconcile::{Error, Prepared, Resources};

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

const fn route(versions: &'static [&'static str], kind: &'static str, plural: &'static str) -> Api {
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

/// Everything that exposes the gateway, as far as this cluster has the APIs for it. Apart from all else, for others may
/// refuse it: who admits Ingresses, and whoever has the name already.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn exposure(platform: &ValidatedPlatform) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    let Some(gateway) = &platform.gateway else {
        return Ok(resources);
    };
    if let Some(wanted) = &gateway.ingress {
        resources.add(&ingress(platform, wanted))?;
    }
    for (api, name, spec) in dynamic(platform, gateway) {
        if let Some(served) = platform.served(api) {
            resources.add_dynamic(api.resource(served.version), &meta(platform, name), spec);
        }
    }
    Ok(resources)
}

/// Kinds of others that expose the gateway, in every version that may be served.
#[must_use]
pub fn exposing_kinds() -> Vec<ApiResource> {
    let ingress = ApiResource::erase::<Ingress>(&());
    std::iter::once(ingress)
        .chain(APIS.into_iter().flat_map(|api| {
            let versions = api.versions.iter();
            versions.map(move |version| api.resource(version))
        }))
        .collect()
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

fn ingress(platform: &ValidatedPlatform, wanted: &IngressWanted) -> Ingress {
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

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::{Live, validate};
    use super::*;

    /// All APIs, in the newest version or in the oldest.
    fn all(newest: bool) -> Vec<Served> {
        let version = |api: &Api| match newest {
            true => api.versions[0],
            false => api.versions[api.versions.len() - 1],
        };
        APIS.iter()
            .map(|api| Served {
                api: *api,
                version: version(api),
            })
            .collect()
    }

    fn built(gateway: Value, apis: &[Served]) -> Resources<Prepared> {
        let spec = json!({"kafka": {}, "gateway": gateway});
        let read = Live {
            apis: apis.to_vec(),
            ..live(None)
        };
        exposure(&validate(&platform(spec), read).unwrap()).unwrap()
    }

    #[test]
    fn the_gateway_is_exposed_as_far_as_there_are_apis() {
        let gateway = json!({
            "tls": {"certManager": {"issuerRef": {"name": "ca"}, "dnsNames": ["cars.example.org"]}, "only": true},
            "ingress": {"host": "cars.example.org", "className": "nginx", "tlsSecretName": "web", "annotations": {"a/b": "c"}},
            "gatewayApi": {"parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "web"}],
                "mqttParentRefs": [{"name": "edge", "sectionName": "mqtt"}], "hostnames": ["cars.example.org"]}});
        insta::assert_snapshot!(built(gateway.clone(), &all(true)).to_yaml().unwrap());
        let none = built(gateway, &[]).to_yaml().unwrap();
        assert!(!none.contains("Route") && !none.contains("kind: Certificate"));
        assert!(none.contains("kind: Ingress\n"));
    }

    #[test]
    fn without_a_certificate_mqtt_is_routed_as_bytes() {
        let gateway = json!({"gatewayApi": {"parentRefs": [{"name": "edge"}], "mqttParentRefs": [{"name": "edge"}],
            "hostnames": ["cars.example.org"]}});
        let yaml = built(gateway, &all(false)).to_yaml().unwrap();
        assert!(yaml.contains("kind: TCPRoute\n") && !yaml.contains("kind: TLSRoute\n"));
        assert!(yaml.contains("port: 1883\n"));
    }
}
