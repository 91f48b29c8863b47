//! Which vehicle may connect: the SHA-256 of each vehicle's token, as read from the compacted topic.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::settings::Secret;

const TOKEN_BYTES: usize = 32;
type Hash = [u8; 32];

/// Why a vehicle was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token came with the request.
    #[error(
        "authorization: missing: no bearer token was sent; send `Authorization: Bearer <token of the vehicle>`"
    )]
    NoToken,
    /// The vehicle is not enrolled, or was revoked.
    #[error(
        "vehicle: {0}: is not enrolled; enrol it with PUT /v1/vehicles/{0} and use the token of the answer"
    )]
    UnknownVehicle(String),
    /// The token is not the vehicle's.
    #[error(
        "authorization: (not shown): is not the token of vehicle {0}; use the newest one, or rotate it with PUT /v1/vehicles/{0}"
    )]
    WrongToken(String),
}

/// One record of the topic `vehicle-credentials`, keyed by vehicle. No record: not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The vehicle.
    pub vehicle: String,
    /// SHA-256 of the token, base64url. The token itself is kept nowhere.
    pub token_sha256: String,
    /// When the token was made.
    pub since: Timestamp,
}

impl Credential {
    /// The credential of a token.
    #[must_use]
    pub fn of(vehicle: &str, token: &Secret, since: Timestamp) -> Self {
        Self {
            vehicle: vehicle.to_owned(),
            token_sha256: URL_SAFE_NO_PAD.encode(hash(token.expose())),
            since,
        }
    }
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

/// All credentials, by vehicle.
#[derive(Debug, Default)]
pub struct Credentials {
    hashes: RwLock<HashMap<String, (Hash, Timestamp)>>,
}

impl Credentials {
    /// Takes a record of the topic; `None` is a tombstone. True when the vehicle's open sessions are no
    /// longer allowed.
    pub fn apply(&self, vehicle: &str, record: Option<&[u8]>) -> bool {
        let parsed = record.and_then(|bytes| match parse(bytes) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                // Who wrote it meant to change the token: the old one is no longer trusted.
                tracing::error!(vehicle, %problem, "unreadable credential; the vehicle is locked out until enrolled again");
                None
            }
        });
        let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        let before = match parsed {
            Some(new) => hashes.insert(vehicle.to_owned(), new),
            None => hashes.remove(vehicle),
        };
        before.is_some_and(|(old, _)| parsed.is_none_or(|(new, _)| new != old))
    }

    /// Lets the vehicle in or says why not.
    ///
    /// # Errors
    /// When there is no token, the vehicle is not enrolled or the token is not its own.
    pub fn check(&self, vehicle: &str, token: Option<&str>) -> Result<(), AuthError> {
        let token = token.ok_or(AuthError::NoToken)?;
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        let Some((expected, _)) = hashes.get(vehicle) else {
            return Err(AuthError::UnknownVehicle(vehicle.to_owned()));
        };
        if same(expected, &hash(token)) {
            Ok(())
        } else {
            Err(AuthError::WrongToken(vehicle.to_owned()))
        }
    }

    /// Since when the vehicle has its token; `None` when it is not enrolled.
    pub fn since(&self, vehicle: &str) -> Option<Timestamp> {
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        hashes.get(vehicle).map(|(_, since)| *since)
    }

    /// How many vehicles are enrolled.
    pub fn len(&self) -> usize {
        self.hashes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether no vehicle is enrolled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn parse(bytes: &[u8]) -> Result<(Hash, Timestamp), String> {
    let record: Credential = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let hash = URL_SAFE_NO_PAD
        .decode(&record.token_sha256)
        .map_err(|e| e.to_string())?;
    let hash =
        Hash::try_from(hash.as_slice()).map_err(|_| "the hash is not of 32 bytes".to_owned())?;
    Ok((hash, record.since))
}

/// Whether `given` is the secret, in a time that does not depend on where they differ.
#[must_use]
pub fn is_token(secret: &Secret, given: &str) -> bool {
    same(&hash(secret.expose()), &hash(given))
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

// Reads every byte whatever the first ones are; black_box keeps the compiler from leaving the loop early.
fn same(a: &Hash, b: &Hash) -> bool {
    let difference = a
        .iter()
        .zip(b)
        .fold(0_u8, |all, (x, y)| std::hint::black_box(all | (x ^ y)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn record(vehicle: &str, token: &Secret) -> Vec<u8> {
        serde_json::to_vec(&Credential::of(vehicle, token, now())).unwrap()
    }

    #[test]
    fn enrol_rotate_revoke() {
        let all = Credentials::default();
        let (first, second) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(
            all.check("car-1", Some("x")),
            Err(AuthError::UnknownVehicle("car-1".into()))
        );
        assert_eq!(all.check("car-1", None), Err(AuthError::NoToken));

        assert!(
            !all.apply("car-1", Some(&record("car-1", &first))),
            "no session can be open yet"
        );
        all.check("car-1", Some(first.expose())).unwrap();
        assert_eq!(
            all.check("car-1", Some("x")),
            Err(AuthError::WrongToken("car-1".into()))
        );
        assert_eq!(all.since("car-1"), Some(now()));
        assert!(
            !all.apply("car-1", Some(&record("car-1", &first))),
            "the same again cuts nobody"
        );

        assert!(all.apply("car-1", Some(&record("car-1", &second))));
        assert!(all.check("car-1", Some(first.expose())).is_err());
        all.check("car-1", Some(second.expose())).unwrap();

        assert!(all.apply("car-1", None));
        assert!(all.check("car-1", Some(second.expose())).is_err());
        assert!(all.is_empty());
    }

    #[test]
    fn an_unreadable_record_locks_out() {
        let all = Credentials::default();
        let token = new_token().unwrap();
        all.apply("car-1", Some(&record("car-1", &token)));
        assert!(all.apply("car-1", Some(b"{}")));
        assert!(all.check("car-1", Some(token.expose())).is_err());
    }

    #[test]
    fn the_record_does_not_hold_the_token_nor_do_errors() {
        let token = new_token().unwrap();
        let bytes = String::from_utf8(record("car-1", &token)).unwrap();
        assert!(!bytes.contains(token.expose()));
        let all = Credentials::default();
        all.apply("car-1", Some(bytes.as_bytes()));
        let e = all
            .check("car-1", Some("guessed-token"))
            .unwrap_err()
            .to_string();
        assert!(!e.contains("guessed-token"), "{e}");
    }
}
