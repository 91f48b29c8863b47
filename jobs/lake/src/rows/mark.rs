//! A field's name as it stands before its value.

/// Marks up to this length are compared as words, whatever their length is: that takes less than to look at it.
const WORDS: usize = 4;

/// A name with its quotes and its colon.
#[derive(Debug)]
pub(super) struct Mark {
    text: String,
    words: [u64; WORDS],
    masks: [u64; WORDS],
}

impl Mark {
    pub(super) fn of(name: &str) -> Self {
        let text = format!("\"{name}\":");
        let (mut padded, mut masks) = ([0; 8 * WORDS], [0; 8 * WORDS]);
        // A longer one is compared as the text that it is.
        if let (Some(start), Some(mask)) =
            (padded.get_mut(..text.len()), masks.get_mut(..text.len()))
        {
            start.copy_from_slice(text.as_bytes());
            mask.fill(0xff);
        }
        Self {
            words: words(&padded),
            masks: words(&masks),
            text,
        }
    }

    /// What stands behind it; none when it does not stand there.
    pub(super) fn strip<'a>(&self, rest: &'a str) -> Option<&'a str> {
        match rest.as_bytes().first_chunk() {
            Some(start) if self.masks[0] != 0 => {
                let start = words(start);
                let marks = self.words.iter().zip(&self.masks);
                let differs = start
                    .iter()
                    .zip(marks)
                    .fold(0, |so_far, (start, (word, mask))| {
                        so_far | ((start ^ word) & mask)
                    });
                (differs == 0).then(|| rest.get(self.text.len()..))?
            }
            _ => rest.strip_prefix(self.text.as_str()),
        }
    }
}

fn words(bytes: &[u8; 8 * WORDS]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_what_the_text_begins_with() {
        let long = "a_name_that_takes_more_than_thirty_two_bytes";
        for name in ["", "time", "coolant_temperature", long] {
            let mark = Mark::of(name);
            for rest in ["", "1", r#""81.5,\"fuel_level\":60.123456789}""#] {
                let text = format!("\"{name}\":{rest}");
                assert_eq!(mark.strip(&text), Some(rest), "{text}");
                for at in 0..name.len() + 3 {
                    assert_eq!(mark.strip(&text[..at]), None, "{text}");
                    let mut other = text.clone();
                    other.replace_range(at..=at, "~");
                    assert_eq!(mark.strip(&other), None, "{other}");
                }
            }
        }
    }
}
