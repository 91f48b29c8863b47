//! Servers of https on loopback, with certificates of nobody's.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use millrace_operator::remote::code::Roots;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A certificate of its own authority, for loopback.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl Certificate {
    pub fn new() -> Self {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self {
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    pub fn roots(&self) -> Roots {
        Roots::of(self.pem.as_bytes()).unwrap()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A request without a body.
pub struct Request {
    pub host: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
}

/// Status, headers and body.
pub type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);
type Answers = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A running server.
pub struct Front {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    pub fn host(&self) -> String {
        self.at.to_string()
    }

    /// Answers by a function.
    pub fn start(certificate: &Certificate, answers: Answers) -> Self {
        Self::serve(certificate, move |mut stream| {
            let answers = Arc::clone(&answers);
            async move {
                if let Some(request) = read(&mut stream).await {
                    let (status, headers, body) = answers(&request);
                    let mut head = format!(
                        "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n",
                        body.len()
                    );
                    for (name, value) in headers {
                        head.push_str(&format!("{name}: {value}\r\n"));
                    }
                    head.push_str("\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&body).await;
                    let _ = stream.shutdown().await;
                }
            }
        })
    }

    /// Stands before a server that speaks http, as an Ingress does.
    pub fn before(certificate: &Certificate, uri: &str) -> Self {
        let behind = uri.trim_start_matches("http://").to_owned();
        Self::serve(certificate, move |mut stream| {
            let behind = behind.clone();
            async move {
                if let Ok(mut server) = TcpStream::connect(behind).await {
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                }
            }
        })
    }

    fn serve<F: Future<Output = ()> + Send + 'static>(
        certificate: &Certificate,
        handle: impl Fn(Stream) -> F + Send + Sync + 'static,
    ) -> Self {
        let acceptor = certificate.acceptor();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let handle = Arc::new(handle);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, handle) = (acceptor.clone(), Arc::clone(&handle));
                tokio::spawn(async move {
                    // Who does not trust the certificate goes away here.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        handle(stream).await;
                    }
                });
            }
        });
        Self { at, task }
    }
}

type Stream = tokio_rustls::server::TlsStream<TcpStream>;

async fn read(stream: &mut Stream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let target = lines.next()?.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Request {
        host: headers.get("host").cloned().unwrap_or_default(),
        path: path.to_owned(),
        query: query.to_owned(),
        authorization: headers.get("authorization").cloned(),
    })
}

/// A server of files; `/plain` sends on to where it is not https.
pub fn files(certificate: &Certificate, files: &[(&str, Vec<u8>)]) -> Front {
    let files: HashMap<String, Vec<u8>> = files
        .iter()
        .map(|(path, bytes)| ((*path).to_owned(), bytes.clone()))
        .collect();
    Front::start(
        certificate,
        Arc::new(move |request| match files.get(&request.path) {
            Some(bytes) => (200, Vec::new(), bytes.clone()),
            None if request.path == "/plain" => {
                let place = "http://127.0.0.1:1/a.zip".to_owned();
                (302, vec![("location", place)], Vec::new())
            }
            None => (404, Vec::new(), Vec::new()),
        }),
    )
}
