//! A way for a Prometheus on this machine to the metrics of pods: as `kubectl port-forward` does, through a proxy of HTTP.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

/// Answers requests of Prometheus for the metrics of pods, by their addresses. Gives the port on loopback.
pub async fn proxy(client: Client) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let client = client.clone();
            tokio::spawn(async move {
                // Without an answer Prometheus says that the target is down, and the test which.
                if let Err(error) = pass_on(stream, client).await {
                    eprintln!("proxy: {error:#}");
                }
            });
        }
    });
    port
}

async fn pass_on(mut stream: TcpStream, client: Client) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        anyhow::ensure!(head.len() < 16 * 1024, "no end of the request's head");
    }
    let head = String::from_utf8(head)?;
    let parts: Vec<&str> = head.split(' ').take(2).collect();
    let place = parts.get(1).and_then(|url| url.strip_prefix("http://"));
    let (place, path) = place
        .and_then(|place| place.split_once('/'))
        .ok_or_else(|| anyhow::anyhow!("{parts:?}: no address of HTTP"))?;
    let (address, port) = place
        .rsplit_once(':')
        .ok_or_else(|| anyhow::anyhow!("{place}: no port"))?;
    let port: u16 = port.parse()?;
    let of_address = ListParams::default().fields(&format!("status.podIP={address}"));
    let pods = Api::<Pod>::all(client.clone()).list(&of_address).await?;
    let pod = pods.items.first();
    let pod = pod.ok_or_else(|| anyhow::anyhow!("{address}: no pod"))?;
    let api: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    let mut forwarding = api.portforward(&pod.name_any(), &[port]).await?;
    let mut inside = forwarding
        .take_stream(port)
        .ok_or_else(|| anyhow::anyhow!("{}: no stream", pod.name_any()))?;
    let accept = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("accept:"));
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {place}\r\n{}\r\nConnection: close\r\n\r\n",
        accept.unwrap_or("Accept: */*")
    );
    inside.write_all(request.as_bytes()).await?;
    copy(&mut inside, &mut stream).await?;
    Ok(())
}
