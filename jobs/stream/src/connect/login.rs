//! What a client needs to reach Kafka and to log in, read from the keys of a binding.

use std::fmt;

use rdkafka::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::SettingsError;

const PROTOCOL: &str = "security-protocol";
const MECHANISM: &str = "sasl-mechanism";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const AUTHORITIES: &str = "certificates";
const CERTIFICATE: &str = "client-certificate";
const KEY: &str = "private-key";

const MECHANISMS: &[&str] = &["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];

/// Address and credentials, checked. Two are equal when clients made of them would be.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// host:port of some brokers, separated by commas.
    pub bootstrap: String,
    tls: Option<Tls>,
    sasl: Option<Sasl>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Tls {
    /// PEM; the system's when absent.
    authorities: Option<String>,
    /// PEM of the certificate and of its key.
    own: Option<(String, String)>,
}

#[derive(Clone, PartialEq, Eq)]
struct Sasl {
    mechanism: &'static str,
    username: String,
    password: String,
}

// Passwords and keys are never printed.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("bootstrap", &self.bootstrap)
            .field("protocol", &self.protocol())
            .field("username", &self.sasl.as_ref().map(|s| &s.username))
            .finish_non_exhaustive()
    }
}

impl Login {
    /// No encryption and no credentials.
    #[must_use]
    pub fn plain(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            tls: None,
            sasl: None,
        }
    }

    /// Reads the keys of the binding named `binding`; `get` gives the value of a key.
    ///
    /// # Errors
    /// A key is missing, unusable or contradicts another: the error names key, value and cure.
    pub fn read<'a>(
        binding: &str,
        bootstrap: String,
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, SettingsError> {
        let keys = Keys { binding, get };
        let (tls, sasl) = match keys.get(PROTOCOL).unwrap_or("PLAINTEXT") {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_SSL" => (true, true),
            "SASL_PLAINTEXT" => (false, true),
            other => {
                return Err(keys.unusable(
                    PROTOCOL,
                    format!("{other:?} is no protocol of Kafka"),
                    "write PLAINTEXT, SSL, SASL_SSL or SASL_PLAINTEXT into it",
                ));
            }
        };
        Ok(Self {
            bootstrap,
            tls: keys.tls(tls)?,
            sasl: keys.sasl(sasl)?,
        })
    }

    /// As Kafka names it.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (Some(_), Some(_)) => "SASL_SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
        }
    }

    /// Puts address and credentials into a client's settings.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("security.protocol", self.protocol());
        if let Some(tls) = &self.tls {
            config
                .set("enable.ssl.certificate.verification", "true")
                .set("ssl.endpoint.identification.algorithm", "https");
            if let Some(authorities) = &tls.authorities {
                config.set("ssl.ca.pem", authorities);
            }
            if let Some((certificate, key)) = &tls.own {
                config
                    .set("ssl.certificate.pem", certificate)
                    .set("ssl.key.pem", key);
            }
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
    }
}

struct Keys<'n, G> {
    binding: &'n str,
    get: G,
}

impl<'a, G: Fn(&str) -> Option<&'a str>> Keys<'_, G> {
    // A key of a Secret that holds nothing is as good as none.
    fn get(&self, key: &str) -> Option<&'a str> {
        (self.get)(key).map(str::trim).filter(|v| !v.is_empty())
    }

    fn protocol(&self) -> &'a str {
        self.get(PROTOCOL).unwrap_or("PLAINTEXT")
    }

    fn name(&self, key: &str) -> String {
        format!("binding {} entry {key}", self.binding)
    }

    fn unusable(&self, key: &str, problem: String, cure: &str) -> SettingsError {
        SettingsError::Unusable {
            name: self.name(key),
            problem,
            cure: cure.to_owned(),
        }
    }

    fn required(&self, key: &str) -> Result<&'a str, SettingsError> {
        self.get(key).ok_or_else(|| SettingsError::Missing {
            name: self.name(key),
            cure: format!(
                "{PROTOCOL} is {}: add the file {key} to the binding's folder (the key {key} to its Secret)",
                self.protocol()
            ),
        })
    }

    // Credentials that would silently not be used are a mistake of whoever gave them.
    fn none_of(&self, keys: &[&str], needs: &str) -> Result<(), SettingsError> {
        match keys.iter().find(|key| self.get(key).is_some()) {
            None => Ok(()),
            Some(key) => Err(self.unusable(
                key,
                format!(
                    "is given, but with {PROTOCOL} {} it is of no use",
                    self.protocol()
                ),
                &format!("set {PROTOCOL} to {needs}, or remove {key}"),
            )),
        }
    }

    fn tls(&self, wanted: bool) -> Result<Option<Tls>, SettingsError> {
        if !wanted {
            self.none_of(&[AUTHORITIES, CERTIFICATE, KEY], "SSL or SASL_SSL")?;
            return Ok(None);
        }
        let authorities = match self.get(AUTHORITIES) {
            None => None,
            Some(pem) => Some(self.certificates(AUTHORITIES, pem)?),
        };
        let own = match (self.get(CERTIFICATE), self.get(KEY)) {
            (None, None) => None,
            (Some(pem), Some(key)) => {
                Some((self.certificates(CERTIFICATE, pem)?, self.private_key(key)?))
            }
            (Some(_), None) => return Err(self.half(KEY, CERTIFICATE)),
            (None, Some(_)) => return Err(self.half(CERTIFICATE, KEY)),
        };
        Ok(Some(Tls { authorities, own }))
    }

    fn half(&self, missing: &str, given: &str) -> SettingsError {
        SettingsError::Missing {
            name: self.name(missing),
            cure: format!("{given} is given: add {missing}, or remove {given}"),
        }
    }

    fn certificates(&self, key: &str, pem: &str) -> Result<String, SettingsError> {
        let cure = "write certificates in PEM into it";
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            certificate.map_err(|e| self.unusable(key, format!("is no PEM: {e}"), cure))?;
            found += 1;
        }
        if found == 0 {
            return Err(self.unusable(key, "holds no certificate".to_owned(), cure));
        }
        Ok(format!("{pem}\n"))
    }

    fn private_key(&self, pem: &str) -> Result<String, SettingsError> {
        PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| {
            self.unusable(
                KEY,
                format!("holds no key that can be used: {e}"),
                "write the key in PEM into it: PKCS#8, PKCS#1 or SEC1, not encrypted",
            )
        })?;
        Ok(format!("{pem}\n"))
    }

    fn sasl(&self, wanted: bool) -> Result<Option<Sasl>, SettingsError> {
        if !wanted {
            self.none_of(&[USERNAME, PASSWORD, MECHANISM], "SASL_SSL")?;
            return Ok(None);
        }
        let asked = self.get(MECHANISM).unwrap_or("SCRAM-SHA-512");
        let Some(mechanism) = MECHANISMS.iter().find(|known| **known == asked) else {
            return Err(self.unusable(
                MECHANISM,
                format!("{asked:?} is not known here"),
                "write SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN into it",
            ));
        };
        Ok(Some(Sasl {
            mechanism,
            username: self.required(USERNAME)?.to_owned(),
            password: self.required(PASSWORD)?.to_owned(),
        }))
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
