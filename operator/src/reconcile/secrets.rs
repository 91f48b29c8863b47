//! Secrets that are made once and kept: what is there is never made anew.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::PostParams;

use super::{Error, Owner};
use crate::context::{Context, MANAGER};

/// A Secret as it was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// There is none of that name.
    Absent,
    /// The operator made it, with this content.
    Ours(BTreeMap<String, ByteString>),
    /// Somebody else made it: it is used as it is.
    Given,
}

/// Looks for a Secret.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn find(context: &Context, owner: &Owner, name: &str) -> Result<Found, Error> {
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(name)
        .await
        .map_err(Error::doing("reading a Secret"))?;
    Ok(match secret {
        None => Found::Absent,
        // On its way out with a former owner of the same name: its content goes with it.
        Some(secret) if secret.metadata.deletion_timestamp.is_some() => Found::Absent,
        Some(secret) if owner.owns(&secret.metadata) => {
            Found::Ours(secret.data.unwrap_or_default())
        }
        Some(secret)
            if secret
                .metadata
                .owner_references
                .iter()
                .flatten()
                .any(|r| r.kind == owner.reference.kind && r.name == owner.name) =>
        {
            Found::Absent
        }
        Some(_) => Found::Given,
    })
}

/// What a Secret of ours holds. One of somebody else is not taken for ours; that its name is taken is told when ours is
/// applied.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn content(
    context: &Context,
    owner: &Owner,
    name: &str,
) -> Result<BTreeMap<String, ByteString>, Error> {
    Ok(match find(context, owner, name).await? {
        Found::Ours(data) => data,
        Found::Absent | Found::Given => BTreeMap::new(),
    })
}

/// The text of an entry of a Secret, without the space around it, such as the line end that editors leave. `None` when it is
/// missing, empty or not UTF-8.
#[must_use]
pub fn text<'a>(data: Option<&'a BTreeMap<String, ByteString>>, key: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(&data?.get(key)?.0).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Makes the content of an entry.
pub type Make = fn() -> Result<String, Error>;

/// Keeps the entries that are there and makes those that are not. `None` when somebody else made the Secret.
///
/// # Errors
/// The machine gave no random numbers.
pub fn complete(
    found: &Found,
    make: &[(&str, Make)],
) -> Result<Option<BTreeMap<String, ByteString>>, Error> {
    let mut data = match found {
        Found::Given => return Ok(None),
        Found::Absent => BTreeMap::new(),
        Found::Ours(data) => data.clone(),
    };
    for (name, make) in make {
        if !data.contains_key(*name) {
            data.insert((*name).to_owned(), ByteString(make()?.into_bytes()));
        }
    }
    Ok(Some(data))
}

/// Creates a Secret and does not apply it: when somebody was quicker, theirs stays, and the next look finds it.
///
/// # Errors
/// It could not be created; there may be one by now.
pub async fn create(context: &Context, owner: &Owner, secret: &Secret) -> Result<(), Error> {
    let api = context.namespaced::<Secret>(&owner.namespace);
    let params = PostParams {
        field_manager: Some(MANAGER.into()),
        ..PostParams::default()
    };
    let made = api
        .create(&params, secret)
        .await
        .map_err(Error::doing("making a Secret"))?;
    context.metrics.count_write("Secret");
    tracing::info!(
        kind = "Secret",
        name = made.name_any(),
        namespace = owner.namespace,
        owner = owner.name,
        "made"
    );
    Ok(())
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

/// A token: 32 random bytes as base64url, which goes into headers and URLs as it is.
///
/// # Errors
/// The machine gave no random numbers.
pub fn token() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(random()?))
}

/// A key: 32 random bytes as base64.
///
/// # Errors
/// The machine gave no random numbers.
pub fn key() -> Result<String, Error> {
    Ok(STANDARD.encode(random()?))
}

/// Credentials in OpenWhisk's form, `uuid:key`.
///
/// # Errors
/// The machine gave no random numbers.
pub fn whisk_auth() -> Result<String, Error> {
    let bytes = random()?;
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[..16]);
    let id = uuid::Builder::from_random_bytes(half).into_uuid();
    Ok(format!("{id}:{}", token()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_kept() {
        let there = BTreeMap::from([("a".to_owned(), ByteString(b"old".to_vec()))]);
        let make: &[(&str, Make)] = &[("a", token), ("b", token)];
        let data = complete(&Found::Ours(there), make).unwrap().unwrap();
        assert_eq!(data["a"].0, b"old");
        assert_eq!(data["b"].0.len(), 43);
        assert_eq!(complete(&Found::Given, make).unwrap(), None);
        assert_eq!(complete(&Found::Absent, make).unwrap().unwrap().len(), 2);
    }

    #[test]
    fn texts_are_read_without_what_editors_leave() {
        let entry = |bytes: &[u8]| ("key".to_owned(), ByteString(bytes.to_vec()));
        let read = |bytes: &[u8]| {
            let data = BTreeMap::from([entry(bytes)]);
            text(Some(&data), "key").map(str::to_owned)
        };
        assert_eq!(read(b" a b\n").as_deref(), Some("a b"));
        for none in [&b" \n"[..], b"", b"\xff"] {
            assert_eq!(read(none), None);
        }
        assert_eq!(text(None, "key"), None);
    }

    #[test]
    fn random_is_random_and_in_form() {
        assert_ne!(token().unwrap(), token().unwrap());
        assert_eq!(STANDARD.decode(key().unwrap()).unwrap().len(), 32);
        let auth = whisk_auth().unwrap();
        let (id, key) = auth.split_once(':').unwrap();
        assert!(uuid::Uuid::parse_str(id).is_ok());
        assert!(key.len() >= 32);
    }
}
