//! Tokens, and what is kept of them: a record of the topic `vehicle-credentials`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::settings::Secret;

const TOKEN_BYTES: usize = 32;

/// SHA-256 of a token.
pub type Hash = [u8; 32];

/// One record of the topic `vehicle-credentials`, keyed by vehicle. No record: not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The vehicle.
    pub vehicle: String,
    /// SHA-256 of the token, base64url. The token itself is kept nowhere.
    pub token_sha256: String,
    /// When the token was made.
    pub since: Timestamp,
    /// The former token, while it works too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Those before it that work too, the newest first. A field of its own: a replica of an earlier version
    /// that reads the record knows `previous` only, as one token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Previous>,
}

/// A token that works on for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// SHA-256 of the token, base64url.
    pub token_sha256: String,
    /// The first moment at which it does not work any more.
    pub until: Timestamp,
}

impl Credential {
    /// The credential of a token, with the former ones that work too, the newest first.
    #[must_use]
    pub fn of(vehicle: &str, token: &Secret, since: Timestamp, former: Vec<Previous>) -> Self {
        let mut former = former.into_iter();
        Self {
            vehicle: vehicle.to_owned(),
            token_sha256: URL_SAFE_NO_PAD.encode(hash_of(token.expose())),
            since,
            previous: former.next(),
            earlier: former.collect(),
        }
    }

    /// The former tokens that work too, the newest first.
    pub fn former(&self) -> impl Iterator<Item = &Previous> {
        self.previous.iter().chain(&self.earlier)
    }

    /// The token's hash.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn hash(&self) -> Result<Hash, String> {
        decode(&self.token_sha256)
    }
}

impl Previous {
    /// A token of this hash that works until then.
    #[must_use]
    pub fn of(hash: &Hash, until: Timestamp) -> Self {
        Self {
            token_sha256: URL_SAFE_NO_PAD.encode(hash),
            until,
        }
    }

    /// The token's hash.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn hash(&self) -> Result<Hash, String> {
        decode(&self.token_sha256)
    }
}

fn decode(text: &str) -> Result<Hash, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|e| e.to_string())?;
    Hash::try_from(bytes.as_slice()).map_err(|_| "the hash is not of 32 bytes".to_owned())
}

/// A new random token of 256 bits.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn new_token() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(&URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether `given` is the secret, in a time that does not depend on where they differ.
#[must_use]
pub fn is_token(secret: &Secret, given: &str) -> bool {
    same(&hash_of(secret.expose()), &hash_of(given))
}

/// The hash of a token.
#[must_use]
pub fn hash_of(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
#[must_use]
pub fn same(a: &Hash, b: &Hash) -> bool {
    // Reads every byte whatever the first ones are; black_box keeps the compiler from leaving the loop early.
    let difference = a
        .iter()
        .zip(b)
        .fold(0_u8, |all, (x, y)| std::hint::black_box(all | (x ^ y)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_does_not_hold_the_token_and_reads_earlier_records() {
        let token = new_token().unwrap();
        let since = "2026-11-23T12:00:00Z".parse().unwrap();
        let credential = Credential::of("car-1", &token, since, Vec::new());
        let text = serde_json::to_string(&credential).unwrap();
        assert!(!text.contains(token.expose()) && !text.contains("previous"));
        assert!(!text.contains("earlier"));
        assert_eq!(
            serde_json::from_str::<Credential>(&text).unwrap(),
            credential
        );
        assert_eq!(credential.hash().unwrap(), hash_of(token.expose()));
        assert!(is_token(&token, token.expose()) && !is_token(&token, "x"));
    }

    #[test]
    fn one_former_token_has_the_form_of_earlier_records() {
        let (token, since) = (
            new_token().unwrap(),
            "2026-11-23T12:00:00Z".parse().unwrap(),
        );
        let former = |n: u8| Previous::of(&[n; 32], since);
        let one = Credential::of("car-1", &token, since, vec![former(1)]);
        let json = serde_json::to_value(&one).unwrap();
        assert!(json["previous"]["until"].is_string() && json.get("earlier").is_none());
        let read: Credential = serde_json::from_value(json).unwrap();
        assert_eq!(read.former().collect::<Vec<_>>(), [&former(1)]);
        let three = Credential::of("car-1", &token, since, (1..4).map(former).collect());
        let json = serde_json::to_value(&three).unwrap();
        assert!(
            json["previous"].is_object(),
            "for readers that know no more: {json}"
        );
        let read: Credential = serde_json::from_value(json).unwrap();
        assert_eq!(read.former().count(), 3);
    }
}
