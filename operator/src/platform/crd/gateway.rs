//! The gateway of a Platform, and how it is exposed.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::crd::JobService;
use crate::types::{FreeForm, PodResources, free_form};

/// The way in for vehicles, and the way back.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.service) || !has(self.service.nodePorts) || has(self.tls) || !(has(self.service.nodePorts.https) || has(self.service.nodePorts.mqtts))")
        .message("spec.gateway.service.nodePorts: https or mqtts given without a certificate: nothing listens there; set spec.gateway.tls or remove the port"),
    validation = Rule::new("!has(self.service) || !has(self.service.nodePorts) || !has(self.tls) || !has(self.tls.only) || !self.tls.only || !(has(self.service.nodePorts.http) || has(self.service.nodePorts.mqtt))")
        .message("spec.gateway.service.nodePorts: http or mqtt given, and spec.gateway.tls.only closes these ports: remove them, or set tls.only to false"),
    validation = Rule::new("!has(self.ingress) || !has(self.ingress.backend) || self.ingress.backend != 'https' || has(self.tls)")
        .message("spec.gateway.ingress.backend: https without spec.gateway.tls: the gateway has no certificate; set spec.gateway.tls or backend to http"),
)]
pub struct PlatformGateway {
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// How many pods run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: Option<i32>,
    /// How vehicles reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<JobService>,
    /// Its certificate: with it there are HTTPS (Service port 443) and MQTT over TLS (8883).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
    /// An Ingress in front of its HTTP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// Routes of the Gateway API to its HTTP and MQTT ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApi>,
    /// Memory and CPU of one pod. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// The gateway's own configuration, put over what the platform sets.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub config: FreeForm,
}

/// The certificate of the gateway: an own one, or one that cert-manager keeps.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretName) || has(self.certManager)")
        .message("spec.gateway.tls: empty: there is no certificate; set tls.secretName or tls.certManager"),
    validation = Rule::new("!(has(self.secretName) && has(self.certManager))")
        .message("spec.gateway.tls.certManager: given beside tls.secretName: the certificate comes from one place; remove one of the two"),
)]
pub struct GatewayTls {
    /// A Secret of type `kubernetes.io/tls` in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub secret_name: Option<String>,
    /// Ask cert-manager for a certificate. It comes in the Secret `NAME-gateway-tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManager>,
    /// Close the plain ports 8080 and 1883 of the Service. Inside Kubernetes plain HTTP stays at the Service
    /// `NAME-gateway-internal`, which is always there, for the actions, an Ingress and an HTTPRoute.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub only: bool,
}

/// A certificate that cert-manager keeps.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertManager {
    /// Who signs it.
    pub issuer_ref: IssuerRef,
    /// Names that vehicles reach the gateway by.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = crate::names::hosts())]
    pub dns_names: Vec<String>,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub name: String,
    /// Its kind: `Issuer` in the same namespace, or `ClusterIssuer`.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = crate::names::kind())]
    pub kind: String,
}

fn issuer() -> String {
    "Issuer".into()
}

/// An Ingress in front of the gateway's HTTP port.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The name that it is reached by.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::host())]
    pub host: String,
    /// The IngressClass; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub class_name: Option<String>,
    /// A Secret of type `kubernetes.io/tls` with which the Ingress ends TLS. Without one it serves plain HTTP, or passes
    /// TLS through where `backend` is `https` and `annotations` tell the controller to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub tls_secret_name: Option<String>,
    /// Which port of the gateway it leads to.
    #[serde(default)]
    pub backend: HttpBackend,
    /// Annotations for the controller of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::types::kubernetes_annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// A port of the gateway for HTTP.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum HttpBackend {
    /// Plain HTTP: TLS, if any, ends before the gateway.
    #[default]
    Http,
    /// HTTPS, with the gateway's own certificate.
    Https,
}

/// Routes of the Gateway API.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// Gateways, or listeners of them, that the HTTPRoute attaches to.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub parent_refs: Vec<ParentRef>,
    /// Gateways, or listeners of them, for MQTT: a TLSRoute to port 8883 where the gateway has a certificate and
    /// `hostnames` are given, else a TCPRoute. No route for MQTT when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub mqtt_parent_refs: Vec<ParentRef>,
    /// Names that the routes are for; all that reach the listener when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = crate::names::hosts())]
    pub hostnames: Vec<String>,
}

/// A Gateway of the Gateway API, or a listener of it.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub name: String,
    /// Its namespace; that of the Platform when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = crate::names::namespace())]
    pub namespace: Option<String>,
    /// Name of the listener; all that fit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub section_name: Option<String>,
}
