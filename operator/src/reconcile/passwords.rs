//! Which password a user inside a database is to have. Pure but for random numbers.
//!
//! The Secret of a user is written after the database was told, so a password that is in it is one that the database knows. A
//! new one that did not get so far is forgotten, and the next reconcile makes another.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::{Error, secrets};

/// In the Secret of a user: the value of the annotation that its password was last changed for.
pub const ROTATED_FOR: &str = "rotated-for";

/// On a cluster: asks for new passwords of its users. Each new value asks once.
pub const ROTATE: &str = "millrace.dev/rotate-password";

/// A password of a user.
#[derive(Clone, Eq, PartialEq)]
pub struct Password {
    /// The password itself.
    pub text: String,
    /// What was last followed of those who asked for a new one.
    pub rotated_for: Option<String>,
    /// Whether it stands in the Secret already.
    pub is_kept: bool,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("Password")
            .field("rotated_for", &self.rotated_for)
            .field("is_kept", &self.is_kept)
            .finish_non_exhaustive()
    }
}

impl Password {
    /// What the Secret of a user holds.
    #[must_use]
    pub fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |bytes: &ByteString| String::from_utf8(bytes.0.clone()).ok();
        Some(Self {
            text: text(data.get("password")?)?,
            rotated_for: data.get(ROTATED_FOR).and_then(text),
            is_kept: true,
        })
    }
}

/// What the annotation asks of a user: `USER,USER:anything` asks these, and anything without a colon asks all.
#[must_use]
pub fn asked<'a>(annotation: Option<&'a str>, user: &str) -> Option<&'a str> {
    let asked = annotation?;
    match asked.split_once(':') {
        Some((users, _)) if !users.split(',').any(|one| one.trim() == user) => None,
        _ => Some(asked),
    }
}

/// Decides: `known` is what the Secret holds, `asked` what the annotation asks of this user.
///
/// # Errors
/// The machine gave no random numbers.
pub fn decide(known: Option<Password>, asked: Option<&str>) -> Result<Password, Error> {
    match known {
        Some(known) if asked.is_none() || asked == known.rotated_for.as_deref() => Ok(known),
        known => Ok(Password {
            text: secrets::token()?,
            rotated_for: asked
                .map(str::to_owned)
                .or_else(|| known.and_then(|known| known.rotated_for)),
            is_kept: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rotated_for: Option<&str>) -> Password {
        Password {
            text: "hidden".into(),
            rotated_for: rotated_for.map(str::to_owned),
            is_kept: true,
        }
    }

    #[test]
    fn each_new_value_asks_once_whom_it_names() {
        let first = decide(None, asked(Some("1"), "score")).unwrap();
        assert!(!first.is_kept && first.text.len() == 43);
        assert_eq!(first.rotated_for.as_deref(), Some("1"));
        let of = |annotation: Option<&str>, role: &str| {
            decide(Some(known(Some("1"))), asked(annotation, role)).unwrap()
        };
        assert_eq!(of(None, "score"), known(Some("1")));
        assert_eq!(of(Some("1"), "score"), known(Some("1")));
        assert_ne!(of(Some("2"), "score").text, "hidden");
        assert_eq!(of(Some("analyst:2"), "score"), known(Some("1")));
        let named = of(Some("analyst, score:2"), "score");
        assert_eq!(named.rotated_for.as_deref(), Some("analyst, score:2"));
        assert!(!named.is_kept);
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", known(None)).contains("hidden"));
    }
}
