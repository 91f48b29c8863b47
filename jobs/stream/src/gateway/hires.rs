//! Which pseudonyms are in the topic `hires` already, as far as this process knows.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// So many are remembered at least, and twice as many at most: 22 bytes each, and what a set takes.
const REMEMBERED: usize = 100_000;

/// Pseudonyms that Kafka has acknowledged. One that is forgotten is only written once more.
#[derive(Debug, Default)]
pub struct WrittenHires {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Box<str>>,
    old: HashSet<Box<str>>,
}

impl WrittenHires {
    /// Whether it is known to be written.
    #[must_use]
    pub fn holds(&self, pseudonym: &str) -> bool {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if generations.young.contains(pseudonym) {
            return true;
        }
        // Whoever still drives is not forgotten.
        let known = generations.old.take(pseudonym);
        let is_known = known.is_some();
        generations.young.extend(known);
        is_known
    }

    /// Kafka has acknowledged these.
    pub fn add<'a>(&self, pseudonyms: impl Iterator<Item = &'a str>) {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for pseudonym in pseudonyms {
            generations.young.insert(pseudonym.into());
            if generations.young.len() >= REMEMBERED {
                generations.old = std::mem::take(&mut generations.young);
            }
        }
    }

    /// All of them: whose mapping was removed has to be written again when they drive again.
    pub fn forget(&self) {
        *self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Generations::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_drive_are_remembered() {
        let written = WrittenHires::default();
        written.add(["a", "b"].into_iter());
        for n in 0..REMEMBERED {
            written.add(std::iter::once(n.to_string().as_str()));
        }
        assert!(written.holds("a"), "it is of the generation before");
        for n in 0..REMEMBERED - 2 {
            written.add(std::iter::once(format!("x{n}").as_str()));
        }
        assert!(written.holds("a"));
        assert!(!written.holds("b"), "nobody has asked for it since");
        written.forget();
        assert!(!written.holds("a"));
    }
}
