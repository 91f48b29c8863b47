//! Which password a role is to have. Pure but for random numbers.
//!
//! The Secret of a role is written after PostgreSQL was told, so a password that is in it is one that PostgreSQL knows. A
//! new one that did not get so far is forgotten, and the next reconcile makes another.

use crate::reconcile::{Error, secrets};

/// A password of a role.
#[derive(Clone, Eq, PartialEq)]
pub struct RolePassword {
    /// The password itself.
    pub text: String,
    /// What was last followed of those who asked for a new one.
    pub rotated_for: Option<String>,
    /// Whether it stands in the Secret already.
    pub is_kept: bool,
}

impl std::fmt::Debug for RolePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("RolePassword")
            .field("rotated_for", &self.rotated_for)
            .field("is_kept", &self.is_kept)
            .finish_non_exhaustive()
    }
}

/// What the annotation asks of a role: `ROLE,ROLE:anything` asks these, and anything without a colon asks all.
#[must_use]
pub(super) fn asked<'a>(annotation: Option<&'a str>, role: &str) -> Option<&'a str> {
    let asked = annotation?;
    match asked.split_once(':') {
        Some((roles, _)) if !roles.split(',').any(|one| one.trim() == role) => None,
        _ => Some(asked),
    }
}

/// Decides: `known` is what the Secret holds, `asked` what the annotation asks of this role.
///
/// # Errors
/// The machine gave no random numbers.
pub(super) fn decide(
    known: Option<RolePassword>,
    asked: Option<&str>,
) -> Result<RolePassword, Error> {
    match known {
        Some(known) if asked.is_none() || asked == known.rotated_for.as_deref() => Ok(known),
        known => Ok(RolePassword {
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

    fn known(rotated_for: Option<&str>) -> RolePassword {
        RolePassword {
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
