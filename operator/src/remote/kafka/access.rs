//! How a cluster is reached: addresses, certificates, credentials, in the keys of the Service Binding specification.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use millrace_contract::Invalid;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How clients prove who they are, and whether the way is encrypted.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// Neither.
    #[default]
    Plaintext,
    /// TLS, with a certificate of the client's where it has one.
    Ssl,
    /// A password over TLS.
    SaslSsl,
    /// A password in a mechanism that does not give it away, without encryption.
    SaslPlaintext,
}

/// Name and password.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Login {
    /// `SCRAM-SHA-512` or `SCRAM-SHA-256`.
    pub mechanism: String,
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {}", self.mechanism, self.username)
    }
}

/// How a cluster is reached.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Access {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// PEM of the authorities that brokers' certificates are checked by.
    pub authorities: Option<String>,
    /// PEM of the client's certificate, and of its key.
    pub certificate: Option<(String, String)>,
    /// Name and password.
    pub login: Option<Login>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys do not belong into logs.
        write!(f, "{} by {:?}", self.bootstrap, self.protocol)
    }
}

impl Access {
    /// Without encryption and without a name.
    #[must_use]
    pub fn plain(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            ..Self::default()
        }
    }

    /// Reads the data of a binding.
    ///
    /// # Errors
    /// Names the key, its value and the cure. Passwords and keys are not shown.
    pub fn from_secret(data: &BTreeMap<String, ByteString>) -> Result<Self, Invalid> {
        let bootstrap = required(
            data,
            "bootstrap-servers",
            "give host:port, several separated by commas",
        )?;
        let protocol = match entry(data, "security-protocol")?.as_deref() {
            None | Some("PLAINTEXT") => Protocol::Plaintext,
            Some("SSL") => Protocol::Ssl,
            Some("SASL_SSL") => Protocol::SaslSsl,
            Some("SASL_PLAINTEXT") => Protocol::SaslPlaintext,
            Some(other) => {
                return Err(Invalid::new(
                    "security-protocol",
                    other,
                    "is not a protocol of Kafka's",
                    "give PLAINTEXT, SSL, SASL_SSL or SASL_PLAINTEXT",
                ));
            }
        };
        let login = match protocol {
            Protocol::SaslSsl | Protocol::SaslPlaintext => Some(login(data)?),
            Protocol::Plaintext | Protocol::Ssl => None,
        };
        let certificate = match (
            entry(data, "client-certificate")?,
            entry(data, "private-key")?,
        ) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(lacks(
                    "private-key",
                    "give the key of client-certificate, in PEM",
                ));
            }
            (None, Some(_)) => {
                return Err(lacks(
                    "client-certificate",
                    "give the certificate of private-key, in PEM",
                ));
            }
        };
        Ok(Self {
            bootstrap,
            protocol,
            authorities: entry(data, "certificates")?,
            certificate,
            login,
        })
    }

    /// The settings of TLS, where it is spoken.
    ///
    /// # Errors
    /// Names the key of the binding that holds no certificate, or a key that does not fit.
    pub fn tls(&self) -> Result<Option<Arc<ClientConfig>>, Invalid> {
        if matches!(self.protocol, Protocol::Plaintext | Protocol::SaslPlaintext) {
            return Ok(None);
        }
        let authorities = self
            .authorities
            .as_deref()
            .ok_or_else(|| lacks("certificates", "give the authority's certificate, in PEM"))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates("certificates", authorities)? {
            roots
                .add(certificate)
                .map_err(|error| bad("certificates", &error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("certificates", &error.to_string()))?
            .with_root_certificates(roots);
        let config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("client-certificate", certificate)?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| bad("private-key", &error.to_string()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| bad("client-certificate", &error.to_string()))?
            }
        };
        Ok(Some(Arc::new(config)))
    }
}

fn certificates(key: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| bad(key, &error.to_string()))?;
    if found.is_empty() {
        return Err(bad(key, "holds no certificate"));
    }
    Ok(found)
}

