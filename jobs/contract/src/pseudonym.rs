//! Pseudonyms of hires: the only trace of a driver behind the gateway.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::Invalid;

/// Shortest accepted key, in bytes.
pub const MIN_KEY_BYTES: usize = 32;
/// Bytes of the HMAC that a pseudonym keeps: 128 bits make collisions negligible.
const KEPT_BYTES: usize = 16;
/// Ties the key to this use, so that the same key elsewhere gives other results.
const DOMAIN: &[u8] = b"millrace hire pseudonym v1";

/// The secret from which pseudonyms are made. Without it a pseudonym cannot be tied to a driver.
#[derive(Clone)]
pub struct PseudonymKey {
    // Keyed once: a pseudonym is made for each event.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PseudonymKey(..)")
    }
}

impl PseudonymKey {
    /// A key from random bytes.
    ///
    /// # Errors
    /// Fewer than [`MIN_KEY_BYTES`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let too_short = || {
            Invalid::new(
                "pseudonym-key",
                format!("{} bytes", bytes.len()),
                format!("shorter than {MIN_KEY_BYTES} bytes"),
                format!("use {MIN_KEY_BYTES} random bytes"),
            )
        };
        if bytes.len() < MIN_KEY_BYTES {
            return Err(too_short());
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(bytes).map_err(|_| too_short())?;
        mac.update(DOMAIN);
        Ok(Self { mac })
    }

    /// A key from base64 text, surrounding white space ignored.
    ///
    /// # Errors
    /// The text is not base64 or too short.
    pub fn from_base64(text: &str) -> Result<Self, Invalid> {
        let bytes = STANDARD.decode(text.trim()).map_err(|e| {
            Invalid::new(
                "pseudonym-key",
                "(not shown)",
                format!("not base64: {e}"),
                format!("use the base64 of {MIN_KEY_BYTES} random bytes"),
            )
        })?;
        Self::from_bytes(&bytes)
    }

    /// The pseudonym of a driver in one hire, 22 characters of base64url.
    ///
    /// The same driver has unrelated pseudonyms in two hires. Without `hire`, all of a driver's events without
    /// one share a pseudonym.
    pub fn pseudonym(&self, driver: &str, hire: Option<&str>) -> String {
        let mut mac = self.mac.clone();
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(&(driver.len() as u64).to_be_bytes());
        mac.update(driver.as_bytes());
        if let Some(hire) = hire {
            mac.update(b"/");
            mac.update(hire.as_bytes());
        }
        encoded(mac)
    }

    /// The key of a driver, the same in all hires, 22 characters of base64url. It belongs where the mapping of hires to
    /// drivers is, and nowhere else.
    pub fn driver(&self, driver: &str) -> String {
        let mut mac = self.mac.clone();
        // No driver id is so long: so this is the pseudonym of none.
        mac.update(&u64::MAX.to_be_bytes());
        mac.update(driver.as_bytes());
        encoded(mac)
    }
}

fn encoded(mac: Hmac<Sha256>) -> String {
    let digest = mac.finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(&digest[..KEPT_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(fill: u8) -> PseudonymKey {
        PseudonymKey::from_bytes(&[fill; 32]).unwrap()
    }

    #[test]
    fn keys() {
        assert_eq!(
            PseudonymKey::from_bytes(b"short").unwrap_err().value,
            "5 bytes"
        );
        assert!(PseudonymKey::from_base64("%%%").is_err());
        let text = STANDARD.encode([7; 32]);
        let same = PseudonymKey::from_base64(&format!(" {text}\n")).unwrap();
        assert_eq!(same.pseudonym("ivan", None), key(7).pseudonym("ivan", None));
        assert_eq!(format!("{:?}", key(7)), "PseudonymKey(..)");
    }

    #[test]
    fn known_answer() {
        // Stored data depends on it: a change of the construction must be noticed.
        assert_eq!(
            key(1).pseudonym("driver-1", Some("hire-1")),
            "bHnf31jJjpmQuyL1_qYfpg"
        );
        assert_eq!(key(1).driver("driver-1"), "6-_MznbISjEbO_jrspWYjw");
        assert_ne!(
            key(1).driver("driver-1"),
            key(1).pseudonym("driver-1", None)
        );
    }

    proptest! {
        #[test]
        fn stable_distinct_and_opaque(driver in "[a-zA-Z0-9@. -]{4,40}", hire in proptest::option::of("[a-z0-9]{1,12}")) {
            let p = key(1).pseudonym(&driver, hire.as_deref());
            prop_assert_eq!(&p, &key(1).pseudonym(&driver, hire.as_deref()));
            prop_assert_eq!(p.len(), 22);
            prop_assert!(!p.contains(&driver));
            prop_assert_ne!(&p, &key(2).pseudonym(&driver, hire.as_deref()));
            prop_assert_ne!(&p, &key(1).pseudonym(&driver, Some("another hire")));
            prop_assert_ne!(&p, &key(1).pseudonym(&format!("{driver}x"), hire.as_deref()));
        }
    }
}
