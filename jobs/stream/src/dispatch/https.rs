//! OpenWhisk over https: a connection for each request, so that a call that is given up leaves nothing behind.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use reqwest::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::transport::Call;

/// Until a connection is there, certificates looked at.
const CONNECT: Duration = Duration::from_secs(5);

/// No answer is larger: a result of 1 MiB, and its log.
const LARGEST: usize = 32 * 1024 * 1024;

/// Where systems keep the authorities that they trust: Debian, Fedora, Alpine.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A client of one server.
#[derive(Clone)]
pub(super) struct Https {
    connector: TlsConnector,
    patience: Duration,
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

impl Https {
    /// A client that trusts the authorities in `pem`, else those of the system. `patience` is the longest wait for an answer.
    ///
    /// # Errors
    /// What is wrong with the authorities, and what to do.
    pub(super) fn new(pem: Option<&str>, patience: Duration) -> Result<Self, String> {
        let (roots, whose) = match pem {
            Some(pem) => (roots(pem.as_bytes()), "the authority"),
            None => (system().unwrap_or_else(RootCertStore::empty), "this system"),
        };
        if roots.is_empty() {
            return Err(format!(
                "{whose} holds no certificate; put that of the server's authority, in PEM, under ca.crt into the binding or into --openwhisk-ca-file"
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            patience,
        })
    }

    /// Status and body of the answer, or why there is none.
    pub(super) async fn send(&self, call: Call) -> Result<(StatusCode, Vec<u8>), String> {
        match timeout(self.patience, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn exchange(&self, call: Call) -> Result<(StatusCode, Vec<u8>), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let host = call.url.host_str().ok_or("the address has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = call.url.port_or_known_default().unwrap_or(443);
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| text(&error))?;
        let connect = async {
            let stream = TcpStream::connect((bare, port)).await?;
            stream.set_nodelay(true)?;
            self.connector.connect(name, stream).await
        };
        let stream = match timeout(CONNECT, connect).await {
            Ok(stream) => stream.map_err(|error| format!("{host}: {error}"))?,
            Err(_) => return Err(format!("{host}: no connection in time")),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| text(&error))?;
        let path = match call.url.query() {
            Some(query) => format!("{}?{query}", call.url.path()),
            None => call.url.path().to_owned(),
        };
        let authority = match call.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let request = hyper::Request::builder()
            .method(call.method)
            .uri(path)
            .header(HOST, authority)
            .header(AUTHORIZATION, call.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(call.body.map_or_else(Body::empty, Body::from))
            .map_err(|error| text(&error))?;
        let ask = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| text(&error))?;
            let status = answer.status();
            let body = to_bytes(Body::new(answer.into_body()), LARGEST).await;
            Ok((status, body.map_err(|error| text(&error))?.to_vec()))
        };
        // The connection works for the request and ends with it.
        tokio::pin!(connection);
        tokio::pin!(ask);
        tokio::select! {
            answer = &mut ask => answer,
            // It may be through before the answer has been taken out of it.
            _ = &mut connection => ask.await,
        }
    }
}

fn roots(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
    roots
}

fn system() -> Option<RootCertStore> {
    let named = std::env::var_os("SSL_CERT_FILE");
    let named = named.as_deref().map(Path::new);
    named
        .into_iter()
        .chain(BUNDLES.iter().map(Path::new))
        .find_map(|path| Some(roots(&std::fs::read(path).ok()?)).filter(|roots| !roots.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_authority_does_not_mean_those_of_the_system() {
        let told = Https::new(Some("no certificate"), CONNECT).unwrap_err();
        assert!(told.contains("ca.crt"), "{told}");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        assert!(Https::new(Some(&made.cert.pem()), CONNECT).is_ok());
    }
}
