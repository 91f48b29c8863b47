//! Which pseudonyms are in the topic `hires` already, as far as this process knows.
//!
//! Every replica follows that topic: a mapping that one of them removes is written again by each that still hears of the hire.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::connect::Record;

/// The header of a record of the topic `hires` that asks for another one: whoever knows the hire as written writes it once
/// more before its next event. So an erasure sees which hires were driven since it began.
pub const WRITE_AGAIN: &str = "millrace_write_again";

/// So many are remembered at least, and twice as many at most: 22 bytes each, and what a set takes.
const REMEMBERED: usize = 100_000;

/// Pseudonyms that Kafka has acknowledged. One that is forgotten is only written once more.
#[derive(Debug, Default)]
pub struct WrittenHires {
    generations: Mutex<Generations>,
    forgotten: AtomicU64,
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

    /// How often something was forgotten so far: what was looked up before the last time may not hold any more.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Kafka has acknowledged these, which were not known when so much was `forgotten`. When something was forgotten since, it
    /// may have been one of them: then none is remembered.
    pub fn add<'a>(&self, pseudonyms: impl Iterator<Item = &'a str>, forgotten: u64) {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.forgotten() != forgotten {
            return;
        }
        for pseudonym in pseudonyms {
            generations.young.insert(pseudonym.into());
            if generations.young.len() >= REMEMBERED {
                generations.old = std::mem::take(&mut generations.young);
            }
        }
    }

    /// Takes a record of the topic: whose mapping was removed, or is asked for again, is not known to be written.
    pub fn apply(&self, record: &Record) {
        let is_over = record.payload.is_none() || record.header(WRITE_AGAIN).is_some();
        if let Some(pseudonym) = record.key_text().filter(|_| is_over) {
            self.forget(pseudonym);
        }
    }

    fn forget(&self, pseudonym: &str) {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.young.remove(pseudonym);
        generations.old.remove(pseudonym);
        // Still under the lock, for those who add.
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pseudonym: &str, payload: Option<&[u8]>, headers: &[&str]) -> Record {
        let headers = headers.iter();
        Record {
            topic: "hires".to_owned(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: Some(pseudonym.as_bytes().to_vec()),
            headers: headers
                .map(|name| ((*name).to_owned(), "true".to_owned()))
                .collect(),
            payload: payload.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn those_who_drive_are_remembered() {
        let written = WrittenHires::default();
        written.add(["a", "b"].into_iter(), 0);
        for n in 0..REMEMBERED {
            written.add(std::iter::once(n.to_string().as_str()), 0);
        }
        assert!(written.holds("a"), "it is of the generation before");
        for n in 0..REMEMBERED - 2 {
            written.add(std::iter::once(format!("x{n}").as_str()), 0);
        }
        assert!(written.holds("a"));
        assert!(!written.holds("b"), "nobody has asked for it since");
    }

    #[test]
    fn a_mapping_that_is_removed_or_asked_for_again_is_written_once_more() {
        let written = WrittenHires::default();
        written.add(["a", "b", "c"].into_iter(), 0);
        // What another replica writes changes nothing.
        written.apply(&record("a", Some(b"{}"), &["content-type"]));
        assert!(written.holds("a") && written.forgotten() == 0);
        written.apply(&record("a", None, &[]));
        written.apply(&record("b", Some(b"{}"), &[WRITE_AGAIN]));
        assert!(!written.holds("a") && !written.holds("b") && written.holds("c"));
        assert_eq!(written.forgotten(), 2);
    }

    #[test]
    fn what_was_on_its_way_when_it_was_removed_is_not_remembered() {
        let written = WrittenHires::default();
        let looked_up = written.forgotten();
        written.apply(&record("a", None, &[]));
        written.add(std::iter::once("a"), looked_up);
        assert!(!written.holds("a"));
        written.add(std::iter::once("a"), written.forgotten());
        assert!(written.holds("a"));
    }
}
