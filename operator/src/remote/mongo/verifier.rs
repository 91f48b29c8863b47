//! Whether what MongoDB keeps of a password is that of a password (RFC 5803, as a document). Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::Document;

use crate::remote::kafka::scram::Mechanism;

const MECHANISM: Mechanism = Mechanism::Sha256;
/// What is asked for would keep the operator busy with more, and is none of ours.
const MOST_ITERATIONS: i32 = 1_000_000;

/// Whether `credentials` of a user, as `usersInfo` shows them, are those of a password. Ours are of letters that
/// SASLprep (RFC 4013) leaves as they are.
#[must_use]
pub(super) fn fits(credentials: &Document, password: &str) -> bool {
    let parts = || {
        let kept = credentials.get_document("SCRAM-SHA-256").ok()?;
        let bytes = |key: &str| STANDARD.decode(kept.get_str(key).ok()?).ok();
        let iterations = kept.get_i32("iterationCount").ok()?;
        Some((iterations, bytes("salt")?, bytes("storedKey")?))
    };
    parts().is_some_and(|(iterations, salt, stored)| {
        if !(1..=MOST_ITERATIONS).contains(&iterations) {
            return false;
        }
        let salted = MECHANISM.salted(password, &salt, iterations.unsigned_abs());
        MECHANISM.hash(&MECHANISM.hmac(&salted, b"Client Key")) == stored
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn credentials_fit_their_password_only() {
        // The example of RFC 7677.
        let kept = doc! {"SCRAM-SHA-256": {
        "iterationCount": 4096, "salt": "W22ZaJ0SNY7soEsUEjb6gQ==",
        "storedKey": "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
        "serverKey": "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="}};
        assert!(fits(&kept, "pencil"));
        assert!(!fits(&kept, "pen"));
        assert!(!fits(&doc! {"SCRAM-SHA-1": {}}, "pencil"));
        assert!(!fits(&doc! {}, "pencil"));
    }
}
