//! Certificates and keys in the form that Java's servers read: its own key store (JKS), which every Java from 1.2 on knows.
//!
//! The password of a store keeps nothing secret here: whoever may read the store is told it. So the store is as secret as what it
//! is in, and the same content gives the same bytes.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha1::{Digest as _, Sha1};

use super::{Issued, PkiError};

/// The type of the store, as Java calls it.
pub const TYPE: &str = "JKS";
/// The password of every store; Java wants one of six characters at least.
pub const PASSWORD: &str = "no-secret";
/// The name of the only key in a store.
pub const ALIAS: &str = "server";

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
const HASH: usize = 20;
/// What the hash of a store begins with, after the password.
const WHITENER: &[u8] = b"Mighty Aphrodite";
/// Java's protection of a key (1.3.6.1.4.1.42.2.17.1.1), without parameters, in DER.
const ALGORITHM: &[u8] = &[
    0x30, 0x0e, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01, 0x05, 0x00,
];

/// A store with a key and the certificate that belongs to it.
///
/// # Errors
/// They are not in PEM.
pub fn key_store(issued: &Issued) -> Result<Vec<u8>, PkiError> {
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())
        .map_err(|error| wrong("tls.key", &error))?;
    let chain = certificates("tls.crt", &issued.certificate)?;
    let mut store = begin(1);
    number(&mut store, KEY);
    text(&mut store, ALIAS);
    store.extend([0; 8]);
    block(&mut store, &protected(key.secret_der()));
    number(&mut store, length(chain.len()));
    for certificate in &chain {
        text(&mut store, "X.509");
        block(&mut store, certificate);
    }
    Ok(end(store))
}

/// A store with the authorities of a text in PEM.
///
/// # Errors
/// They are not in PEM.
pub fn trust_store(authorities: &str) -> Result<Vec<u8>, PkiError> {
    let all = certificates("ca.crt", authorities)?;
    let mut store = begin(all.len());
    for (number_of, certificate) in all.iter().enumerate() {
        number(&mut store, CERTIFICATE);
        text(&mut store, &format!("authority-{number_of}"));
        store.extend([0; 8]);
        text(&mut store, "X.509");
        block(&mut store, certificate);
    }
    Ok(end(store))
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(what, &error))
}

fn wrong(what: &'static str, error: &rustls_pki_types::pem::Error) -> PkiError {
    PkiError::Read {
        what,
        problem: error.to_string(),
    }
}

fn begin(entries: usize) -> Vec<u8> {
    let mut store = Vec::new();
    number(&mut store, MAGIC);
    number(&mut store, VERSION);
    number(&mut store, length(entries));
    store
}

fn end(mut store: Vec<u8>) -> Vec<u8> {
    let hash = hash(&[&password(), WHITENER, &store]);
    store.extend(hash);
    store
}

/// The key as Java protects it: exclusive or with a chain of hashes that begins with a salt.
fn protected(key: &[u8]) -> Vec<u8> {
    let password = password();
    // Nobody who lacks the password has to be kept out, and another salt at each look would be another store.
    let salt = hash(&[b"salt", key]);
    let mut link = salt.clone();
    let mut sealed = salt;
    for part in key.chunks(HASH) {
        link = hash(&[&password, &link]);
        sealed.extend(part.iter().zip(&link).map(|(byte, mask)| byte ^ mask));
    }
    sealed.extend(hash(&[&password, key]));
    let content = [ALGORITHM, &der(0x04, &sealed)].concat();
    der(0x30, &content)
}

/// Of each character two bytes.
fn password() -> Vec<u8> {
    PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// A value in DER, with what it is and how long it is.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let bytes = content.len().to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = bytes.get(zeros..).unwrap_or_default();
    let mut value = vec![tag];
    match significant {
        [] => value.push(0),
        [short] if *short < 0x80 => value.push(*short),
        long => {
            value.push(0x80 | u8::try_from(long.len()).unwrap_or(u8::MAX));
            value.extend(long);
        }
    }
    value.extend(content);
    value
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn number(store: &mut Vec<u8>, number: u32) {
    store.extend(number.to_be_bytes());
}

/// Names here are short, and of ASCII.
fn text(store: &mut Vec<u8>, text: &str) {
    store.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    store.extend(text.as_bytes());
}

fn block(store: &mut Vec<u8>, bytes: &[u8]) {
    number(store, length(bytes.len()));
    store.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::{Authority, Request};
    use super::*;

    fn issued() -> (Authority, Issued) {
        let now = "2026-11-28T00:00:00Z".parse().unwrap();
        let authority = Authority::make("a", now).unwrap();
        let request = Request {
            common_name: "s".into(),
            names: ["localhost".to_owned()].into(),
        };
        let issued = authority.issue(&request, now).unwrap();
        (authority, issued)
    }

    #[test]
    fn lengths_are_written_as_der_has_them() {
        assert_eq!(der(4, b""), [4, 0]);
        assert_eq!(der(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(der(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(der(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn the_same_gives_the_same_store_which_is_of_the_form_and_shows_no_key() {
        let (_, issued) = issued();
        let store = key_store(&issued).unwrap();
        assert_eq!(store, key_store(&issued).unwrap());
        assert_eq!(
            store[..12],
            [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1]
        );
        let (content, hashed) = store.split_at(store.len() - HASH);
        assert_eq!(hashed, hash(&[&password(), WHITENER, content]));
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let shown = store
            .windows(HASH)
            .any(|part| key.secret_der().starts_with(part));
        assert!(!shown);
    }

    #[test]
    fn a_key_comes_back_as_java_takes_it_back() {
        let key: Vec<u8> = (0..=130).collect();
        let sealed = protected(&key);
        let at = sealed.len() - key.len() - 2 * HASH;
        let (salt, rest) = sealed[at..].split_at(HASH);
        let (masked, check) = rest.split_at(key.len());
        let mut link = salt.to_vec();
        let mut back = Vec::new();
        for part in masked.chunks(HASH) {
            link = hash(&[&password(), &link]);
            back.extend(part.iter().zip(&link).map(|(byte, mask)| byte ^ mask));
        }
        assert_eq!(back, key);
        assert_eq!(check, hash(&[&password(), &key]));
        assert_eq!(
            sealed[..3],
            [0x30, 0x81, u8::try_from(sealed.len() - 3).unwrap()]
        );
    }

    #[test]
    fn all_authorities_are_trusted() {
        let (first, _) = issued();
        let (second, _) = issued();
        let both = format!("{}{}", first.certificate, second.certificate);
        let store = trust_store(&both).unwrap();
        assert_eq!(store[8..12], [0, 0, 0, 2]);
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(trust_store(broken).is_err());
    }
}
