//! The part of an address behind the question mark.

use axum::extract::Query;
use axum::http::Uri;
use millrace_contract::Invalid;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The parameters of a request, decoded, in their order.
///
/// # Errors
/// They are not of the form `name=value&…`.
pub fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Invalid> {
    Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|e| {
            Invalid::new(
                "query",
                uri.query().unwrap_or_default(),
                e.to_string(),
                "write name=value&name=value",
            )
        })
}

/// A parameter that is a number in a range.
///
/// # Errors
/// It is no number, or outside.
pub fn number(name: &str, text: &str, low: u32, high: u32) -> Result<u32, Invalid> {
    text.parse()
        .ok()
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| {
            Invalid::new(
                name,
                text,
                format!("is not a number from {low} to {high}"),
                format!("give {name}={low} to {name}={high}"),
            )
        })
}

/// A parameter that is `true` or `false`.
///
/// # Errors
/// It is neither.
pub fn flag(name: &str, text: &str) -> Result<bool, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(
            name,
            text,
            "is neither true nor false",
            format!("give {name}=true or leave it out"),
        )
    })
}

/// The refusal of a parameter that the endpoint does not have.
#[must_use]
pub fn unknown(name: &str, value: &str, cure: &str) -> Invalid {
    Invalid::new(
        "query",
        format!("{name}={value}"),
        "is not known here",
        cure,
    )
}

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The value of a `Link` header that leads to the next page.
#[must_use]
pub fn link_to_next(path: &str, pairs: &[(String, String)], cursor: (&str, &str)) -> String {
    let mut address = format!("{path}?");
    for (name, value) in pairs.iter().filter(|(name, _)| name != cursor.0) {
        address.push_str(&format!("{name}={}&", encode(value)));
    }
    format!("<{address}{}={}>; rel=\"next\"", cursor.0, encode(cursor.1))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_and_encoded() {
        let uri: Uri = "/v1/x?reason=too%20fast&limit=5".parse().unwrap();
        let pairs = pairs(&uri).unwrap();
        assert_eq!(pairs[0], ("reason".to_owned(), "too fast".to_owned()));
        assert_eq!(
            link_to_next("/v1/x", &pairs, ("before", "0-3")),
            "</v1/x?reason=too%20fast&limit=5&before=0-3>; rel=\"next\""
        );
    }

    #[test]
    fn numbers_and_flags_name_the_cure() {
        assert_eq!(number("limit", "7", 1, 9).unwrap(), 7);
        assert!(
            number("limit", "0", 1, 9)
                .unwrap_err()
                .cure
                .contains("limit=9")
        );
        assert!(flag("again", "true").unwrap());
        assert_eq!(flag("again", "yes").unwrap_err().field, "again");
    }
}
