//! Certificates, a tunnel that adds TLS to clients which speak none, and a front that adds it to servers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate for `localhost` with its key.
pub struct Made {
    pub certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
}

impl Made {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    /// Puts it where a kubernetes.io/tls Secret would.
    pub fn write(&self, directory: &Path) {
        std::fs::write(directory.join("tls.crt"), &self.certificate_pem).unwrap();
        std::fs::write(directory.join("tls.key"), &self.key_pem).unwrap();
    }
}

/// A port of this machine with TLS that leads to a plain one, as an Ingress does; gives it.
pub async fn front(to: u16, made: &Made) -> u16 {
    let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate goes away here.
                let Ok(mut near) = acceptor.accept(near).await else {
                    return;
                };
                if let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    port
}

/// A plain port on this machine that leads to a port with TLS.
pub struct Tunnel {
    pub port: u16,
    served: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Tunnel {
    /// Opens a tunnel to `localhost` that trusts only these certificates.
    pub async fn open(to: u16, trusted: &[&Made]) -> Self {
        let trusted = trusted.iter().map(|made| made.certificate.clone());
        Self::to(to, "localhost", trusted).await
    }

    /// Opens a tunnel to a port of this machine where the server of this name is, which must show a certificate of these
    /// authorities.
    pub async fn to(
        to: u16,
        name: &'static str,
        trusted: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in trusted {
            roots.add(authority).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed session is shown no certificate.
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&served);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (connector, seen) = (connector.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let name = ServerName::try_from(name).unwrap();
                    // Who is not there or not trusted is not spoken to: the near end is closed.
                    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
                        return;
                    };
                    let Ok(mut far) = connector.connect(name, far).await else {
                        return;
                    };
                    let shown = far.get_ref().1.peer_certificates().unwrap()[0].clone();
                    seen.lock().unwrap().push(shown.into_owned());
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { port, served }
    }

    /// The certificate that the newest connection was shown.
    pub fn newest(&self) -> Option<CertificateDer<'static>> {
        self.served.lock().unwrap().last().cloned()
    }
}
