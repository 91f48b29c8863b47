//! Sealing of payloads that may name a driver, with ChaCha20-Poly1305.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use millrace_contract::Payload;
use sha2::{Digest, Sha256};

/// The algorithm's name in a sealed payload.
pub const ALGORITHM: &str = "ChaCha20-Poly1305";
const NONCE_BYTES: usize = 12;
const SHORTEST_KEY: usize = 32;
// Ties the derived key to this use, so that the same secret elsewhere gives another key.
const DOMAIN: &[u8] = b"millrace dead letter seal v1";

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The cipher refused.
    #[error("the payload cannot be sealed")]
    Seal,
    /// Wrong key, or the payload was changed.
    #[error(
        "the payload cannot be opened: the seal-key is another one, or the payload was changed"
    )]
    Open,
    /// Not a payload sealed here.
    #[error("the payload is not one sealed with {ALGORITHM}")]
    Format,
}

/// The key that seals dead letters. Only who has the gateway's secret can read them.
#[derive(Clone)]
pub struct SealKey(ChaCha20Poly1305);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// Derives the key from a secret text of at least 32 characters.
    ///
    /// # Errors
    /// The problem, when the text is shorter.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < SHORTEST_KEY {
            return Err(format!("shorter than {SHORTEST_KEY} characters"));
        }
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(text.as_bytes());
        Ok(Self(ChaCha20Poly1305::new(&hash.finalize())))
    }

    /// Seals `plain` under a random nonce.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn seal(&self, plain: &[u8]) -> Result<Payload, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|e| SealError::Random(e.to_string()))?;
        let data = self
            .0
            .encrypt(Nonce::from_slice(&nonce), plain)
            .map_err(|_| SealError::Seal)?;
        Ok(Payload::Sealed {
            algorithm: ALGORITHM.to_owned(),
            nonce: STANDARD.encode(nonce),
            data: STANDARD.encode(data),
        })
    }

    /// Opens what [`SealKey::seal`] sealed.
    ///
    /// # Errors
    /// When the key is another one, or the payload was changed or not sealed here.
    pub fn open(&self, payload: &Payload) -> Result<Vec<u8>, SealError> {
        let Payload::Sealed {
            algorithm,
            nonce,
            data,
        } = payload
        else {
            return Err(SealError::Format);
        };
        let nonce = STANDARD.decode(nonce).map_err(|_| SealError::Format)?;
        let data = STANDARD.decode(data).map_err(|_| SealError::Format)?;
        if algorithm != ALGORITHM || nonce.len() != NONCE_BYTES {
            return Err(SealError::Format);
        }
        self.0
            .decrypt(Nonce::from_slice(&nonce), data.as_slice())
            .map_err(|_| SealError::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SealKey {
        SealKey::from_text(text).unwrap()
    }

    #[test]
    fn opens_only_with_its_key() {
        let secret = "a secret of more than thirty-two characters";
        let sealed = key(secret).seal(b"{\"driver\":\"D-4711\"}").unwrap();
        assert!(!serde_json::to_string(&sealed).unwrap().contains("4711"));
        assert_eq!(
            key(secret).open(&sealed).unwrap(),
            b"{\"driver\":\"D-4711\"}"
        );
        assert!(
            key("another secret of more than thirty-two")
                .open(&sealed)
                .is_err()
        );
        assert!(SealKey::from_text("short").is_err());
    }

    #[test]
    fn equal_payloads_are_sealed_differently() {
        let key = key("a secret of more than thirty-two characters");
        assert_ne!(key.seal(b"x").unwrap(), key.seal(b"x").unwrap());
    }
}
