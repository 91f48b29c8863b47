//! What PostgreSQL keeps of a password: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803). Pure but for random
//! numbers.
//!
//! The operator makes it itself, so that no password stands in a statement, which the server might log. Since a superuser
//! can read it back, it is also how a password is seen that somebody has changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::remote::kafka::scram::Mechanism;

const MECHANISM: Mechanism = Mechanism::Sha256;
/// As many as PostgreSQL itself takes; passwords of ours have 256 random bits and need no more.
const ITERATIONS: u32 = 4096;
/// One with more would keep the operator busy, and is none of ours.
const MOST_ITERATIONS: u32 = 1_000_000;

/// The verifier of a password, with a salt of its own.
///
/// # Errors
/// The machine gave no random numbers.
pub fn make(password: &str) -> Result<String, getrandom::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    Ok(with(password, &salt, ITERATIONS))
}

/// Whether a verifier is that of a password.
#[must_use]
pub fn fits(verifier: &str, password: &str) -> bool {
    let parts = || {
        let rest = verifier.strip_prefix("SCRAM-SHA-256$")?;
        let (iterations, salt) = rest.split_once('$')?.0.split_once(':')?;
        Some((iterations.parse().ok()?, STANDARD.decode(salt).ok()?))
    };
    parts().is_some_and(|(iterations, salt): (u32, Vec<u8>)| {
        (1..=MOST_ITERATIONS).contains(&iterations) && with(password, &salt, iterations) == verifier
    })
}

fn with(password: &str, salt: &[u8], iterations: u32) -> String {
    let salted = MECHANISM.salted(password, salt, iterations);
    let stored = MECHANISM.hash(&MECHANISM.hmac(&salted, b"Client Key"));
    let server = MECHANISM.hmac(&salted, b"Server Key");
    let [salt, stored, server] = [salt, &stored, &server].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_fits_its_password_only() {
        let made = make("pencil").unwrap();
        assert!(fits(&made, "pencil"));
        assert!(!fits(&made, "pen"));
        assert_ne!(made, make("pencil").unwrap(), "each has its salt");
        for other in ["", "md5abc", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:YQ==$a:b"] {
            assert!(!fits(other, "pencil"), "{other}");
        }
    }

    #[test]
    fn it_is_that_of_the_standard() {
        // The example of RFC 7677: the server's signature of the exchange is made with this ServerKey.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let made = with("pencil", &salt, 4096);
        assert_eq!(
            made,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
