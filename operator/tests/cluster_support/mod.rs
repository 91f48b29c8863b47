//! What tests on real nodes share: `millrace` as its users call it, and a way into pods that no policy opens to this machine.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use millrace_testkit::Platform;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;

/// What `millrace` writes in a namespace, or what it complains of.
pub fn millrace(
    platform: &Platform,
    namespace: &str,
    arguments: &[&str],
) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["--kubeconfig".as_ref(), platform.kubeconfig().as_os_str()])
        .args(["--namespace", namespace])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// Makes the namespace of a test that brings a platform of its own.
pub fn make_namespace(platform: &Platform) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": platform.namespace,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    platform.apply(&namespace.to_string()).unwrap();
}

/// Removes it, as the user does, with all that a run may have left. Nothing of it stays.
pub fn remove_namespace(platform: &Platform) {
    let arguments = [
        "delete",
        "namespace",
        platform.namespace.as_str(),
        "--ignore-not-found",
        "--timeout=600s",
    ];
    platform.kubectl(&arguments).unwrap();
}

/// What `kubectl get` says, as JSON; nothing where there is nothing.
pub fn get(platform: &Platform, arguments: &[&str]) -> Value {
    let mut all = vec!["get", "-o", "json"];
    all.extend(arguments);
    let text = platform.kubectl(&all).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Waits until `look` gives something.
pub fn wait<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    panic!("{what} did not come within {} s", limit.as_secs());
}

/// The status of a condition; empty where it is not told.
pub fn condition<'a>(object: &'a Value, type_: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == type_)
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or_default()
}

/// A client of the Kubernetes that the platform is on.
pub async fn client(platform: &Platform) -> Client {
    client_by(platform.kubeconfig()).await
}

/// A client of the Kubernetes that a kubeconfig leads to.
pub async fn client_by(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

/// Serves a port on loopback whose connections go to a port of a pod, by way of the kubelet. It ends with the runtime.
pub async fn forward(pods: Api<Pod>, pod: String, port: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let (pods, pod) = (pods.clone(), pod.clone());
            tokio::spawn(async move {
                // Where the pod is away, the connection ends without an answer.
                let Ok(mut forwarded) = pods.portforward(&pod, &[port]).await else {
                    return;
                };
                if let Some(mut there) = forwarded.take_stream(port) {
                    let _ = copy_bidirectional(&mut here, &mut there).await;
                }
            });
        }
    });
    address
}
