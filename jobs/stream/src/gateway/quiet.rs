//! When the next notice may be spoken. Pure: no clock.
//!
//! A driver who is told two things at once understands neither: between two spoken notices to a vehicle lies
//! a quiet time. Of those that wait, critical ones come first, then the older ones.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A notice that is to be spoken and was not sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: &'a str,
    /// Whether it goes before those that are not.
    pub critical: bool,
    /// Its place in order of arrival.
    pub place: u64,
}

/// The notice that a vehicle was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSpoken {
    /// Its id.
    pub id: String,
    /// When it was sent, or acknowledged.
    pub at: Timestamp,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn<'a> {
    /// This one is sent now.
    Now(&'a str),
    /// Nobody before this moment.
    At(Timestamp),
    /// Nobody waits.
    Nobody,
}

/// Whose turn it is among those that wait.
///
/// The notice that was told last needs no quiet time: sent again in a new session, it is the same one.
#[must_use]
pub fn turn<'a>(
    waiting: impl IntoIterator<Item = Candidate<'a>>,
    last: Option<&LastSpoken>,
    quiet: SignedDuration,
    now: Timestamp,
) -> Turn<'a> {
    let Some(first) = waiting
        .into_iter()
        .min_by_key(|candidate| (!candidate.critical, candidate.place))
    else {
        return Turn::Nobody;
    };
    let free = last
        .filter(|last| last.id != first.id)
        .and_then(|last| last.at.checked_add(quiet).ok());
    match free {
        Some(at) if at > now => Turn::At(at),
        _ => Turn::Now(first.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUIET: SignedDuration = SignedDuration::from_secs(20);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn candidate(id: &str, critical: bool, place: u64) -> Candidate<'_> {
        Candidate {
            id,
            critical,
            place,
        }
    }

    fn last(id: &str, second: i64) -> LastSpoken {
        LastSpoken {
            id: id.to_owned(),
            at: at(second),
        }
    }

    #[test]
    fn critical_first_then_the_older_one() {
        let waiting = [
            candidate("a", false, 1),
            candidate("b", true, 3),
            candidate("c", true, 2),
        ];
        assert_eq!(turn(waiting, None, QUIET, at(0)), Turn::Now("c"));
        let waiting = [candidate("b", false, 2), candidate("a", false, 1)];
        assert_eq!(turn(waiting, None, QUIET, at(0)), Turn::Now("a"));
        assert_eq!(turn([], None, QUIET, at(0)), Turn::Nobody);
    }

    #[test]
    fn quiet_after_the_last_one_also_for_a_critical_one() {
        let waiting = [candidate("b", true, 2)];
        let told = last("a", 0);
        assert_eq!(turn(waiting, Some(&told), QUIET, at(19)), Turn::At(at(20)));
        assert_eq!(turn(waiting, Some(&told), QUIET, at(20)), Turn::Now("b"));
    }

    #[test]
    fn the_same_one_again_needs_no_quiet() {
        let told = last("a", 0);
        let waiting = [candidate("a", false, 1), candidate("b", false, 2)];
        assert_eq!(turn(waiting, Some(&told), QUIET, at(1)), Turn::Now("a"));
        let waiting = [candidate("a", false, 1), candidate("b", true, 2)];
        assert_eq!(turn(waiting, Some(&told), QUIET, at(1)), Turn::At(at(20)));
    }

    proptest! {
        // All are told, each once, with the quiet between them, and never an older or less urgent one first.
        #[test]
        fn all_are_told_in_their_turn(arrivals in proptest::collection::vec((0..200_i64, any::<bool>()), 1..40)) {
            let ids: Vec<String> = (0..arrivals.len()).map(|n| format!("n{n}")).collect();
            let mut told: Vec<(i64, usize)> = Vec::new();
            let mut last: Option<LastSpoken> = None;
            for second in 0..(200 + 20 * 41) {
                let waits = |n: &usize| arrivals[*n].0 <= second && !told.iter().any(|(_, t)| t == n);
                let waiting: Vec<usize> = (0..arrivals.len()).filter(waits).collect();
                let candidates = waiting.iter().map(|n| candidate(&ids[*n], arrivals[*n].1, *n as u64));
                if let Turn::Now(id) = turn(candidates, last.as_ref(), QUIET, at(second)) {
                    let n = ids.iter().position(|i| i == id).unwrap();
                    for other in &waiting {
                        prop_assert!((!arrivals[n].1, n) <= (!arrivals[*other].1, *other));
                    }
                    told.push((second, n));
                    last = Some(LastSpoken { id: id.to_owned(), at: at(second) });
                }
            }
            prop_assert_eq!(told.len(), arrivals.len());
            prop_assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 20));
        }
    }
}
