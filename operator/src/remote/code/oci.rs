//! An artifact of a registry, by the distribution specification: a manifest with one layer, which is the archive.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use serde::Deserialize;
use ureq::Agent;
use ureq::ResponseExt as _;
use ureq::http::{Response, Uri};

use super::https::{Place, Roots, for_code};
use super::reference::{Reference, is_sha256};
use super::{CodeError, LARGEST};
use crate::remote::action::sha256;
use crate::url::percent_encoded;

const FIELD: &str = "spec.code.oci.reference";
const PULL_SECRET: &str = "spec.code.oci.pullSecret";
/// The key of a Secret of type kubernetes.io/dockerconfigjson.
const CONFIG: &str = ".dockerconfigjson";
/// Registries take no larger one.
const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;
const LARGEST_TOKEN: u64 = 64 * 1024;
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
const PUSH: &str =
    "push the zip alone, for example with `oras push REGISTRY/NAME action.zip:application/zip`";

/// Name and password for a registry.
#[derive(Clone)]
pub struct Login {
    /// `Basic …`. Never shown.
    authorization: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

#[derive(Deserialize)]
struct PullConfig {
    #[serde(default)]
    auths: BTreeMap<String, PullEntry>,
}

#[derive(Deserialize)]
struct PullEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Login {
    /// The login that a pull secret has for a registry.
    ///
    /// # Errors
    /// Names the field, the Secret, what it lacks and the cure.
    pub fn read(
        name: &str,
        secret: Option<&Secret>,
        reference: &Reference,
    ) -> Result<Self, Invalid> {
        let wrong = |problem: String| {
            Invalid::new(
                PULL_SECRET,
                name,
                problem,
                "make it with `kubectl create secret docker-registry`",
            )
        };
        let secret = secret.ok_or_else(|| wrong("there is no Secret of that name".into()))?;
        let config = secret.data.as_ref().and_then(|data| data.get(CONFIG));
        let config = config.ok_or_else(|| wrong(format!("the Secret has no key {CONFIG}")))?;
        // What it says exactly is not shown: it may quote a password.
        let config: PullConfig = serde_json::from_slice(&config.0)
            .map_err(|_| wrong(format!("its {CONFIG} is not in that form")))?;
        let host = |known: &str| {
            let known = known.split_once("://").map_or(known, |(_, rest)| rest);
            known.split('/').next().unwrap_or(known).to_owned()
        };
        let entry = config
            .auths
            .iter()
            .find(|(known, _)| {
                let known = host(known);
                known == reference.host
                    || (known == "index.docker.io" && reference.host == "docker.io")
            })
            .map(|(_, entry)| entry)
            .ok_or_else(|| wrong(format!("the Secret has no login for {}", reference.host)))?;
        let pair = match (&entry.auth, &entry.username) {
            (_, Some(user)) => {
                let password = entry.password.as_deref().unwrap_or_default();
                STANDARD.encode(format!("{user}:{password}"))
            }
            (Some(auth), None) => auth.clone(),
            (None, None) => {
                return Err(wrong(format!("its login for {} is empty", reference.host)));
            }
        };
        Ok(Self {
            authorization: format!("Basic {pair}"),
        })
    }
}

/// An artifact together with the way to it.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Which one.
    pub reference: Reference,
    /// How to log in; nobody where anybody may read it.
    pub login: Option<Login>,
    /// Whom to trust.
    pub roots: Roots,
}

/// The layer that is the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// SHA-256 in hexadecimal.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
}

impl Registry {
    /// Which artifact, and who asks for it, hashed: there may be a password in it.
    pub(super) fn place(&self) -> String {
        let login = self.login.as_ref();
        let authorization = login.map_or("", |login| login.authorization.as_str());
        sha256(format!("{}\n{authorization}", self.reference).as_bytes())
    }

    /// Asks for the manifest, and says which layer is the archive.
    pub(super) fn layer(&self) -> Result<Layer, CodeError> {
        let shown = self.reference.to_string();
        let place = Place {
            field: FIELD,
            shown: &shown,
        };
        let url = format!(
            "{}/manifests/sha256:{}",
            self.reference.api(),
            self.reference.sha256
        );
        let answer = self.get(&place, &url, Some(MANIFESTS))?;
        let bytes = place.body(answer, LARGEST_MANIFEST)?;
        let found = sha256(&bytes);
        if found != self.reference.sha256 {
            let wanted = &self.reference.sha256;
            return Err(CodeError::differs(FIELD, &shown, wanted, &found));
        }
        layer_of(&bytes, &place)
    }

