//! The bytes of a row that are hashed.

/// Names up to this length are copied without a look at their length, which is most of the work.
const SHORT: usize = 32;

/// A column's name and the 0 behind it.
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    padded: [u8; SHORT],
}

impl<'a> Name<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut padded = [0; SHORT];
        if let Some(short) = padded.get_mut(..text.len()) {
            short.copy_from_slice(text.as_bytes());
        }
        Self { text, padded }
    }

    pub(super) fn put(&self, out: &mut Bytes) {
        if self.text.len() < SHORT {
            out.put(&self.padded, self.text.len() + 1);
        } else {
            out.extend(self.text.as_bytes());
            out.extend(&[0]);
        }
    }
}

/// Bytes of a row. What is put is mostly of a known size, and there is mostly room for it.
#[derive(Default)]
pub(super) struct Bytes {
    all: Vec<u8>,
    end: usize,
}

impl Bytes {
    pub(super) fn clear(&mut self) {
        self.end = 0;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.all[..self.end]
    }

    /// The first of these bytes; the others are written over by what is put next.
    pub(super) fn put<const N: usize>(&mut self, bytes: &[u8; N], count: usize) {
        let there = self.all.get_mut(self.end..);
        if let Some(place) = there.and_then(|all| all.first_chunk_mut::<N>()) {
            *place = *bytes;
            self.end += count;
        } else {
            self.extend(&bytes[..count]);
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if self.all.len() < end {
            self.all.resize(end.next_multiple_of(1024), 0);
        }
        self.all[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }
}