fn login(data: &BTreeMap<String, ByteString>) -> Result<Login, Invalid> {
    let mechanism = required(
        data,
        "sasl-mechanism",
        "give SCRAM-SHA-512 or SCRAM-SHA-256",
    )?;
    if !matches!(mechanism.as_str(), "SCRAM-SHA-512" | "SCRAM-SHA-256") {
        return Err(Invalid::new(
            "sasl-mechanism",
            &mechanism,
            "is not spoken here",
            "give SCRAM-SHA-512 or SCRAM-SHA-256",
        ));
    }
    Ok(Login {
        mechanism,
        username: required(data, "username", "give the user's name")?,
        password: password(data, "password")?,
    })
}

/// A password of a Secret. Spaces belong to it; the line break that a file written by hand ends with does not.
///
/// # Errors
/// There is none under that key, or it is not text. It is not shown.
pub fn password(data: &BTreeMap<String, ByteString>, key: &str) -> Result<String, Invalid> {
    let missing = || lacks(key, "give the user's password");
    let ByteString(bytes) = data.get(key).ok_or_else(missing)?;
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Invalid::new(
            key,
            "(not shown)",
            "is not UTF-8",
            "give a password of text",
        )
    })?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(missing());
    }
    Ok(text.to_owned())
}

fn entry(data: &BTreeMap<String, ByteString>, key: &str) -> Result<Option<String>, Invalid> {
    let Some(ByteString(bytes)) = data.get(key) else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes.clone()).map_err(|_| bad(key, "is not UTF-8"))?;
    // Files written by hand end with a line break.
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn required(data: &BTreeMap<String, ByteString>, key: &str, cure: &str) -> Result<String, Invalid> {
    entry(data, key)?.ok_or_else(|| lacks(key, cure))
}

fn lacks(key: &str, cure: &str) -> Invalid {
    Invalid::new(key, "(absent)", "is needed and is not there", cure)
}

fn bad(key: &str, problem: &str) -> Invalid {
    Invalid::new(
        key,
        "(not shown)",
        problem,
        "give it in PEM, as the authority issued it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(entries: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
            .collect()
    }

    #[test]
    fn a_plain_binding_needs_an_address_only() {
        let access = Access::from_secret(&data(&[("bootstrap-servers", "a:9092\n")])).unwrap();
        assert_eq!(access, Access::plain("a:9092"));
        assert!(access.tls().unwrap().is_none());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (entries, key) in [
            (&[("host", "a")][..], "bootstrap-servers"),
            (
                &[("bootstrap-servers", "a:1"), ("security-protocol", "TLS")],
                "security-protocol",
            ),
            (
                &[
                    ("bootstrap-servers", "a:1"),
                    ("security-protocol", "SASL_SSL"),
                ],
                "sasl-mechanism",
            ),
            (
                &[
                    ("bootstrap-servers", "a:1"),
                    ("security-protocol", "SASL_SSL"),
                    ("sasl-mechanism", "PLAIN"),
                ],
                "sasl-mechanism",
            ),
            (
                &[
                    ("bootstrap-servers", "a:1"),
                    ("security-protocol", "SASL_SSL"),
                    ("sasl-mechanism", "SCRAM-SHA-512"),
                    ("username", "u"),
                ],
                "password",
            ),
            (
                &[("bootstrap-servers", "a:1"), ("client-certificate", "x")],
                "private-key",
            ),
        ] {
            assert_eq!(Access::from_secret(&data(entries)).unwrap_err().field, key);
        }
        let access = data(&[
            ("bootstrap-servers", "a:1"),
            ("security-protocol", "SSL"),
            ("certificates", "x"),
        ]);
        let error = Access::from_secret(&access).unwrap().tls().unwrap_err();
        assert_eq!(error.field, "certificates");
    }

    #[test]
    fn spaces_belong_to_a_password_and_the_last_line_break_does_not() {
        for (written, read) in [
            (" a b ", " a b "),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
        ] {
            assert_eq!(password(&data(&[("p", written)]), "p").unwrap(), read);
        }
        for empty in ["", "\n"] {
            assert_eq!(
                password(&data(&[("p", empty)]), "p").unwrap_err().field,
                "p"
            );
        }
        let binary = BTreeMap::from([("p".to_owned(), ByteString(vec![0xff]))]);
        assert!(password(&binary, "p").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let login = Login {
            mechanism: "SCRAM-SHA-512".into(),
            username: "u".into(),
            password: "hidden".into(),
        };
        let access = Access {
            login: Some(login.clone()),
            ..Access::plain("a:1")
        };
        assert!(!format!("{login:?} {access:?}").contains("hidden"));
    }
}