    /// Fetches the archive.
    pub(super) fn blob(&self, layer: &Layer) -> Result<Vec<u8>, CodeError> {
        let shown = self.reference.to_string();
        let place = Place {
            field: FIELD,
            shown: &shown,
        };
        let url = format!("{}/blobs/sha256:{}", self.reference.api(), layer.digest);
        let answer = self.get(&place, &url, None)?;
        let code = place.body(answer, layer.size.min(LARGEST))?;
        let found = sha256(&code);
        if found != layer.digest {
            return Err(CodeError::differs(FIELD, &shown, &layer.digest, &found));
        }
        Ok(code)
    }

    /// Asks; where the registry wants to know who does, once more with a token or a password.
    fn get(
        &self,
        place: &Place<'_>,
        url: &str,
        accept: Option<&str>,
    ) -> Result<Response<ureq::Body>, CodeError> {
        let agent = for_code(&self.roots);
        let ask = |authorization: Option<&str>| {
            let mut request = agent.get(url);
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            request.call().map_err(|error| place.unreachable(&error))
        };
        let first = ask(None)?;
        // Whom it has sent on to has no claim to the registry's password, wherever he wants it.
        if first.status().as_u16() != 401 || is_elsewhere(first.get_uri(), url) {
            return Ok(first);
        }
        let asks = first.headers().get("www-authenticate");
        let challenge = asks.and_then(|value| Challenge::parse(value.to_str().ok()?));
        match (challenge, &self.login) {
            (Some(Challenge::Bearer(asked)), login) => {
                let token = token(&agent, place, &asked, login.as_ref())?;
                ask(Some(&format!("Bearer {token}")))
            }
            (Some(Challenge::Basic), Some(login)) => ask(Some(&login.authorization)),
            _ => Ok(first),
        }
    }
}

/// Whether an answer is of another host than the one that was asked.
fn is_elsewhere(answered: &Uri, asked: &str) -> bool {
    let asked: Option<Uri> = asked.parse().ok();
    answered.host() != asked.as_ref().and_then(Uri::host)
}

/// The layer that a manifest names.
fn layer_of(manifest: &[u8], place: &Place<'_>) -> Result<Layer, CodeError> {
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| place.unusable(format!("is no manifest: {error}"), PUSH))?;
    if !manifest.manifests.is_empty() {
        return Err(place.unusable(
            "is an index of several artifacts",
            "give the digest of one of them",
        ));
    }
    let [layer] = &manifest.layers[..] else {
        let count = manifest.layers.len();
        return Err(place.unusable(
            format!("has {count} layers, and an action is one zip"),
            PUSH,
        ));
    };
    let digest = layer.digest.strip_prefix("sha256:");
    let Some(digest) = digest.filter(|digest| is_sha256(digest)) else {
        return Err(place.unusable("its layer has no digest of SHA-256", PUSH));
    };
    if layer.size > LARGEST {
        return Err(place.unusable(
            format!("its layer has {} bytes, which is too many", layer.size),
            "give at most 36 MiB",
        ));
    }
    Ok(Layer {
        digest: digest.to_owned(),
        size: layer.size,
    })
}

/// What a registry wants to know.
#[derive(Debug, PartialEq)]
enum Challenge {
    Basic,
    Bearer(Asked),
}

/// Where a token is to be had, and for what.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// Reads `Bearer realm="…",service="…",scope="…"`.
    fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut asked = Asked::default();
        let mut rest = rest.trim();
        while let Some((name, after)) = rest.split_once('=') {
            // Commas stand in scopes too: `repository:a:pull,push`.
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => asked.realm = value.to_owned(),
                "service" => asked.service = Some(value.to_owned()),
                "scope" => asked.scope = Some(value.to_owned()),
                _ => {}
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        (!asked.realm.is_empty()).then_some(Self::Bearer(asked))
    }
}

impl Asked {
    fn url(&self) -> String {
        let mut url = self.realm.clone();
        let parts = [("service", &self.service), ("scope", &self.scope)];
        for (name, value) in parts {
            if let Some(value) = value {
                let mark = if url.contains('?') { '&' } else { '?' };
                url.push_str(&format!("{mark}{name}={}", percent_encoded(value)));
            }
        }
        url
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn token(
    agent: &Agent,
    place: &Place<'_>,
    asked: &Asked,
    login: Option<&Login>,
) -> Result<String, CodeError> {
    let mut request = agent.get(asked.url());
    if let Some(login) = login {
        request = request.header("authorization", &login.authorization);
    }
    let answer = request.call().map_err(|error| place.unreachable(&error))?;
    let bytes = place.body(answer, LARGEST_TOKEN)?;
    let none = || place.refused(401, "its token service gives no token");
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| none())?;
    token.token.or(token.access_token).ok_or_else(none)
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
