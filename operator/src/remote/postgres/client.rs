//! Sessions with a server, by TLS and a password.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;

/// A server that does not answer so long is told as unreachable.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Statements of the operator take milliseconds; one that waits for a lock gives way to the work of others.
const OPTIONS: &str = "-c statement_timeout=30s -c lock_timeout=5s -c search_path=pg_catalog";

/// How to log in at a server.
#[derive(Clone)]
pub struct Login {
    /// The name of the server, which its certificate has to have.
    pub host: String,
    /// Its address, where the name is not to be looked up.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// The authorities that its certificate may be of, in PEM.
    pub authorities: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("Login")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A session. It ends with its value.
#[derive(Debug)]
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Login {
    /// Opens a session with a database.
    ///
    /// # Errors
    /// [`PostgresError::Unreachable`] or [`PostgresError::Login`].
    pub async fn connect(&self, database: &str) -> Result<Session, PostgresError> {
        let address = || format!("{}:{}", self.host, self.port);
        let unreachable = |problem: String| PostgresError::Unreachable {
            address: address(),
            problem,
        };
        let tls = MakeRustlsConnect::new(trusting(&self.authorities).map_err(unreachable)?);
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(database)
            .ssl_mode(SslMode::Require)
            // The password proves itself to the server of this certificate only.
            .channel_binding(ChannelBinding::Require)
            .options(OPTIONS)
            .application_name("millrace-operator")
            .connect_timeout(CONNECT_WITHIN);
        if let Some(address) = self.address {
            config.hostaddr(address);
        }
        let connecting = timeout(2 * CONNECT_WITHIN, config.connect(tls)).await;
        let (client, connection) = connecting
            .map_err(|_| unreachable("it does not answer in time".into()))?
            .map_err(|error| PostgresError::connecting(address(), &self.user, &error))?;
        let connection = tokio::spawn(async move {
            // Whoever uses the session is told the same.
            let _ = connection.await;
        });
        Ok(Session { client, connection })
    }
}

/// TLS with servers whose certificates are of these authorities, in PEM.
pub(crate) fn trusting(authorities: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("ca.crt: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("ca.crt: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
