//! Which password a user is to have. Pure but for random numbers.
//!
//! Kafka does not give a password back. So each password gets a number of iterations of its own, by chance, which is kept
//! beside it in the Secret and which Kafka does tell: a credential with another number was not made from what the Secret
//! holds. The number is not made from the password and gives nothing of it away.

use crate::reconcile::{Error, secrets};

/// The least number of iterations: twice what the standard asks for at least.
const LEAST: u32 = 8192;
/// How many numbers there are; brokers take 16,384 at most.
const RANGE: u32 = 8192;

/// Why a password is one that Kafka was not told yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// There was none.
    First,
    /// A new one was asked for.
    Rotation,
    /// The Secret that it is given by holds another one.
    Given,
    /// Somebody changed it by hand, or took away what was noted beside it.
    Unnoted,
}

/// A password, and how it is told to Kafka.
#[derive(Clone, Eq, PartialEq)]
pub struct Password {
    /// The password itself.
    pub text: String,
    /// How often its hash is taken; 0 when that is not known any more.
    pub iterations: u32,
    /// What was last followed of those who asked for a new one.
    pub rotated_for: Option<String>,
    /// Whether Kafka was not told yet.
    pub news: Option<News>,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("Password")
            .field("iterations", &self.iterations)
            .field("rotated_for", &self.rotated_for)
            .field("news", &self.news)
            .finish_non_exhaustive()
    }
}

/// Decides: `known` is what Kafka was last told, `given` what the user brings, `asked` what the annotation says.
///
/// # Errors
/// The machine gave no random numbers.
pub fn decide(
    known: Option<Password>,
    given: Option<String>,
    asked: Option<&str>,
) -> Result<Password, Error> {
    let asked = asked.map(str::to_owned);
    let Some(known) = known else {
        return make(given, asked, News::First);
    };
    match given {
        Some(given) if given != known.text => make(Some(given), asked, News::Given),
        None if asked.is_some() && asked != known.rotated_for => make(None, asked, News::Rotation),
        _ if known.iterations == 0 => make(Some(known.text), known.rotated_for, News::Unnoted),
        _ => Ok(known),
    }
}

fn make(given: Option<String>, rotated_for: Option<String>, news: News) -> Result<Password, Error> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(Password {
        text: match given {
            Some(given) => given,
            None => secrets::token()?,
        },
        iterations: LEAST + u32::from(u16::from_be_bytes(random)) % RANGE,
        rotated_for,
        news: Some(news),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str, rotated_for: Option<&str>) -> Password {
        Password {
            text: text.into(),
            iterations: 9000,
            rotated_for: rotated_for.map(str::to_owned),
            news: None,
        }
    }

    #[test]
    fn the_first_password_is_made_and_then_kept() {
        let first = decide(None, None, Some("1")).unwrap();
        assert_eq!(first.news, Some(News::First));
        assert_eq!(first.text.len(), 43);
        // What is asked for at the beginning is a new one anyway.
        assert_eq!(first.rotated_for.as_deref(), Some("1"));
        assert!((8192..16384).contains(&first.iterations));
        let kept = Password {
            news: None,
            ..first
        };
        for asked in [Some("1"), None] {
            assert_eq!(decide(Some(kept.clone()), None, asked).unwrap(), kept);
        }
    }

    #[test]
    fn each_new_value_of_the_annotation_asks_once() {
        let next = decide(Some(known("a", Some("1"))), None, Some("2")).unwrap();
        assert_eq!(next.news, Some(News::Rotation));
        assert_ne!(next.text, "a");
        assert_eq!(next.rotated_for.as_deref(), Some("2"));
    }

    #[test]
    fn a_given_password_is_taken_when_it_is_another() {
        let given = |text: &str| Some(text.to_owned());
        let same = decide(Some(known("a", None)), given("a"), Some("2")).unwrap();
        assert_eq!(same, known("a", None));
        let other = decide(Some(known("a", None)), given("b"), None).unwrap();
        assert_eq!((other.text.as_str(), other.news), ("b", Some(News::Given)));
        assert_eq!(decide(None, given("b"), None).unwrap().text, "b");
    }

    #[test]
    fn a_password_without_its_note_is_kept_and_told_again() {
        let lost = Password {
            iterations: 0,
            ..known("a", None)
        };
        let again = decide(Some(lost), None, None).unwrap();
        assert_eq!(
            (again.text.as_str(), again.news),
            ("a", Some(News::Unnoted))
        );
        assert!(again.iterations >= LEAST);
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", known("hidden", None)).contains("hidden"));
    }
}
