//! What is known of a partition's tries since its last commit. Pure.

/// How often it has failed, and how far it had read.
#[derive(Debug, Default)]
pub struct Tries {
    failures: u32,
    // The offset after the last record that was taken in, by whichever try came farthest.
    read_to: i64,
}

impl Tries {
    /// Records up to before this offset were taken in.
    pub fn read_to(&mut self, offset: i64) {
        self.read_to = self.read_to.max(offset);
    }

    /// A try came to nothing.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// A commit counts.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Tries that failed one after the other.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a partition that goes on at `start` has nothing to make up for: no try has failed, or all that it had read
    /// is committed, or gone from Kafka, so that there may be nothing to show it by.
    pub fn owe_nothing_from(&self, start: i64) -> bool {
        self.failures == 0 || start >= self.read_to
    }

    /// Whether so many rows up to before `next` are all that a failed try had read.
    pub fn are_due(&self, rows: u64, next: i64) -> bool {
        self.failures > 0 && rows > 0 && next >= self.read_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_try_is_made_up_for_by_a_commit_alone() {
        let mut tries = Tries::default();
        assert!(tries.owe_nothing_from(0) && !tries.are_due(9, 9));
        tries.read_to(120);
        tries.failed();
        assert!(!tries.owe_nothing_from(100), "20 records are read again");
        assert!(!tries.are_due(5, 105), "some of them are");
        tries.read_to(105);
        tries.failed();
        assert!(!tries.owe_nothing_from(100), "no try makes it less");
        assert_eq!(tries.failures(), 2);
        assert!(tries.are_due(20, 120) && !tries.are_due(0, 120));
        tries.succeeded();
        assert!(tries.owe_nothing_from(100) && !tries.are_due(20, 120));
    }

    #[test]
    fn what_is_committed_or_gone_needs_no_other_commit() {
        let mut tries = Tries::default();
        tries.failed();
        assert!(
            tries.owe_nothing_from(0),
            "the lake was away and nothing was read"
        );
        tries.read_to(120);
        assert!(
            tries.owe_nothing_from(120),
            "another writer has committed it"
        );
    }
}
