//! Names of entities, and ids.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name.
const LONGEST: usize = 256;

/// Why a name cannot be one. The texts, their spelling too, are the real server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than allowed.
    #[error("Name segement longer than allowed: {0} > {LONGEST}.")]
    TooLong(usize),
    /// Characters that no name may hold.
    #[error("The name of the entity contains illegal characters.")]
    Illegal,
}

/// Checks an entity's name: word characters, and inside also `@ . & -` and blanks.
///
/// # Errors
/// [`NameError`].
pub fn check(name: &str) -> Result<(), NameError> {
    if name.len() > LONGEST {
        return Err(NameError::TooLong(name.len()));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let legal = name.starts_with(word)
        && name.ends_with(|c: char| word(c) || "@.&-".contains(c))
        && name.chars().all(|c| word(c) || "@ .&-".contains(c));
    if legal {
        Ok(())
    } else {
        Err(NameError::Illegal)
    }
}

/// A namespace and a name: `/guest/echo`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FullName {
    /// Namespace.
    pub namespace: String,
    /// Name, with its package if it has one: `package/name`.
    pub name: String,
}

impl FullName {
    /// Reads `/namespace/name`, `/_/name` (own namespace) or `namespace/name`.
    ///
    /// `None` when there is no namespace in it.
    pub fn parse(text: &str, own: &str) -> Option<Self> {
        let (namespace, name) = text.strip_prefix('/').unwrap_or(text).split_once('/')?;
        let namespace = if namespace == "_" { own } else { namespace };
        (!namespace.is_empty() && !name.is_empty()).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The last part of the name: without its package.
    pub fn leaf(&self) -> &str {
        self.name
            .rsplit_once('/')
            .map_or(self.name.as_str(), |(_, leaf)| leaf)
    }

    /// The package of which it names a part, if it does.
    pub fn package(&self) -> Option<Self> {
        let (package, _) = self.name.split_once('/')?;
        Some(Self {
            namespace: self.namespace.clone(),
            name: package.to_owned(),
        })
    }

    /// What stands before the last part: the namespace, and the package if there is one.
    pub fn path(&self) -> String {
        match self.name.rsplit_once('/') {
            Some((package, _)) => format!("{}/{package}", self.namespace),
            None => self.namespace.clone(),
        }
    }
}

impl fmt::Display for FullName {
    /// As in paths and messages: `guest/echo`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A fresh activation id: 32 hexadecimal digits.
pub fn activation_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A fresh transaction id: 32 letters and digits.
pub fn transaction_id() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0_u8; 32];
    if getrandom::fill(&mut bytes).is_err() {
        // Without a source of randomness ids still have to differ; uuid falls back by itself or aborts.
        return activation_id();
    }
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a b", "a@b", "warn-driver", "x.y", "_x", "a&"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "bad$name", "hé", " a", "a ", "-a", "a/b"] {
            assert_eq!(check(bad), Err(NameError::Illegal), "{bad:?}");
        }
        let error = check(&"a".repeat(257)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Name segement longer than allowed: 257 > 256."
        );
    }

    #[test]
    fn full_names() {
        let name = |text| FullName::parse(text, "me").map(|name| name.to_string());
        assert_eq!(name("/_/echo").as_deref(), Some("me/echo"));
        assert_eq!(name("/guest/p/echo").as_deref(), Some("guest/p/echo"));
        assert_eq!(name("echo"), None);
        assert_eq!(name("/_/"), None);
    }

    #[test]
    fn ids_have_32_characters_and_differ() {
        assert_eq!(activation_id().len(), 32);
        assert_eq!(transaction_id().len(), 32);
        assert_ne!(transaction_id(), transaction_id());
    }
}
