//! The way from this machine to the gateway: ports on loopback and the administrator's token.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::context::Context;
use crate::install::{NAMESPACE, PLATFORM};
use crate::{files, run};

/// How to reach the gateway. Ends its port forwarding with its value.
pub struct Gateway {
    /// `http://127.0.0.1:PORT`
    pub http: String,
    /// `127.0.0.1:PORT`
    pub mqtt: String,
    /// Holds the administrator's token, readable by this user only.
    pub token_file: PathBuf,
    forwarding: Option<Child>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.forwarding {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Opens the way to the gateway of the running platform.
///
/// # Errors
/// The platform is not there, or ports cannot be had.
pub fn gateway(context: &Context, cluster: &Cluster) -> anyhow::Result<Gateway> {
    let (http, mqtt) = (port(context, "http", 18080)?, port(context, "mqtt", 18830)?);
    let service = format!("{PLATFORM}-gateway");
    let json: Value = serde_json::from_str(&run::output(
        cluster
            .kubectl()
            .args(["-n", NAMESPACE, "get", "service", &service, "-o", "json"]),
    )?)?;
    let node = run::output(cluster.kubectl().args([
        "get",
        "nodes",
        "-o",
        "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
    ]))?;
    let node_port = |name: &str| {
        json["spec"]["ports"].as_array().and_then(|ports| {
            ports
                .iter()
                .find(|p| p["name"] == name)
                .and_then(|p| p["nodePort"].as_u64())
        })
    };
    let mut forwarding = None;
    let local = match (node_port("http"), node_port("mqtt")) {
        (Some(h), Some(m)) => {
            cluster.forward(context, http, &format!("{node}:{h}"))?
                && cluster.forward(context, mqtt, &format!("{node}:{m}"))?
        }
        _ => false,
    };
    if !local {
        forwarding = Some(
            cluster
                .kubectl()
                .args([
                    "-n",
                    NAMESPACE,
                    "port-forward",
                    &format!("service/{service}"),
                ])
                .args([format!("{http}:8080"), format!("{mqtt}:1883")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
    }
    let gateway = Gateway {
        http: format!("http://127.0.0.1:{http}"),
        mqtt: format!("127.0.0.1:{mqtt}"),
        token_file: token(context, cluster)?,
        forwarding,
    };
    wait_for(http)?;
    Ok(gateway)
}

fn token(context: &Context, cluster: &Cluster) -> anyhow::Result<PathBuf> {
    let secret = format!("{PLATFORM}-gateway");
    let text = run::output(cluster.kubectl().args([
        "-n",
        NAMESPACE,
        "get",
        "secret",
        &secret,
        "-o",
        "go-template={{index .data \"admin-token\" | base64decode}}",
    ]))?;
    let path = context.state.join("admin-token");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    if old != text {
        let _ = std::fs::remove_file(&path);
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?
            .write_all(text.as_bytes())?;
    }
    Ok(path)
}

fn wait_for(port: u16) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        anyhow::ensure!(
            Instant::now() < end,
            "the gateway does not answer on 127.0.0.1:{port}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A loopback port of this checkout: the one noted earlier, else `preferred` if it is free, else any free one.
///
/// # Errors
/// No port is free, or the note cannot be written.
pub fn port(context: &Context, what: &str, preferred: u16) -> anyhow::Result<u16> {
    let path = context.state.join("ports.json");
    let mut ports: BTreeMap<String, u16> = std::fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if let Some(port) = ports.get(what) {
        return Ok(*port);
    }
    let listener = TcpListener::bind(("127.0.0.1", preferred))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    let port = listener.local_addr()?.port();
    ports.insert(what.to_owned(), port);
    files::replace(&path, &serde_json::to_vec_pretty(&ports)?)?;
    Ok(port)
}
