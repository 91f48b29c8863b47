//! The certificate: read from a folder, and read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::settings::Bindings;

/// Type of the binding that holds the certificate.
pub const BINDING_TYPE: &str = "millrace-gateway-tls";
/// A Secret of type kubernetes.io/tls has no entry `type`: then the folder's name tells.
const BINDING_NAME: &str = "tls";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "{}: cannot be read: {source}; give the folder of a kubernetes.io/tls Secret, with tls.crt and tls.key",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}; put {cure} into it", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, never what it holds.
        problem: String,
        /// What it should hold.
        cure: &'static str,
    },
    /// The library refuses.
    #[error("TLS: {0}; use a certificate and its own key, RSA or ECDSA")]
    Library(#[from] rustls::Error),
}

/// The folder of the certificate: the one that was named, else the binding's. None: no TLS.
#[must_use]
pub fn directory(named: Option<&Path>, bindings: &Bindings) -> Option<PathBuf> {
    let bound = || {
        let by_name = || {
            let binding = bindings.named(BINDING_NAME);
            binding.filter(|b| b.get(CERTIFICATE).is_some())
        };
        let binding = bindings.of_type(BINDING_TYPE).or_else(by_name)?;
        Some(binding.folder().to_path_buf())
    };
    named.map(Path::to_path_buf).or_else(bound)
}

/// The certificate that new connections get. Open ones keep theirs.
#[derive(Debug)]
pub struct Certificates {
    directory: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    // Of the files that are in use, or were last refused.
    seen: ArcSwap<[u8; 32]>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificates {
    /// Reads the certificate of a folder.
    ///
    /// # Errors
    /// A file is missing or unusable, or the key is not the certificate's.
    pub fn open(directory: &Path) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let files = Files::read(directory)?;
        let certified = files.certified(&provider)?;
        Ok(Arc::new(Self {
            directory: directory.to_path_buf(),
            provider,
            current: ArcSwap::from_pointee(certified),
            seen: ArcSwap::from_pointee(files.digest()),
        }))
    }

    /// The settings of a listener whose connections get the certificate of their time.
    ///
    /// # Errors
    /// The library knows no version of TLS.
    pub fn server_config(self: &Arc<Self>, alpn: &[&str]) -> Result<Arc<ServerConfig>, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Reads the files again; true when they hold another certificate, which is in use from here on.
    ///
    /// # Errors
    /// The new files are not usable: the last good certificate stays. Told once for the same files.
    pub fn look(&self) -> Result<bool, TlsError> {
        let files = match Files::read(&self.directory) {
            Ok(files) => files,
            // Files that are not there are a change as well.
            Err(error) => return self.first_time([0; 32]).map_or(Ok(false), |()| Err(error)),
        };
        if self.first_time(files.digest()).is_none() {
            return Ok(false);
        }
        let certified = files.certified(&self.provider)?;
        self.current.store(Arc::new(certified));
        Ok(true)
    }

    fn first_time(&self, digest: [u8; 32]) -> Option<()> {
        let before = self.seen.swap(Arc::new(digest));
        (*before != digest).then_some(())
    }

    /// Looks at the files every two seconds, until `stop` is cancelled.
    pub async fn follow(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.look() {
                Ok(true) => {
                    metrics.certificates_reloaded.inc();
                    tracing::info!("a new certificate is in use");
                }
                Ok(false) => {}
                Err(error) => {
                    metrics.certificates_rejected.inc();
                    tracing::error!(%error, "the new certificate cannot be used; the last good one stays");
                }
            }
        }
    }
}

struct Files {
    directory: PathBuf,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(directory: &Path) -> Result<Self, TlsError> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
        };
        Ok(Self {
            directory: directory.to_path_buf(),
            certificate: read(CERTIFICATE)?,
            key: read(KEY)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update((self.certificate.len() as u64).to_be_bytes());
        hash.update(&self.certificate);
        hash.update(&self.key);
        hash.finalize().into()
    }

    fn certified(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let content = |name: &str, problem: String, cure| TlsError::Content {
            path: self.directory.join(name),
            problem,
            cure,
        };
        let chain_cure = "the certificate in PEM, then those of its issuers";
        let key_cure = "the key in PEM: PKCS#8, PKCS#1 or SEC1, not encrypted";
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|e| content(CERTIFICATE, e.to_string(), chain_cure))?;
        if chain.is_empty() {
            let problem = "holds no certificate".to_owned();
            return Err(content(CERTIFICATE, problem, chain_cure));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|e| content(KEY, e.to_string(), key_cure))?;
        Ok(CertifiedKey::from_der(chain, key, provider)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(directory.join(CERTIFICATE), made.cert.pem()).unwrap();
        std::fs::write(directory.join(KEY), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    }

    fn served(certificates: &Certificates) -> Vec<u8> {
        certificates.current.load().cert[0].to_vec()
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let first = write(directory.path());
        let certificates = Certificates::open(directory.path()).unwrap();
        assert_eq!(served(&certificates), first);
        assert!(!certificates.look().unwrap(), "nothing changed");

        let second = write(directory.path());
        assert!(certificates.look().unwrap());
        assert_eq!(served(&certificates), second);

        // The key of another certificate.
        let other = tempfile::tempdir().unwrap();
        write(other.path());
        std::fs::copy(other.path().join(KEY), directory.path().join(KEY)).unwrap();
        assert!(certificates.look().is_err());
        assert!(!certificates.look().unwrap(), "told once");
        std::fs::write(directory.path().join(CERTIFICATE), "nonsense").unwrap();
        let e = certificates.look().unwrap_err().to_string();
        assert!(e.contains("tls.crt") && e.contains("PEM"), "{e}");
        std::fs::remove_file(directory.path().join(KEY)).unwrap();
        assert!(certificates.look().is_err());
        assert!(!certificates.look().unwrap(), "told once");
        assert_eq!(served(&certificates), second, "the last good one stays");

        let third = write(directory.path());
        assert!(certificates.look().unwrap());
        assert_eq!(served(&certificates), third);
    }

    #[test]
    fn the_folder_is_named_or_bound() {
        let root = tempfile::tempdir().unwrap();
        let none = Bindings::read(root.path()).unwrap();
        assert_eq!(directory(None, &none), None);
        let folder = root.path().join("tls");
        std::fs::create_dir(&folder).unwrap();
        write(&folder);
        let bindings = Bindings::read(root.path()).unwrap();
        assert_eq!(directory(None, &bindings), Some(folder.clone()));
        let named = Path::new("/somewhere");
        assert_eq!(directory(Some(named), &bindings), Some(named.to_path_buf()));
        let typed = root.path().join("a-certificate");
        std::fs::create_dir(&typed).unwrap();
        std::fs::write(typed.join("type"), BINDING_TYPE).unwrap();
        let bindings = Bindings::read(root.path()).unwrap();
        assert_eq!(directory(None, &bindings), Some(typed));
    }
}
