//! Who is let in, and by which certificates servers speak. Pure but for random numbers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, Secret, SecretKeySelector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use millrace_contract::Invalid;
use serde_json::json;

use super::COMPONENT;
use super::crd::DruidClusterSpec;
use super::roles::RoleKind;
use crate::pki::{PkiError, keystore};
use crate::reconcile::certificates::{self, Certificates};
use crate::reconcile::secrets::{self, text};
use crate::reconcile::{Error, Owner};

/// The user who may do everything.
pub const ADMIN: &str = "admin";
/// As whom servers talk to each other.
const INTERNAL: &str = "druid_system";
/// In the Secret of the users: the password of each.
const ADMIN_KEY: &str = "admin-password";
const INTERNAL_KEY: &str = "internal-password";
/// The same, for a server that needs it.
const ADMIN_PASSWORD: &str = "MILLRACE_ADMIN_PASSWORD";
const INTERNAL_PASSWORD: &str = "MILLRACE_INTERNAL_PASSWORD";
/// What knows users, and what knows what they may do. What Druid keeps of them is called after these.
const NAME: &str = "basic";
/// So often servers ask the coordinator who the users are: a password that was changed holds everywhere after this.
const POLLED_MS: u32 = 10_000;
/// Where the stores with certificates are mounted.
pub(super) const CERTIFICATES: &str = "/etc/druid-certificates";
/// In the Secret of the certificate, beside it: what Java reads of it.
pub(super) const KEY_STORE: &str = "keystore.jks";
pub(super) const TRUST_STORE: &str = "truststore.jks";

/// Passwords that Druid takes over when it begins.
#[derive(Clone, Eq, PartialEq)]
pub struct Passwords {
    /// Of the user who may do everything.
    pub admin: String,
    /// Of servers among each other.
    pub internal: String,
    /// Whether they stand in their Secret already.
    pub is_kept: bool,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("Passwords")
            .field("is_kept", &self.is_kept)
            .finish_non_exhaustive()
    }
}

/// What servers ask of each other and of clients.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Passwords, where they ask who one is.
    pub passwords: Option<Passwords>,
    /// Certificates, where they speak TLS.
    pub certificates: Option<Certificates>,
}

/// What was found of it.
#[derive(Clone, Debug, Default)]
pub struct FoundSecurity {
    /// What the Secret of the users holds, where there is one.
    pub users: Option<BTreeMap<String, ByteString>>,
    /// What the Secret of the authority holds.
    pub authority: BTreeMap<String, ByteString>,
    /// What the Secret of the certificate holds.
    pub certificate: BTreeMap<String, ByteString>,
    /// The time.
    pub now: Timestamp,
}

/// Name of the Secret with the first passwords.
#[must_use]
pub fn users_name(cluster: &str) -> String {
    format!("{cluster}-users")
}

impl Security {
    /// Checks what is asked for, keeps what is there and makes what is missing.
    ///
    /// # Errors
    /// Names the field, its value and the cure; or there are no random numbers.
    pub(super) fn of(
        spec: &DruidClusterSpec,
        owner: &Owner,
        found: &FoundSecurity,
    ) -> Result<Self, Error> {
        let Some(asked) = &spec.security else {
            return Ok(Self::default());
        };
        if spec.image.is_none() {
            return Err(Invalid::new(
                "spec.image",
                "(absent)",
                "the operator's own image lacks druid-basic-security and simple-client-sslcontext, which spec.security needs",
                "name one that has them, such as apache/druid:33.0.0, or remove spec.security",
            )
            .into());
        }
        let asks = asked.authentication.is_some();
        if asks && spec.coordinators.replicas > 1 && spec.routers.is_none() {
            return Err(Invalid::new(
                "spec.routers",
                "(absent)",
                "a coordinator that does not lead sends clients on, who then leave their password behind",
                "add routers, take one coordinator, or remove spec.security.authentication",
            )
            .into());
        }
        Ok(Self {
            passwords: if asks {
                Some(passwords(owner, found)?)
            } else {
                None
            },
            certificates: if asked.tls {
                Some(certificates_of(owner, found)?)
            } else {
                None
            },
        })
    }

    /// The extensions that it needs.
    pub(super) fn extensions(&self) -> impl Iterator<Item = &str> {
        let passwords = self.passwords.as_ref().map(|_| "druid-basic-security");
        let certificates = self.certificates.as_ref();
        let certificates = certificates.map(|_| "simple-client-sslcontext");
        passwords.into_iter().chain(certificates)
    }

