//! Who asks: basic authentication with a namespace's key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A namespace and the key to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// The namespace, which is the subject's name too.
    pub namespace: String,
    uuid: String,
    key: String,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Subject")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A key or a list of them could not be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what}: {problem}; {cure}")]
pub struct AuthError {
    what: String,
    problem: &'static str,
    cure: &'static str,
}

impl Subject {
    /// A subject from `uuid:key`.
    ///
    /// # Errors
    /// [`AuthError`] when the text has no colon, or too short a part on either side.
    pub fn new(namespace: &str, credentials: &str) -> Result<Self, AuthError> {
        let error = |problem| AuthError {
            what: format!("key of namespace {namespace}"),
            problem,
            cure: "give one line uuid:key, the key with 16 random characters or more",
        };
        if crate::name::check(namespace).is_err() {
            return Err(error("the namespace is no legal name"));
        }
        let (uuid, key) = credentials
            .trim()
            .split_once(':')
            .ok_or_else(|| error("no colon in it"))?;
        if uuid.is_empty() || key.len() < 16 || key.contains(char::is_whitespace) {
            return Err(error(
                "uuid missing, or key too short, or more than one line",
            ));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            uuid: uuid.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The credentials, `uuid:key`, for actions that are given their namespace's key.
    pub fn credentials(&self) -> String {
        format!("{}:{}", self.uuid, self.key)
    }
}

/// Everybody who may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subjects(Vec<Subject>);

/// Why nobody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No credentials that could be read.
    Missing,
    /// Credentials of nobody.
    Wrong,
}

impl Subjects {
    /// The given ones.
    pub fn new(subjects: Vec<Subject>) -> Self {
        Self(subjects)
    }

    /// The subject of a namespace.
    pub fn of(&self, namespace: &str) -> Option<&Subject> {
        self.0.iter().find(|subject| subject.namespace == namespace)
    }

    /// Whose request this is, by its `Authorization` header.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn identify(&self, header: Option<&str>) -> Result<&Subject, Denied> {
        let (scheme, encoded) = header
            .and_then(|header| header.split_once(' '))
            .ok_or(Denied::Missing)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Denied::Missing);
        }
        let decoded = STANDARD
            .decode(encoded.trim())
            .map_err(|_| Denied::Missing)?;
        let decoded = String::from_utf8(decoded).map_err(|_| Denied::Missing)?;
        let (uuid, key) = decoded.split_once(':').ok_or(Denied::Missing)?;
        self.0
            .iter()
            .find(|subject| {
                subject.uuid == uuid && is_secret(key.as_bytes(), subject.key.as_bytes())
            })
            .ok_or(Denied::Wrong)
    }
}

/// What is told of an entity that is not open to who asks for it, in the real server's words.
pub fn not_authorized(what: &impl std::fmt::Display) -> String {
    format!("The supplied authentication is not authorized to access '{what}'.")
}

/// Whether a caller gave a secret. Digests are compared, so that the time taken tells nothing about it.
pub fn is_secret(given: &[u8], secret: &[u8]) -> bool {
    Sha256::digest(given) == Sha256::digest(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens() {
        let subjects = Subjects::new(vec![
            Subject::new("guest", "u-1:0123456789abcdef\n").unwrap(),
        ]);
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let identify = |header: Option<&str>| {
            subjects
                .identify(header)
                .map(|subject| subject.namespace.clone())
        };
        assert_eq!(
            identify(Some(&basic("u-1:0123456789abcdef"))),
            Ok("guest".to_owned())
        );
        assert_eq!(
            identify(Some(&basic("u-1:0123456789abcdeg"))),
            Err(Denied::Wrong)
        );
        assert_eq!(
            identify(Some(&basic("u-2:0123456789abcdef"))),
            Err(Denied::Wrong)
        );
        for missing in [
            None,
            Some("Bearer x"),
            Some("Basic !!!"),
            Some("Basic eHg="),
            Some("Basic"),
        ] {
            assert_eq!(identify(missing), Err(Denied::Missing), "{missing:?}");
        }
    }

    #[test]
    fn bad_keys_are_refused_with_a_cure_and_never_shown() {
        for bad in ["", "abc", "u:short", ":0123456789abcdef"] {
            let error = Subject::new("guest", bad).unwrap_err().to_string();
            assert!(error.starts_with("key of namespace guest: "), "{error}");
        }
        let subject = Subject::new("guest", "u-1:0123456789abcdef").unwrap();
        assert!(!format!("{subject:?}").contains("0123456789"));
    }
}
