//! The gateway reached from outside through others' software on real nodes: Traefik as Ingress controller and as
//! implementation of the Gateway API, with a certificate that cert-manager keeps.
//!
//! Runs by `cargo xtask soak`, since both are built from source first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_testkit::{Platform, fresh};
use reqwest::header::HOST;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use support::tls::Tunnel;
use support::{Vehicle, event, notification};

const NAME: &str = "cars.example.org";
const INGRESS_NAME: &str = "ingress.example.org";
const PATIENCE: Duration = Duration::from_secs(180);

/// Ports of Traefik on this machine, as long as this lives.
struct Forwarded {
    https: u16,
    mqtts: u16,
    child: Child,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn forwarded(platform: &Platform) -> Forwarded {
    let (https, mqtts) = (free_port(), free_port());
    let child = Command::new(std::env::var("MILLRACE_HYPERKUBE").unwrap())
        .arg("kubectl")
        .arg("--kubeconfig")
        .arg(platform.kubeconfig())
        .args(["-n", "edge", "port-forward", "deployment/traefik"])
        .args([format!("{https}:8443"), format!("{mqtts}:8883")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Forwarded {
        https,
        mqtts,
        child,
    }
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < end, "{what}: {why}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn patch(platform: &Platform, gateway: Value) {
    let patch = json!({"spec": {"gateway": gateway}}).to_string();
    let name = format!("platform/{}", platform.name);
    platform
        .kubectl(&["patch", &name, "--type=merge", "-p", &patch])
        .unwrap();
}

/// The Platform is available, has no trouble, and its exposing parts are ready.
fn settled(platform: &Platform, kinds: &[&str]) -> Result<(), String> {
    let text = platform
        .kubectl(&["get", "platform", &platform.name, "-o", "json"])
        .map_err(|e| e.to_string())?;
    let object: Value = serde_json::from_str(&text).unwrap();
    let status = &object["status"];
    let condition = |kind: &str| {
        let conditions = status["conditions"].as_array();
        let found = conditions.and_then(|all| all.iter().find(|c| c["type"] == kind));
        found.map_or(Value::Null, |c| c["status"].clone())
    };
    let ready = |kind: &&str| {
        let components = status["components"].as_array();
        components.is_some_and(|all| {
            all.iter()
                .any(|c| c["kind"] == **kind && c["ready"] == true)
        })
    };
    let settled = object["metadata"]["generation"] == status["observedGeneration"]
        && condition("Available") == "True"
        && condition("Degraded") == "False"
        && kinds.iter().all(ready);
    if settled {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

/// The certificates of a Secret that cert-manager keeps, once it is there.
fn certificates(
    platform: &Platform,
    namespace: &str,
    secret: &str,
) -> Vec<CertificateDer<'static>> {
    let path = "jsonpath={.data.tls\\.crt}";
    let pem = eventually(secret, || {
        let text = platform
            .kubectl(&["-n", namespace, "get", "secret", secret, "-o", path])
            .map_err(|e| e.to_string())?;
        let pem = STANDARD.decode(text.trim()).unwrap();
        if pem.is_empty() {
            return Err("no certificate yet".to_owned());
        }
        Ok(pem)
    });
    let certificates = CertificateDer::pem_slice_iter(&pem);
    certificates.map(Result::unwrap).collect()
}

/// A request of a vehicle through the tunnel; gives status and body.
async fn post(
    port: u16,
    host: &str,
    path: &str,
    token: &str,
    body: String,
) -> Result<(u16, String), String> {
    let request = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}{path}"))
        .header(HOST, host)
        .bearer_auth(token)
        .body(body);
    let answer = request.send().await.map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.map_err(|e| e.to_string())?))
}

async fn until_taken(tunnel: &Tunnel, host: &str, vehicle: &str, token: &str, sequence: u64) {
    let path = format!("/v1/vehicles/{vehicle}/telemetry");
    let end = Instant::now() + PATIENCE;
    loop {
        let body = event(vehicle, sequence, &json!({})).to_string();
        let answer = post(tunnel.port, host, &path, token, body).await;
        if matches!(&answer, Ok((200, _))) {
            return;
        }
        assert!(Instant::now() < end, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Pods with the new certificate take over one after the other, and Traefik hears of them a moment later.
async fn connected(tunnel: &Tunnel, vehicle: &str, token: &str) -> Vehicle {
    let end = Instant::now() + PATIENCE;
    loop {
        match Vehicle::connect_at(tunnel.port, vehicle, token).await {
            Ok(car) => return car,
            Err(why) => assert!(Instant::now() < end, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "soak"]
async fn vehicles_come_in_through_ingress_and_gateway_api_with_certificates_of_cert_manager() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let controllers = PathBuf::from(std::env::var("MILLRACE_CONTROLLERS").unwrap());
    let crds = controllers.join("crds");
    platform
        .kubectl(&["apply", "--server-side", "-f", crds.to_str().unwrap()])
        .unwrap();
    let edge = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../cluster/controllers/edge.yaml"
    );
    // The API server serves new kinds a moment after their definitions.
    eventually("the edge", || {
        let applied = platform.kubectl(&["-n", "edge", "apply", "-f", edge]);
        applied.map_err(|e| e.to_string())
    });
    for deployment in ["traefik", "cert-manager"] {
        let name = format!("deployment/{deployment}");
        platform
            .kubectl(&["-n", "edge", "rollout", "status", &name, "--timeout=120s"])
            .unwrap();
    }
    let authorities = certificates(&platform, "edge", "authority");
    let admin = std::fs::read_to_string(&platform.admin_token_file).unwrap();
    let vehicle = fresh("edge");
    let enrolled: Value = reqwest::Client::new()
        .put(format!("{}/v1/vehicles/{vehicle}", platform.http))
        .bearer_auth(admin.trim())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = enrolled["token"].as_str().unwrap().to_owned();

    // By the Gateway API: HTTPS ends at Traefik, MQTT over TLS is passed through to the gateway's own certificate.
    let certificate = json!({"certManager": {"issuerRef": {"name": "authority", "kind": "ClusterIssuer"}, "dnsNames": [NAME, INGRESS_NAME]}});
    let parent =
        |section: &str| json!([{"name": "edge", "namespace": "edge", "sectionName": section}]);
    patch(
        &platform,
        json!({"tls": certificate, "gatewayApi": {"parentRefs": parent("https"), "mqttParentRefs": parent("mqtts"), "hostnames": [NAME]}}),
    );
    eventually("the Gateway API", || {
        settled(&platform, &["Certificate", "HTTPRoute", "TLSRoute"])
    });
    let ports = forwarded(&platform);
    let https = Tunnel::to(ports.https, NAME, authorities.clone()).await;
    let mqtts = Tunnel::to(ports.mqtts, NAME, authorities.clone()).await;
    until_taken(&https, NAME, &vehicle, &token, 1).await;
    let mut car = connected(&mqtts, &vehicle, &token).await;
    car.publish(&event(&vehicle, 2, &json!({})).to_string())
        .await;
    car.subscribe().await;
    let told = notification(&format!("{vehicle}-told"), &vehicle, 600);
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/notifications", platform.http))
        .bearer_auth(admin.trim())
        .json(&told)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], told["id"]);
    car.acknowledge(&publish).await;
    assert_ne!(
        https.newest().unwrap(),
        mqtts.newest().unwrap(),
        "HTTPS ends at Traefik, MQTT at the gateway"
    );

    // By an Ingress, which shows the gateway's own certificate.
    let secret = format!("{}-gateway-tls", platform.name);
    patch(
        &platform,
        json!({"gatewayApi": null, "ingress": {"host": INGRESS_NAME, "className": "traefik", "tlsSecretName": secret}}),
    );
    eventually("the Ingress", || settled(&platform, &["Certificate"]));
    let ingress = Tunnel::to(ports.https, INGRESS_NAME, authorities).await;
    until_taken(&ingress, INGRESS_NAME, &vehicle, &token, 3).await;
    let own = certificates(&platform, &platform.namespace, &secret);
    assert_eq!(ingress.newest().as_ref(), own.first());

    patch(&platform, json!({"ingress": null, "tls": null}));
    eventually("as before", || settled(&platform, &[]));
}
