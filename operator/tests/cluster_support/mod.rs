//! What tests on real nodes share: `millrace` as its users call it, and a way into pods that no policy opens to this machine.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use millrace_testkit::Platform;
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

/// A client of the Kubernetes that the platform is on.
pub async fn client(platform: &Platform) -> Client {
    let kubeconfig = Kubeconfig::read_from(platform.kubeconfig()).unwrap();
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
                let mut forwarded = pods.portforward(&pod, &[port]).await.unwrap();
                let mut there = forwarded.take_stream(port).unwrap();
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    address
}
