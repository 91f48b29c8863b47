//! Values that must not be seen: not in results, not in logs, not in messages about bad input.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Shorter ones are not looked for in messages: every other word would be hidden.
const SHORTEST: usize = 4;

/// A secret parameter. It can be read by [`Secret::expose`] alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message about a wrong type would show the value.
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(value)) => Ok(Self(value)),
            _ => Err(serde::de::Error::custom(
                "a secret parameter is no text; put its value in quotes",
            )),
        }
    }
}

/// Hides secrets that others put into their messages.
#[derive(Default)]
pub(crate) struct Scrubber(Vec<String>);

impl Scrubber {
    /// Adds a value to hide.
    pub(crate) fn hide(&mut self, value: &str) {
        if value.len() >= SHORTEST && !self.0.iter().any(|known| known == value) {
            self.0.push(value.to_owned());
            // The longest first: a part of one may be another.
            self.0.sort_by_key(|value| std::cmp::Reverse(value.len()));
        }
    }

    /// The message without any of them.
    pub(crate) fn clean(&self, message: &str) -> String {
        self.0.iter().fold(message.to_owned(), |message, secret| {
            message.replace(secret, HIDDEN)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::from("hunter22");
        assert_eq!(format!("{secret:?}"), "***");
        let error = serde_json::from_str::<Secret>("12345").unwrap_err();
        assert!(!error.to_string().contains("12345"), "{error}");
        assert_eq!(
            serde_json::from_str::<Secret>("\"x\"").unwrap().expose(),
            "x"
        );
    }

    #[test]
    fn messages_are_scrubbed() {
        let mut scrubber = Scrubber::default();
        for value in ["pass", "password", "", "a"] {
            scrubber.hide(value);
        }
        assert_eq!(scrubber.clean("a password, a pass"), "a ***, a ***");
    }
}
