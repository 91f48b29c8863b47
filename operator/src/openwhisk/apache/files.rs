//! The script that starts the servers. Pure.

use std::collections::BTreeMap;

/// Where it is mounted.
pub const FILES: &str = "/files";
/// Where the authorities are mounted that Java is to trust.
pub const TRUST_SOURCES: &str = "/trust";
/// The key store that the script makes of them.
pub const TRUST: &str = "/tmp/trust.p12";
/// There is nothing in it that is secret; a key store has to have a password.
pub const TRUST_PASSWORD: &str = "millrace";

/// Name of the script.
pub const START: &str = "start.sh";

/// The files of the servers, by name.
#[must_use]
pub fn files() -> BTreeMap<String, String> {
    BTreeMap::from([(START.to_owned(), include_str!("start.sh").to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_and_the_settings_speak_of_the_same_places() {
        let script = &files()[START];
        assert!(script.contains(&format!("store={TRUST}")));
        assert!(script.contains(&format!("-storepass {TRUST_PASSWORD} ")));
        assert!(script.contains(&format!("trustStorePassword={TRUST_PASSWORD}")));
        assert!(script.contains(&format!("for bundle in {TRUST_SOURCES}/*")));
    }
}
