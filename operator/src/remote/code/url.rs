//! Code at an address.

use super::https::{Place, Roots, for_code};
use super::{CodeError, LARGEST};
use crate::remote::action::sha256;

const FIELD: &str = "spec.code.url.url";

/// What is at an address, if it is what its digest says.
pub(super) fn fetch(url: &str, digest: &str, roots: &Roots) -> Result<Vec<u8>, CodeError> {
    let shown = shown(url);
    let place = Place {
        field: FIELD,
        shown,
    };
    let answer = for_code(roots)
        .get(url)
        .call()
        .map_err(|error| place.unreachable(&error))?;
    let code = place.body(answer, LARGEST)?;
    let found = sha256(&code);
    if found != digest {
        return Err(CodeError::differs(
            "spec.code.url.sha256",
            shown,
            digest,
            &found,
        ));
    }
    Ok(code)
}

/// The address, hashed: it may be a key.
pub(super) fn place(url: &str) -> String {
    sha256(url.as_bytes())
}

/// The address without its query, which may be a key.
pub(crate) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_an_address_are_not_shown() {
        assert_eq!(shown("https://a/b.zip?sig=x#y"), "https://a/b.zip");
    }

    #[test]
    fn nothing_but_https_is_spoken() {
        let error = fetch("http://127.0.0.1:1/a.zip", "0", &Roots::System).unwrap_err();
        assert!(matches!(error, CodeError::Unreachable(_)), "{error}");
        assert!(error.to_string().contains("not https"), "{error}");
    }
}
