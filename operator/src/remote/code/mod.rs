//! Code of actions from elsewhere: by a URL, or an artifact of an OCI registry. What comes is what its digest says, or it is not
//! taken.

mod cache;
mod error;
mod https;
mod oci;
mod reference;
mod url;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use millrace_contract::Invalid;

pub use error::CodeError;
pub use https::{Roots, agent};
pub use oci::{Login, Registry};
pub use reference::Reference;
pub(crate) use url::shown;

use crate::action::crd::{CodeOci, CodeUrl};
use crate::context::Context;
use crate::remote::resident::KubernetesError;
use crate::types::KeyRef;
use cache::CACHE;

/// The server's limit on code is 48 MiB after base64.
pub const LARGEST: u64 = 36 * 1024 * 1024;

/// Where code is, with all that is needed to get it.
#[derive(Clone, Debug)]
pub enum Source {
    /// At an address.
    Url {
        /// The address.
        url: String,
        /// SHA-256 of the archive, in hexadecimal.
        sha256: String,
        /// Whom to trust.
        roots: Roots,
    },
    /// In a registry.
    Oci(Box<Registry>),
}

/// Something that is referred to is wrong, or Kubernetes could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is wrong.
    #[error("{0}")]
    Invalid(Invalid),
    /// Kubernetes could not be asked.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
}

impl Source {
    /// What `spec.code.url` says.
    ///
    /// # Errors
    /// The authority that it names is not there or is none.
    pub async fn url(
        context: &Context,
        namespace: &str,
        asked: &CodeUrl,
    ) -> Result<Self, SourceError> {
        let authority = asked.authority.as_ref();
        Ok(Self::Url {
            url: asked.url.clone(),
            sha256: asked.sha256.clone(),
            roots: roots(context, namespace, authority, "spec.code.url.authority").await?,
        })
    }

    /// What `spec.code.oci` says.
    ///
    /// # Errors
    /// The reference is none, or the pull secret or authority that it names is not there or holds nothing for this registry.
    pub async fn oci(
        context: &Context,
        namespace: &str,
        asked: &CodeOci,
    ) -> Result<Self, SourceError> {
        let reference = Reference::parse(&asked.reference).map_err(SourceError::Invalid)?;
        let login = match &asked.pull_secret {
            None => None,
            Some(name) => {
                let secret = context
                    .namespaced::<Secret>(namespace)
                    .get_opt(name)
                    .await
                    .map_err(KubernetesError::doing("read the pull secret"))?;
                let login = Login::read(name, secret.as_ref(), &reference);
                Some(login.map_err(SourceError::Invalid)?)
            }
        };
        let authority = asked.authority.as_ref();
        let roots = roots(context, namespace, authority, "spec.code.oci.authority").await?;
        Ok(Self::Oci(Box::new(Registry {
            reference,
            login,
            roots,
        })))
    }

    /// Where the code is, and who asks for it, hashed. What needs a login or a secret address is given to nobody who knows its
    /// digest alone.
    fn place(&self) -> String {
        match self {
            Self::Url { url, .. } => url::place(url),
            Self::Oci(registry) => registry.place(),
        }
    }

    /// SHA-256 of the archive, in hexadecimal: a registry has to be asked for it.
    ///
    /// # Errors
    /// The registry does not answer, refuses, or has something else under this digest.
    pub async fn digest(&self) -> Result<String, CodeError> {
        match self {
            Self::Url { sha256, .. } => Ok(sha256.clone()),
            Self::Oci(registry) => {
                let place = self.place();
                if let Some(known) = CACHE.layer(&place) {
                    return Ok(known.digest);
                }
                let registry = registry.clone();
                blocking(move || {
                    let layer = registry.layer()?;
                    CACHE.note_layer(place, &layer);
                    Ok(layer.digest)
                })
                .await
            }
        }
    }

    /// The archive.
    ///
    /// # Errors
    /// It cannot be had, is too large, or is not what its digest says.
    pub async fn fetch(&self) -> Result<Arc<Vec<u8>>, CodeError> {
        let place = self.place();
        let digest = self.digest().await?;
        let key = format!("{digest} {place}");
        if let Some(code) = CACHE.code(&key) {
            return Ok(code);
        }
        let source = self.clone();
        blocking(move || {
            let code = match &source {
                Self::Url { url, sha256, roots } => url::fetch(url, sha256, roots)?,
                Self::Oci(registry) => {
                    let layer = match CACHE.layer(&place) {
                        Some(layer) => layer,
                        None => registry.layer()?,
                    };
                    registry.blob(&layer)?
                }
            };
            Ok(CACHE.keep(key, code))
        })
        .await
    }
}

/// Calls that wait for the network do not hold up the thread of others.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, CodeError> + Send + 'static,
) -> Result<T, CodeError> {
    tokio::task::spawn_blocking(call)
        .await
        .unwrap_or_else(|given_up| Err(CodeError::given_up(&given_up)))
}

/// Whom to trust: an authority of a ConfigMap, or those of the system.
async fn roots(
    context: &Context,
    namespace: &str,
    authority: Option<&KeyRef>,
    field: &str,
) -> Result<Roots, SourceError> {
    let Some(authority) = authority else {
        return Ok(Roots::System);
    };
    let map = context
        .namespaced::<ConfigMap>(namespace)
        .get_opt(&authority.name)
        .await
        .map_err(KubernetesError::doing(
            "read the ConfigMap with the authority",
        ))?;
    let pem = map
        .and_then(|map| map.data)
        .and_then(|data| data.get(&authority.key).cloned());
    let shown = format!("{}/{}", authority.name, authority.key);
    let wrong = |problem: &str| {
        SourceError::Invalid(Invalid::new(
            field,
            &shown,
            problem,
            "put the authority's certificate, in PEM, under that key of the ConfigMap",
        ))
    };
    let pem = pem.ok_or_else(|| wrong("there is no such key of a ConfigMap"))?;
    Roots::of(pem.as_bytes()).ok_or_else(|| wrong("holds no certificate"))
}
