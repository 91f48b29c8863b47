//! A coordinator of a real Druid speaks TLS with the stores that the operator makes, by the name that clients know it by. What the
//! servers need to talk to each other so, the extension simple-client-sslcontext, comes with the upstream image only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod druid_pods;
mod druid_support;

use std::process::Command;
use std::sync::Arc;

use druid_pods::{Pods, valid};
use millrace_operator::druid::validate::Found;
use millrace_operator::druid::{FoundSecurity, RoleKind};
use millrace_testkit::{druid, zookeeper};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Asks by TLS whether a server is well; `None` when it does not say so.
async fn is_well(address: &str, host: &str, authorities: &str) -> Option<()> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.ok()?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.ok()?;
    let request = format!("GET /status/health HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut answer = Vec::new();
    // It may close without a word.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    (answer.contains(" 200 ") && answer.ends_with("true")).then_some(())
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_coordinator_speaks_tls_with_the_store_that_is_made() {
    let (Some(home), Some(zookeeper)) = (druid().unwrap(), zookeeper().unwrap()) else {
        return;
    };
    let spec = json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"volume": {"size": "2Gi"}},
        "historicals": {"storage": {"size": "2Gi"}}, "workers": {},
        "image": "apache/druid:33.0.0", "security": {"tls": true}});
    let found = Found {
        security: FoundSecurity {
            now: jiff::Timestamp::now(),
            ..FoundSecurity::default()
        },
        ..Found::default()
    };
    let cluster = valid(spec, found);
    let mut pods = Pods::new(home, zookeeper, 59, &cluster);
    let coordinator = "d-coordinator-0";
    let stores = pods.certificates(coordinator);
    let listed = Command::new("keytool")
        .args(["-list", "-storepass", "no-secret", "-keystore"])
        .arg(stores.join("truststore.jks"))
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("authority-0"), "{listed}");

    pods.start("z-0");
    pods.start(coordinator);
    let address = format!("{}:8081", pods.address(coordinator));
    let trusted = cluster.credentials().authorities.unwrap();
    let host = cluster.nodes(RoleKind::Coordinator)[0].host.clone();
    for name in [host.as_str(), "d-coordinator.ns.svc"] {
        pods.until(&format!("{name} is well"), || {
            is_well(&address, name, &trusted)
        })
        .await;
    }
    // It speaks nothing else.
    let plain = reqwest::get(format!("http://{address}/status/health")).await;
    assert!(plain.is_err() || !plain.unwrap().status().is_success());
}
