//! One file of activation records: a JSON document a line, appended.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Where a record stands in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// Bytes, without the newline.
    pub length: usize,
}

/// A segment.
#[derive(Debug)]
pub struct Segment {
    /// Its number; higher ones are later.
    pub number: u64,
    path: PathBuf,
    file: File,
    /// Bytes in it.
    pub bytes: u64,
}

impl Segment {
    /// Opens or creates the segment of a number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(directory: &Path, number: u64) -> Result<Self, StoreError> {
        let path = directory.join(format!("{number:020}.log"));
        let open = || -> io::Result<(File, u64)> {
            let file = OpenOptions::new()
                .create(true)
                .read(true)
                .append(true)
                .open(&path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) =
            open().map_err(|error| StoreError::new(&path, "cannot be opened", error))?;
        Ok(Self {
            number,
            path,
            file,
            bytes,
        })
    }

    /// The number in a file's name.
    pub fn number_of(path: &Path) -> Option<u64> {
        (path.extension()? == "log")
            .then(|| path.file_stem()?.to_str()?.parse().ok())
            .flatten()
    }

    /// Calls `each` with every whole line; a last line without an end was cut off by a crash, and is cut away.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn scan(&mut self, mut each: impl FnMut(Place, &[u8])) -> Result<(), StoreError> {
        let unreadable = |error| StoreError::new(&self.path, "cannot be read", error);
        let mut reader = BufReader::new(self.file.try_clone().map_err(unreadable)?);
        let (mut line, mut offset) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 {
                return Ok(());
            }
            if line.pop() != Some(b'\n') {
                self.file.set_len(offset).map_err(unreadable)?;
                self.bytes = offset;
                return Ok(());
            }
            each(
                Place {
                    offset,
                    length: line.len(),
                },
                &line,
            );
            offset += read as u64;
        }
    }

    /// Appends a line. It has reached the kernel when this returns, so it outlives the process, and
    /// the machine after the next [`Segment::sync`].
    ///
    /// # Errors
    /// [`StoreError`]; the half-written line is taken back.
    pub fn append(&mut self, document: &[u8]) -> Result<Place, StoreError> {
        let mut line = Vec::with_capacity(document.len() + 1);
        line.extend_from_slice(document);
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Best effort: what cannot be cut off now is cut off at the next start.
            let _ = self.file.set_len(self.bytes);
            return Err(StoreError::new(&self.path, "cannot be appended to", error));
        }
        let place = Place {
            offset: self.bytes,
            length: document.len(),
        };
        self.bytes += line.len() as u64;
        Ok(place)
    }

    /// Reads a document back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&self, place: Place) -> Result<Vec<u8>, StoreError> {
        let mut document = vec![0; place.length];
        self.file
            .read_exact_at(&mut document, place.offset)
            .map_err(|error| StoreError::new(&self.path, "cannot be read", error))?;
        Ok(document)
    }

    /// A handle for writing through to the disk without holding the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sync_handle(&self) -> Result<File, StoreError> {
        self.file
            .try_clone()
            .map_err(|error| StoreError::new(&self.path, "cannot be shared", error))
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(self) -> Result<(), StoreError> {
        std::fs::remove_file(&self.path)
            .map_err(|error| StoreError::new(&self.path, "cannot be removed", error))
    }
}
