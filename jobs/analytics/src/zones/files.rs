//! The texts of files with zones, plain or packed with gzip: one set of rules for who checks zones and for who uses them.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use millrace_contract::Invalid;

use super::Zones;

/// The most files.
pub const MOST_FILES: usize = 1_024;
/// All files together, unpacked, in bytes.
const LARGEST: usize = 32 << 20;
/// One file, unpacked, in bytes: more than a ConfigMap can hold of GeoJSON.
const LARGEST_FILE: usize = 8 << 20;
/// Positions of all files together. Each takes about 110 bytes as long as the zones are in force.
const MOST_POSITIONS: usize = 1_000_000;
/// Positions of one file. Each takes about 450 bytes while the file is read.
const MOST_IN_FILE: usize = 300_000;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whether a file of a directory is passed over.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Files that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    texts: Vec<(String, String)>,
    size: usize,
    positions: usize,
}

/// For how many positions a text counts, by what it takes to read it: a few bytes of empty objects take as much as many
/// coordinates. A position is a bracket and two commas; an escape may stand for a brace.
fn positions(text: &str) -> usize {
    let weight = |byte: u8| match byte {
        b',' => 1,
        b'[' => 5,
        b'{' | b'\\' => 20,
        _ => 0,
    };
    text.bytes().map(weight).sum::<usize>() / 7
}

impl Files {
    /// So many bytes the next file may have: who reads one need not read more than one beyond.
    #[must_use]
    pub fn room(&self) -> usize {
        LARGEST_FILE.min(LARGEST - self.size)
    }

    /// Adds a file, unpacked if its content begins as gzip does.
    ///
    /// # Errors
    /// It is too large, or with it all are; it cannot be unpacked; it is no text. The field is the file's name.
    pub fn add(&mut self, name: &str, content: Vec<u8>) -> Result<(), Invalid> {
        let size = format!("{} bytes", content.len());
        let refused = |problem: String, cure: &str| Err(Invalid::new(name, &size, problem, cure));
        if self.texts.len() >= MOST_FILES {
            return refused(
                format!("more than {MOST_FILES} files"),
                "put several zones into one FeatureCollection",
            );
        }
        let room = self.room();
        let mut bytes = content;
        if bytes.starts_with(&GZIP) && bytes.len() <= room {
            let mut unpacked = Vec::new();
            let read = MultiGzDecoder::new(bytes.as_slice())
                .take(room as u64 + 1)
                .read_to_end(&mut unpacked);
            if let Err(error) = read {
                return refused(
                    format!("cannot be unpacked: {error}"),
                    "compress it again with gzip, or give it uncompressed",
                );
            }
            bytes = unpacked;
        }
        if bytes.len() > LARGEST_FILE {
            return refused(
                format!("is larger than {} MiB when unpacked", LARGEST_FILE >> 20),
                "divide it into several files, or simplify the outlines",
            );
        }
        if bytes.len() > room {
            return refused(
                format!(
                    "with it all zones together are larger than {} MiB",
                    LARGEST >> 20
                ),
                "simplify the outlines, or leave zones out",
            );
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return refused(
                "is no text in UTF-8".to_owned(),
                "give GeoJSON, as text or compressed with gzip",
            );
        };
        let positions = positions(&text);
        if positions > MOST_IN_FILE {
            return refused(
                format!("counts for {positions} positions, and {MOST_IN_FILE} are the most"),
                "divide it into several files, or simplify the outlines",
            );
        }
        if self.positions + positions > MOST_POSITIONS {
            return refused(
                format!("with it all zones together have more than {MOST_POSITIONS} positions"),
                "simplify the outlines, or leave zones out",
            );
        }
        self.size += text.len();
        self.positions += positions;
        self.texts.push((name.to_owned(), text));
        Ok(())
    }

    /// Name and text of each.
    #[must_use]
    pub fn texts(&self) -> &[(String, String)] {
        &self.texts
    }

    /// Name and text of each.
    #[must_use]
    pub fn into_texts(self) -> Vec<(String, String)> {
        self.texts
    }

    /// Reads all of them as one set of zones.
    ///
    /// # Errors
    /// As [`Zones::from_geojson`].
    pub fn zones(&self) -> Result<Zones, Invalid> {
        let texts = self.texts.iter();
        let texts: Vec<_> = texts.map(|(n, t)| (n.as_str(), t.as_str())).collect();
        Zones::from_geojson(&texts)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_told_by_content_and_read_to_its_last_member() {
        let mut files = Files::default();
        files.add("plain.gz", b"one".to_vec()).unwrap();
        let members = [packed(b"two"), packed(b", three")].concat();
        files.add("packed", members).unwrap();
        let texts: Vec<&str> = files
            .texts()
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(texts, ["one", "two, three"]);
        assert_eq!(files.room(), LARGEST_FILE);
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_name() {
        for (content, told) in [
            (
                packed(b"a long enough text")[..12].to_vec(),
                "cannot be unpacked",
            ),
            (vec![0xff, 0xfe, 0xff], "UTF-8"),
            (packed(&vec![b' '; LARGEST_FILE + 1]), "larger than 8 MiB"),
            (vec![b' '; LARGEST_FILE + 1], "larger than 8 MiB"),
        ] {
            let mut files = Files::default();
            let error = files.add("f", content).unwrap_err();
            assert!(
                error.field == "f" && error.problem.contains(told),
                "{error}"
            );
            assert_eq!(files, Files::default());
        }
    }

    #[test]
    fn all_together_have_a_bound_however_well_they_are_packed() {
        let mut files = Files::default();
        let large = packed(&vec![b' '; LARGEST_FILE]);
        assert!(large.len() < 100_000);
        for n in 0..LARGEST / LARGEST_FILE {
            files.add(&n.to_string(), large.clone()).unwrap();
        }
        assert_eq!(files.room(), 0);
        for content in [b"x".to_vec(), packed(b"x")] {
            let error = files.add("more", content).unwrap_err();
            assert!(error.problem.contains("all zones together"), "{error}");
        }
    }

    #[test]
    fn what_takes_much_to_read_counts_for_much() {
        assert_eq!(positions(&"[8.123456,50.123456],".repeat(700)), 700);
        let refused = |text: &str| Files::default().add("f", text.into()).unwrap_err();
        for much in ["[1,2],", "{\"\":0},", "0,", "\\u007b"] {
            // Less than the bytes that a file may have.
            let text = much.repeat((LARGEST_FILE - 1) / much.len());
            let error = refused(&text);
            assert!(error.problem.contains("300000 are the most"), "{error}");
        }
        let mut files = Files::default();
        let third = "[1,2],".repeat(MOST_IN_FILE);
        for n in 0..3 {
            files.add(&n.to_string(), third.clone().into()).unwrap();
        }
        let error = files.add("more", third.into()).unwrap_err();
        assert!(
            error.problem.contains("more than 1000000 positions"),
            "{error}"
        );
    }

    #[test]
    fn there_is_a_most_of_files() {
        let mut files = Files::default();
        for n in 0..MOST_FILES {
            files.add(&n.to_string(), Vec::new()).unwrap();
        }
        let error = files.add("more", Vec::new()).unwrap_err();
        assert!(error.problem.contains("1024 files"), "{error}");
    }
}
