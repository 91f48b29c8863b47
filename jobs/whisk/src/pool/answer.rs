//! The line that a child answers with.

use crate::pool::worker::Outcome;

/// An answer as it comes in.
pub(super) struct Answer {
    line: Vec<u8>,
    length: usize,
    longest: usize,
}

impl Answer {
    /// Keeps at most so many bytes of the line.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            line: Vec::new(),
            length: 0,
            longest,
        }
    }

    /// Takes bytes; true at the end of the line. What follows it is dropped: one answer, one line.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = self.longest.saturating_sub(self.line.len()).min(part.len());
        self.line.extend_from_slice(&part[..room]);
        self.length += part.len() + usize::from(end.is_some());
        end.is_some()
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome::Answer {
            line: self.line,
            length: self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_put_together_and_cut() {
        let mut answer = Answer::new(5);
        assert!(!answer.take(b"abc"));
        assert!(!answer.take(b"defg"));
        assert!(answer.take(b"h\nnext"));
        assert_eq!(
            answer.into_outcome(),
            Outcome::Answer {
                line: b"abcde".to_vec(),
                length: 9
            }
        );
    }
}
