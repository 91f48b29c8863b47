//! Encoded bytes on their way to the storage. A row group comes as a whole: it is never put into one buffer, which would
//! be copied as it grows and hold up to twice of what is in it.

use std::io::{self, Write};

use bytes::Bytes;

/// What goes to the storage at once.
const PIECE: usize = 256 * 1024;

/// Bytes in pieces of one size, and the last one that is not full.
#[derive(Default)]
pub(super) struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        self.full.len() * PIECE + self.last.capacity()
    }

    /// The pieces that are full.
    pub(super) fn take_full(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.full)
    }

    /// All of it.
    pub(super) fn take_all(&mut self) -> Vec<Bytes> {
        self.end_piece();
        self.take_full()
    }

    fn end_piece(&mut self) {
        if !self.last.is_empty() {
            self.full.push(std::mem::take(&mut self.last).into());
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE);
        }
        let taken = bytes.len().min(PIECE - self.last.len());
        self.last.extend_from_slice(&bytes[..taken]);
        if self.last.len() == PIECE {
            self.end_piece();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_come_out_as_they_went_in() {
        let bytes: Vec<u8> = (0..=250).cycle().take(PIECE * 5 / 2).collect();
        let mut pieces = Pieces::default();
        pieces.write_all(&bytes[..10]).unwrap();
        assert!(pieces.take_full().is_empty());
        pieces.write_all(&bytes[10..]).unwrap();
        let mut out = pieces.take_full().concat();
        assert_eq!(out.len(), 2 * PIECE);
        assert_eq!(pieces.take_full(), Vec::<Bytes>::new());
        out.extend(pieces.take_all().concat());
        assert!(out == bytes);
        assert_eq!(pieces.held(), 0);
    }
}
