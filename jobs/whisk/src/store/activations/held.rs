//! Records that could not be written, in memory until they can.

use std::collections::VecDeque;

/// At most so many records are held.
pub(super) const HELD_RECORDS: usize = 1024;

/// At most so many bytes of them, as they are to be written.
const HELD_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug)]
struct HeldLine {
    namespace: String,
    id: String,
    line: Vec<u8>,
}

/// In the order in which they came. As lines, for those are small beside the values that they tell of.
#[derive(Debug, Default)]
pub(super) struct Held {
    lines: VecDeque<HeldLine>,
    bytes: usize,
}

impl Held {
    /// Holds a record's line; false when too much is held already.
    pub(super) fn hold(&mut self, namespace: &str, id: &str, line: Vec<u8>) -> bool {
        let bytes = self.bytes.saturating_add(line.len());
        if self.lines.len() >= HELD_RECORDS || bytes > HELD_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.lines.push_back(HeldLine {
            namespace: namespace.to_owned(),
            id: id.to_owned(),
            line,
        });
        true
    }

    /// The line of a record.
    pub(super) fn line(&self, namespace: &str, id: &str) -> Option<&[u8]> {
        self.lines
            .iter()
            .find(|held| held.id == id && held.namespace == namespace)
            .map(|held| held.line.as_slice())
    }

    /// The line that came first.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.lines.front().map(|held| held.line.as_slice())
    }

    /// Lets go of the line that came first.
    pub(super) fn let_go(&mut self) {
        if let Some(held) = self.lines.pop_front() {
            self.bytes = self.bytes.saturating_sub(held.line.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_bytes_than_it_may() {
        let mut held = Held::default();
        assert!(held.hold("me", "large", vec![0; HELD_BYTES - 1]));
        assert!(!held.hold("me", "too large", vec![0; 2]));
        assert!(held.line("me", "too large").is_none() && held.line("you", "large").is_none());
        held.let_go();
        assert!(held.first().is_none());
        assert!(held.hold("me", "then", vec![0; HELD_BYTES]));
    }
}
