//! The certificate of a gateway, and the address of its Service.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams};
use millrace_operator::controller;
use millrace_operator::job::Jobs;
use millrace_operator::job::crd::StreamJob;
use serde_json::{Value, json};

use crate::support::{Scene, eventually};

async fn put(scene: &Scene, data: Value) {
    // Not as stringData, of which an apply takes nothing back.
    let data: BTreeMap<String, String> = serde_json::from_value(data).unwrap();
    let data: BTreeMap<String, ByteString> = data
        .into_iter()
        .map(|(key, text)| (key, ByteString(text.into_bytes())))
        .collect();
    let body =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert"}, "data": data});
    scene
        .api::<Secret>()
        .patch(
            "cert",
            &PatchParams::apply("user").force(),
            &Patch::Apply(&body),
        )
        .await
        .unwrap();
}

pub async fn a_certificate_opens_ports_and_can_close_the_plain_ones(scene: &Scene) {
    let spec = |only: bool| json!({"job": "gateway", "tls": {"secretName": "cert", "only": only}});
    assert!(!scene.make::<Jobs>("j", spec(false)).await);
    let (_, reason, message) = scene.condition::<StreamJob>("j", "Available").await;
    assert_eq!(reason, "BindingMissing");
    assert!(
        message.starts_with("spec.tls.secretName: cert: "),
        "{message}"
    );
    put(scene, json!({"tls.crt": "c", "tls.key": "k"})).await;
    assert!(scene.look::<Jobs>("j").await);
    let ports = |service: Service| -> Vec<i32> {
        let ports = service.spec.unwrap().ports.unwrap();
        ports.iter().map(|port| port.port).collect()
    };
    let service = scene.api::<Service>().get("j").await.unwrap();
    assert_eq!(ports(service), [8080, 1883, 443, 8883]);
    assert!(scene.make::<Jobs>("j", spec(true)).await);
    assert_eq!(
        ports(scene.api::<Service>().get("j").await.unwrap()),
        [443, 8883]
    );
    assert_eq!(
        ports(scene.api::<Service>().get("j-internal").await.unwrap()),
        [8080]
    );
    // What actions speak to is there before and after, also while the certificate is missing.
    scene
        .api::<Service>()
        .delete("j-internal", &DeleteParams::default())
        .await
        .unwrap();
    scene
        .api::<Secret>()
        .delete("cert", &DeleteParams::default())
        .await
        .unwrap();
    assert!(!scene.look::<Jobs>("j").await);
    assert!(scene.exists::<Service>("j-internal").await);
    assert_eq!(
        ports(scene.api::<Service>().get("j").await.unwrap()),
        [443, 8883]
    );
}

pub async fn half_a_certificate_is_none(scene: &Scene) {
    let spec = json!({"job": "gateway", "tls": {"secretName": "cert"}});
    for (data, says) in [
        (json!({}), "no key tls.crt"),
        (json!({"tls.crt": "c"}), "no key tls.key"),
        (
            json!({"tls.crt": "c", "tls.key": ""}),
            "key tls.key is empty",
        ),
    ] {
        put(scene, data).await;
        assert!(!scene.make::<Jobs>("j", spec.clone()).await);
        let (_, reason, message) = scene.condition::<StreamJob>("j", "Available").await;
        assert_eq!(reason, "CertificateIncomplete");
        assert!(
            message.starts_with("spec.tls.secretName: cert: ") && message.contains(says),
            "{message}"
        );
    }
    assert!(!scene.exists::<Deployment>("j").await);
}

pub async fn a_certificate_is_seen_at_once(scene: &Scene) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(controller::run::<Jobs>(scene.context.clone(), stopped));
    let spec = json!({"job": "gateway", "tls": {"secretName": "cert"}});
    scene.apply("StreamJob", "j", spec).await.unwrap();
    let reason = async |wanted: &str| {
        eventually(wanted, || async {
            let status = scene.api::<StreamJob>().get("j").await.unwrap().status?;
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "Degraded" && c.reason == wanted)
                .then_some(())
        })
        .await;
    };
    // Each within less than the 30 s after which it is looked for without being told.
    reason("BindingMissing").await;
    put(scene, json!({"tls.crt": "c"})).await;
    reason("CertificateIncomplete").await;
    put(scene, json!({"tls.crt": "c", "tls.key": "k"})).await;
    reason("AsExpected").await;
    assert!(scene.exists::<Deployment>("j").await);
    put(scene, json!({"tls.crt": "c"})).await;
    reason("CertificateIncomplete").await;
    stop.send(true).unwrap();
    running.await.unwrap();
}

pub async fn a_load_balancer_without_an_address_is_told(scene: &Scene) {
    let spec = json!({"job": "gateway", "service": {"type": "LoadBalancer"}});
    assert!(scene.make::<Jobs>("j", spec).await);
    let ready =
        json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1});
    scene.set_status::<Deployment>("j", ready).await;
    assert!(scene.look::<Jobs>("j").await);
    let (status, reason, message) = scene.condition::<StreamJob>("j", "Progressing").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NoAddress"));
    assert!(
        message.contains("the Service j has no address"),
        "{message}"
    );
    let (status, _, message) = scene.condition::<StreamJob>("j", "Available").await;
    assert!(
        status == "True" && message.contains("has no address"),
        "{message}"
    );
    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    scene.set_status::<Service>("j", address).await;
    assert!(scene.look::<Jobs>("j").await);
    assert_eq!(
        scene.condition::<StreamJob>("j", "Progressing").await.1,
        "Settled"
    );
    assert_eq!(
        scene.condition::<StreamJob>("j", "Available").await.2,
        "1 of 1 pods ready"
    );
}
