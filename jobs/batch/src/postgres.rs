//! The way into PostgreSQL: where it is, and who logs in.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use millrace_contract::duration::Span;
use millrace_settings::{Binding, Bindings, SettingsError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Flags that say where PostgreSQL is.
#[derive(Debug, Clone, clap::Args)]
pub struct PostgresArgs {
    /// postgresql://USER@HOST:PORT/DATABASE; else the binding of type postgresql
    #[arg(long, env = "MILLRACE_POSTGRES_URI", value_name = "URI")]
    pub postgres: Option<String>,
    /// File with the certificates that PostgreSQL's must be signed by; else the binding's ca.crt
    #[arg(long, env = "MILLRACE_POSTGRES_CA", value_name = "FILE")]
    pub postgres_ca: Option<std::path::PathBuf>,
    /// So long it is tried while PostgreSQL is away or refuses the password: a new one reaches the binding within a minute
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = span)]
    pub postgres_wait: Span,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| format!("{text}: not a duration; write for example 30s or 2m"))
}

/// Where PostgreSQL is and how it is trusted.
#[derive(Clone)]
pub struct Access {
    config: Config,
    roots: Option<Arc<RootCertStore>>,
}

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(2);

impl PostgresArgs {
    /// Connects, with the bindings as they are at each attempt.
    ///
    /// # Errors
    /// It cannot be reached, or lets nobody in, for too long; or nothing says where it is.
    pub async fn connect(
        &self,
        bindings: impl Fn() -> Result<Bindings, SettingsError>,
    ) -> anyhow::Result<Client> {
        let until = tokio::time::Instant::now() + self.postgres_wait.0;
        loop {
            match self.access(&bindings()?)?.connect().await {
                Ok(client) => return Ok(client),
                Err(error) if tokio::time::Instant::now() >= until => return Err(error),
                Err(error) => tracing::warn!("PostgreSQL: {error:#}; trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Puts the address together.
    ///
    /// # Errors
    /// Nothing gives one, or it cannot be used.
    pub fn access(&self, bindings: &Bindings) -> Result<Access, SettingsError> {
        let binding = bindings.of_type("postgresql");
        let mut config = match (&self.postgres, binding) {
            (Some(uri), _) => Config::from_str(uri).map_err(|e| unusable(&e.to_string()))?,
            (None, Some(binding)) => of_binding(binding)?,
            (None, None) => {
                return Err(SettingsError::Missing {
                    name: "postgres".to_owned(),
                    cure: "give --postgres URI, MILLRACE_POSTGRES_URI or a binding of type postgresql with the entries host, \
                           username, password and database under SERVICE_BINDING_ROOT"
                        .to_owned(),
                });
            }
        };
        config.application_name("millrace-batch");
        config.connect_timeout(Duration::from_secs(10));
        let pem = match (&self.postgres_ca, binding.and_then(|b| b.get("ca.crt"))) {
            (Some(file), _) => {
                Some(
                    std::fs::read_to_string(file).map_err(|source| SettingsError::Read {
                        path: file.clone(),
                        source,
                    })?,
                )
            }
            (None, Some(pem)) if self.postgres.is_none() => Some(pem.to_owned()),
            (None, _) => None,
        };
        let roots = pem.as_deref().map(roots).transpose()?;
        // Whoever gives certificates to trust does not want to be talked out of TLS.
        config.ssl_mode(if roots.is_some() {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        Ok(Access { config, roots })
    }
}

fn unusable(problem: &str) -> SettingsError {
    SettingsError::Unusable {
        name: "postgres".to_owned(),
        problem: problem.to_owned(),
        cure: "write postgresql://USER@HOST:PORT/DATABASE".to_owned(),
    }
}

fn of_binding(binding: &Binding) -> Result<Config, SettingsError> {
    let mut config = Config::new();
    config
        .host(binding.require("host")?)
        .user(binding.require("username")?)
        .password(binding.require("password")?)
        .dbname(binding.require("database")?);
    if let Some(port) = binding.get("port") {
        config.port(port.parse().map_err(|_| {
            unusable(&format!(
                "binding {} entry port: {port} is no port",
                binding.name()
            ))
        })?);
    }
    Ok(config)
}

fn roots(pem: &str) -> Result<Arc<RootCertStore>, SettingsError> {
    let failed = |problem: String| SettingsError::Unusable {
        name: "postgres-ca".to_owned(),
        problem,
        cure: "give certificates in PEM".to_owned(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| failed(e.to_string()))?;
        roots.add(certificate).map_err(|e| failed(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    Ok(Arc::new(roots))
}

impl Access {
    /// Connects.
    ///
    /// # Errors
    /// It is not there, or lets nobody in: names host, port, database and user.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        self.open().await.with_context(|| self.place())
    }

    fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!(
            "{host}:{port}, database {}, user {}",
            self.config.get_dbname().unwrap_or_default(),
            self.config.get_user().unwrap_or_default()
        )
    }

    async fn open(&self) -> anyhow::Result<Client> {
        match &self.roots {
            None => {
                let (client, connection) = self.config.connect(tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            Some(roots) => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let tls = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(Arc::clone(roots))
                    .with_no_client_auth();
                let (client, connection) = self.config.connect(MakeRustlsConnect::new(tls)).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }
}

/// Why a job failed, on one line: the last one of its log becomes the condition of its BatchJob. With what to do about it, and
/// where it happened, if PostgreSQL refused something that somebody has to see to.
#[must_use]
pub fn told(error: anyhow::Error) -> String {
    format!("{:#}", with_cure(error)).replace('\n', "; ")
}

fn with_cure(error: anyhow::Error) -> anyhow::Error {
    let refused = error.chain().find_map(|e| e.downcast_ref::<DbError>());
    let told = refused.and_then(|refused| {
        let cure = cure(refused.code())?;
        // Of a COPY it names table, line and column.
        let place = refused.where_().map(|place| format!(" ({place})"));
        Some(format!("{cure}{}", place.unwrap_or_default()))
    });
    match told {
        Some(told) => error.context(told),
        None => error,
    }
}

fn cure(code: &SqlState) -> Option<&'static str> {
    if *code == SqlState::DISK_FULL {
        return Some(
            "PostgreSQL's volume is full: make it larger (spec.storage.size of its PostgresCluster) or take something away; the \
             next run takes up what was not done",
        );
    }
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return Some(
            "PostgreSQL does not let the role do that: make it the owner of the database and of its tables, or make them by hand from tables.sql",
        );
    }
    let changed = [
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_TABLE,
        SqlState::DATATYPE_MISMATCH,
        SqlState::INVALID_BINARY_REPRESENTATION,
    ];
    changed.contains(code).then_some(
        "a table or view is not as this version makes it: change it back, or run the version that it belongs to; the next run \
         takes up what was not done",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(entries: &[(&str, &str)]) -> (tempfile::TempDir, Bindings) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("store");
        std::fs::create_dir(&folder).unwrap();
        for (key, value) in entries {
            std::fs::write(folder.join(key), value).unwrap();
        }
        let bindings = Bindings::read(dir.path()).unwrap();
        (dir, bindings)
    }

    #[test]
    fn a_binding_says_where() {
        let whole = [
            ("type", "postgresql"),
            ("host", "db.example"),
            ("port", "6432"),
            ("username", "score"),
            ("password", "secret"),
            ("database", "fleet"),
        ];
        let (_dir, bindings) = binding(&whole);
        let args = PostgresArgs {
            postgres: None,
            postgres_ca: None,
            postgres_wait: Span::seconds(0),
        };
        let access = args.access(&bindings).unwrap();
        assert_eq!(access.config.get_ports(), [6432]);
        assert_eq!(access.config.get_dbname(), Some("fleet"));
        assert_eq!(access.config.get_ssl_mode(), SslMode::Disable);
        assert_eq!(
            access.place(),
            "db.example:6432, database fleet, user score"
        );
        let (_dir, bindings) = binding(&whole[..4]);
        let error = |bindings: &Bindings| match args.access(bindings) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        };
        assert!(
            error(&bindings).contains("entry password"),
            "{}",
            error(&bindings)
        );
        assert!(error(&Bindings::default()).contains("--postgres"));
        let mut wrong = whole.to_vec();
        wrong.push(("ca.crt", "no certificate"));
        let (_dir, bindings) = binding(&wrong);
        assert!(
            error(&bindings).contains("no certificate"),
            "{}",
            error(&bindings)
        );
    }
}