    /// The settings of a server.
    pub(super) fn settings(&self, kind: RoleKind) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| all.push((name.to_owned(), value));
        let environment =
            |variable: &str| json!({"type": "environment", "variable": variable}).to_string();
        if self.passwords.is_some() {
            let of = |property: &str| format!("druid.auth.authenticator.{NAME}.{property}");
            set("druid.auth.authenticatorChain", json!([NAME]).to_string());
            set(&of("type"), "basic".into());
            set(&of("credentialsValidator.type"), "metadata".into());
            set(&of("skipOnFailure"), "false".into());
            set(&of("authorizerName"), NAME.into());
            if kind == RoleKind::Coordinator {
                // Of a user who is there already they change nothing.
                set(&of("initialAdminPassword"), environment(ADMIN_PASSWORD));
                set(
                    &of("initialInternalClientPassword"),
                    environment(INTERNAL_PASSWORD),
                );
            }
            set("druid.auth.authorizers", json!([NAME]).to_string());
            set(
                &format!("druid.auth.authorizer.{NAME}.type"),
                "basic".into(),
            );
            set(
                "druid.auth.basic.common.pollingPeriod",
                POLLED_MS.to_string(),
            );
            set("druid.auth.basic.common.maxRandomDelay", "1000".into());
            set("druid.escalator.type", "basic".into());
            set("druid.escalator.internalClientUsername", INTERNAL.into());
            set(
                "druid.escalator.internalClientPassword",
                environment(INTERNAL_PASSWORD),
            );
            set("druid.escalator.authorizerName", NAME.into());
        }
        if self.certificates.is_some() {
            set("druid.enablePlaintextPort", "false".into());
            set("druid.enableTlsPort", "true".into());
            set("druid.tlsPort", kind.port().to_string());
            for (at, store, file) in [
                ("druid.server.https", "keyStore", KEY_STORE),
                ("druid.client.https", "trustStore", TRUST_STORE),
            ] {
                set(
                    &format!("{at}.{store}Path"),
                    format!("{CERTIFICATES}/{file}"),
                );
                set(&format!("{at}.{store}Type"), keystore::TYPE.into());
                set(&format!("{at}.{store}Password"), keystore::PASSWORD.into());
            }
            set("druid.server.https.certAlias", keystore::ALIAS.into());
        }
        all
    }

    /// The variables of a server.
    pub(super) fn environment(&self, cluster: &str, kind: RoleKind) -> Vec<EnvVar> {
        if self.passwords.is_none() {
            return Vec::new();
        }
        let secret = users_name(cluster);
        let mut all = vec![variable(INTERNAL_PASSWORD, &secret, INTERNAL_KEY)];
        if kind == RoleKind::Coordinator {
            all.push(variable(ADMIN_PASSWORD, &secret, ADMIN_KEY));
        }
        all
    }

    /// The Secret with the passwords, when it has to be made.
    ///
    /// It has no owner: what Druid knows outlives the cluster, and without these passwords nobody would get in any more. So it
    /// is created, and what is in it is never changed or removed; a cluster that is made anew finds and uses it.
    #[must_use]
    pub fn users(&self, owner: &Owner) -> Option<Secret> {
        let passwords = self.passwords.as_ref().filter(|made| !made.is_kept)?;
        Some(Secret {
            metadata: ObjectMeta {
                name: Some(users_name(&owner.name)),
                namespace: Some(owner.namespace.clone()),
                labels: Some(owner.labels(COMPONENT)),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".into()),
            data: Some(crate::pods::secret_data([
                (ADMIN_KEY, passwords.admin.clone()),
                (INTERNAL_KEY, passwords.internal.clone()),
            ])),
            ..Secret::default()
        })
    }

    /// What the Secrets of the authority and of the certificate hold, if servers have one.
    ///
    /// # Errors
    /// A certificate is not readable.
    pub(super) fn certificate_secrets(
        &self,
    ) -> Result<Option<[BTreeMap<String, ByteString>; 2]>, Error> {
        let Some(made) = &self.certificates else {
            return Ok(None);
        };
        let mut server = made.server_data();
        let key_store = keystore::key_store(&made.server).map_err(failed)?;
        let trust_store = keystore::trust_store(&made.trusted).map_err(failed)?;
        server.insert(KEY_STORE.into(), ByteString(key_store));
        server.insert(TRUST_STORE.into(), ByteString(trust_store));
        Ok(Some([made.authority_data(), server]))
    }
}

fn failed(error: PkiError) -> Error {
    Error::Build {
        what: "key stores",
        problem: error.to_string(),
    }
}

fn passwords(owner: &Owner, found: &FoundSecurity) -> Result<Passwords, Error> {
    let Some(data) = &found.users else {
        return Ok(Passwords {
            admin: secrets::token()?,
            internal: secrets::token()?,
            is_kept: false,
        });
    };
    let read = |key: &str| {
        text(Some(data), key).map(str::to_owned).ok_or_else(|| {
            Invalid::new(
                "spec.security.authentication",
                "basic",
                format!("the Secret {} has no {key}", users_name(&owner.name)),
                "add that key with the password that Druid knows; or delete the Secret, if this Druid has not begun yet",
            )
        })
    };
    Ok(Passwords {
        admin: read(ADMIN_KEY)?,
        internal: read(INTERNAL_KEY)?,
        is_kept: true,
    })
}

fn certificates_of(owner: &Owner, found: &FoundSecurity) -> Result<Certificates, Error> {
    let services = [RoleKind::Coordinator, RoleKind::Broker, RoleKind::Router];
    let services = services.map(|kind| kind.set(&owner.name));
    certificates::complete(
        (&found.authority, &found.certificate),
        &services.each_ref().map(String::as_str),
        (&owner.name, &owner.namespace),
        found.now,
    )
}

/// A variable with an entry of a Secret.
pub(super) fn variable(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.into(),
                key: key.into(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

#[cfg(test)]
#[path = "security_tests.rs"]
mod tests;
