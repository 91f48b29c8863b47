//! The client's side of SCRAM (RFC 5802, RFC 7677), and what a broker keeps of a password. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

/// Fewer iterations than this would make guessing cheap (RFC 7677).
const LEAST_ITERATIONS: u32 = 4096;
/// More would let a server keep this client busy.
const MOST_ITERATIONS: u32 = 1_000_000;
/// No channel binding.
const GS2_HEADER: &str = "n,,";

/// The hash of the mechanism.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        })
    }
}

impl Mechanism {
    /// By its name in the protocol.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "SCRAM-SHA-256" => Some(Self::Sha256),
            "SCRAM-SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The hash itself.
    #[must_use]
    pub fn hash(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// The hash with a key.
    #[must_use]
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        // An HMAC takes a key of any length, so the error cannot come.
        match self {
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
        }
        .unwrap_or_default()
    }

    /// The salted password, which a broker is told instead of the password.
    #[must_use]
    pub fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => {
                let mut key = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut key);
                key
            }
            Self::Sha512 => {
                let mut key = vec![0; 64];
                pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, iterations, &mut key);
                key
            }
        }
    }
}

/// A conversation that has begun.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    nonce: String,
    bare: String,
}

/// What is left to do once the server has answered the proof.
#[derive(Debug)]
pub struct Proven {
    /// The last message of the client.
    pub message: String,
    signature: Vec<u8>,
}

impl Exchange {
    /// Begins with a fresh nonce; gives the first message too.
    #[must_use]
    pub fn begin(mechanism: Mechanism, username: &str, nonce: &str) -> (Self, String) {
        // The two characters with a meaning of their own (RFC 5802, section 5.1).
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        let message = format!("{GS2_HEADER}{bare}");
        let exchange = Self {
            mechanism,
            nonce: nonce.to_owned(),
            bare,
        };
        (exchange, message)
    }

    /// Answers the server's first message.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn prove(&self, server_first: &str, password: &str) -> Result<Proven, String> {
        let field = |name: &str| {
            server_first
                .split(',')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| format!("its first message lacks {name}="))
        };
        let nonce = field("r")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("it answers another exchange".into());
        }
        let salt = STANDARD
            .decode(field("s")?)
            .map_err(|_| "its salt is not base64".to_owned())?;
        let iterations: u32 = field("i")?
            .parse()
            .map_err(|_| "its iterations are no number".to_owned())?;
        if !(LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(format!(
                "it asks for {iterations} iterations; {LEAST_ITERATIONS} to {MOST_ITERATIONS} are accepted"
            ));
        }
        let hash = self.mechanism;
        let salted = hash.salted(password, &salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let signed = format!("{},{server_first},{without_proof}", self.bare);
        let signature = hash.hmac(&hash.hash(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        Ok(Proven {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            signature: hash.hmac(&hash.hmac(&salted, b"Server Key"), signed.as_bytes()),
        })
    }
}

impl Proven {
    /// Whether the server knows the password too.
    ///
    /// # Errors
    /// In words, why not.
    pub fn check(&self, server_final: &str) -> Result<(), String> {
        if let Some(problem) = server_final.strip_prefix("e=") {
            return Err(problem.to_owned());
        }
        let given = server_final
            .split(',')
            .find_map(|part| part.strip_prefix("v="))
            .and_then(|text| STANDARD.decode(text).ok());
        if given.as_deref() == Some(&self.signature[..]) {
            Ok(())
        } else {
            Err("it does not know the password itself".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_example_of_the_standard() {
        let (exchange, first) = Exchange::begin(Mechanism::Sha256, "user", NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proven = exchange.prove(SERVER_FIRST, "pencil").unwrap();
        assert_eq!(
            proven.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(
            proven
                .check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
                .is_ok()
        );
        assert!(proven.check("v=AAAA").is_err());
        assert_eq!(
            proven.check("e=invalid-proof").unwrap_err(),
            "invalid-proof"
        );
    }

    #[test]
    fn a_server_that_asks_for_little_or_too_much_is_refused() {
        let (exchange, _) = Exchange::begin(Mechanism::Sha512, "a,b=c", NONCE);
        assert!(
            exchange
                .prove(&SERVER_FIRST.replace("4096", "1"), "p")
                .is_err()
        );
        assert!(
            exchange
                .prove(&SERVER_FIRST.replace("4096", "99999999"), "p")
                .is_err()
        );
        assert!(
            exchange
                .prove(&SERVER_FIRST.replace("rOprN", "other"), "p")
                .is_err()
        );
    }

    #[test]
    fn names_with_marks_are_escaped() {
        let (_, first) = Exchange::begin(Mechanism::Sha512, "a,b=c", "x");
        assert_eq!(first, "n,,n=a=2Cb=3Dc,r=x");
    }
}
