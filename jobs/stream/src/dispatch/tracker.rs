//! Which offset may be committed while records finish in any order.

use std::collections::BTreeSet;

/// One partition: records come in by offset and finish in any order; only what has no unfinished record
/// before it may be committed.
#[derive(Debug, Default)]
pub struct Tracker {
    unfinished: BTreeSet<i64>,
    next: Option<i64>,
    committed: Option<i64>,
}

impl Tracker {
    /// A record came in.
    pub fn received(&mut self, offset: i64) {
        self.unfinished.insert(offset);
        self.next = self.next.max(Some(offset + 1));
    }

    /// It is finished.
    pub fn finished(&mut self, offset: i64) {
        self.unfinished.remove(&offset);
    }

    /// The offset to commit, when it has moved since the last call.
    pub fn take_due(&mut self) -> Option<i64> {
        let reached = self.unfinished.first().copied().or(self.next)?;
        if self.committed.is_some_and(|c| c >= reached) {
            return None;
        }
        self.committed = Some(reached);
        Some(reached)
    }

    /// A commit failed: the same offset is due again.
    pub fn commit_again(&mut self) {
        self.committed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lowest_unfinished_counts() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.take_due(), None);
        for offset in [5, 6, 8] {
            tracker.received(offset);
        }
        tracker.finished(6);
        tracker.finished(8);
        assert_eq!(tracker.take_due(), Some(5));
        tracker.finished(5);
        assert_eq!(tracker.take_due(), Some(9));
        assert_eq!(tracker.take_due(), None);
        tracker.commit_again();
        assert_eq!(tracker.take_due(), Some(9));
        tracker.received(9);
        assert_eq!(tracker.take_due(), None);
        tracker.finished(9);
        assert_eq!(tracker.take_due(), Some(10));
    }

    proptest::proptest! {
        #[test]
        fn nothing_unfinished_is_ever_committed(order in proptest::collection::vec(0_usize..20, 0..40)) {
            let mut tracker = Tracker::default();
            (0..20).for_each(|offset| tracker.received(offset));
            let mut open: BTreeSet<i64> = (0..20).collect();
            for offset in order {
                let offset = i64::try_from(offset).unwrap();
                tracker.finished(offset);
                open.remove(&offset);
                if let Some(commit) = tracker.take_due() {
                    proptest::prop_assert!(open.first().is_none_or(|first| commit <= *first));
                }
            }
        }
    }
}
