//! From an action's code as text to files that can be run.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Cursor, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;

use super::tar;

/// The program in every action.
pub const PROGRAM: &str = "exec";

/// An archive may unpack to so much: a small one can hold a lot of nothing.
const LARGEST_UNPACKED: u64 = 256 * 1024 * 1024;

/// So many files may be in it.
const MOST_FILES: usize = 65_536;

/// Files are written in pieces of so many bytes.
const PIECE: usize = 64 * 1024;

/// The code cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// There is none.
    #[error("Missing main/no code to execute.")]
    Empty,
    /// Text that claims to be base64.
    #[error("cannot decode the request: {0}")]
    Base64(#[from] base64::DecodeError),
    /// An archive that is none.
    #[error(
        "cannot unpack the action: {0}; send a zip archive with a program named exec at its top"
    )]
    Zip(#[from] zip::result::ZipError),
    /// An archive with too much in it.
    #[error("cannot unpack the action: it holds more than {LARGEST_UNPACKED} bytes; send less")]
    TooLarge,
    /// An archive with too many files in it.
    #[error("cannot unpack the action: it holds more than {MOST_FILES} files; send fewer")]
    TooMany,
    /// A gzip file that is no archive of tar.
    #[error(
        "cannot unpack the action: {0}; send a tar archive packed by gzip, or a zip archive, with a program named exec at its top"
    )]
    Tar(#[source] io::Error),
    /// An archive without a program.
    #[error("cannot start action: the archive has no program named exec at its top; name it so")]
    NoProgram,
    /// The disk.
    #[error("cannot unpack the action: {0}")]
    Io(#[from] io::Error),
}

/// Unpacks code into `directory`, which must not exist; it appears whole or not at all.
///
/// # Errors
/// [`CodeError`].
pub fn unpack(text: &str, binary: bool, directory: &Path) -> Result<(), CodeError> {
    if text.trim().is_empty() {
        return Err(CodeError::Empty);
    }
    let bytes = if binary {
        STANDARD.decode(text.trim())?
    } else {
        text.as_bytes().to_vec()
    };
    let temporary = directory.with_extension(format!("new-{}", crate::name::activation_id()));
    fs::create_dir_all(&temporary)?;
    let unpacked = match bytes.as_slice() {
        [b'P', b'K', 3, 4, ..] => unzip(&bytes, Target::new(&temporary)),
        [0x1f, 0x8b, ..] => untar(&bytes, Target::new(&temporary)),
        _ => program(&temporary.join(PROGRAM), &bytes).map_err(CodeError::from),
    };
    let placed = unpacked.and_then(|()| Ok(fs::rename(&temporary, directory)?));
    if placed.is_err() {
        // Nothing refers to it; the next start of the server removes what stays.
        let _ = fs::remove_dir_all(&temporary);
    }
    match placed {
        // Another child of the same code was quicker.
        Err(CodeError::Io(_)) if directory.join(PROGRAM).exists() => Ok(()),
        other => other,
    }
}

fn unzip(bytes: &[u8], mut target: Target<'_>) -> Result<(), CodeError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        // Names that lead out of the directory, and links, are left out.
        let Some(name) = entry.enclosed_name() else {
            continue;
        };
        if entry.is_dir() || entry.is_symlink() {
            continue;
        }
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        target.file(&name, executable, entry)?;
    }
    target.finish()
}

fn untar(bytes: &[u8], mut target: Target<'_>) -> Result<(), CodeError> {
    // What is left out takes time to unpack too. Headers of as many files as may be are a part of that.
    let archive = MultiGzDecoder::new(bytes).take(2 * LARGEST_UNPACKED);
    tar::files(archive, |name, executable, content| {
        target.file(name, executable, content)
    })?;
    target.finish()
}

/// Where an archive goes, within its bounds.
struct Target<'a> {
    directory: &'a Path,
    /// Bytes that may still come.
    room: u64,
    /// Files that may still come.
    files: usize,
}

impl<'a> Target<'a> {
    fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            room: LARGEST_UNPACKED,
            files: MOST_FILES,
        }
    }

    /// Writes one file, whose name stays inside.
    fn file(
        &mut self,
        name: &Path,
        executable: bool,
        content: impl io::Read,
    ) -> Result<(), CodeError> {
        self.files = self.files.checked_sub(1).ok_or(CodeError::TooMany)?;
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // In pieces: a file may be as large as all of them, which is more than the server has memory for.
        let mut file = BufWriter::with_capacity(PIECE, File::create(path)?);
        let written = io::copy(&mut content.take(self.room + 1), &mut file)?;
        self.room = self.room.checked_sub(written).ok_or(CodeError::TooLarge)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let executable = executable || name == Path::new(PROGRAM);
        let mode = if executable { 0o755 } else { 0o644 };
        Ok(file.set_permissions(Permissions::from_mode(mode))?)
    }

    fn finish(self) -> Result<(), CodeError> {
        if self.directory.join(PROGRAM).is_file() {
            Ok(())
        } else {
            Err(CodeError::NoProgram)
        }
    }
}

fn program(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(entries: &[(&str, &str)]) -> String {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        STANDARD.encode(writer.finish().unwrap().into_inner())
    }

    #[test]
    fn unpacks_archives_and_plain_programs() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        unpack(
            &archive(&[("exec", "p"), ("data/x", "d")]),
            true,
            &place("zip"),
        )
        .unwrap();
        assert_eq!(
            fs::metadata(place("zip/exec"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o755
        );
        assert_eq!(fs::read_to_string(place("zip/data/x")).unwrap(), "d");
        unpack("#!/bin/sh\n", false, &place("text")).unwrap();
        assert_eq!(
            fs::read_to_string(place("text/exec")).unwrap(),
            "#!/bin/sh\n"
        );
        unpack(&STANDARD.encode("ELF"), true, &place("elf")).unwrap();
        assert_eq!(fs::read_to_string(place("elf/exec")).unwrap(), "ELF");
        unpack("again", false, &place("elf")).unwrap();
    }

    #[test]
    fn refuses_what_cannot_run_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("x");
        assert!(matches!(unpack(" ", false, &place), Err(CodeError::Empty)));
        assert!(matches!(
            unpack("***", true, &place),
            Err(CodeError::Base64(_))
        ));
        assert!(matches!(
            unpack(&archive(&[("other", "p")]), true, &place),
            Err(CodeError::NoProgram)
        ));
        assert!(matches!(
            unpack(&STANDARD.encode([0x1f, 0x8b, 8]), true, &place),
            Err(CodeError::Tar(_))
        ));
        assert!(matches!(
            unpack(&STANDARD.encode(gzip(b"a program")), true, &place),
            Err(CodeError::Tar(_))
        ));
        assert!(matches!(
            unpack(&STANDARD.encode(tarred(&["other"])), true, &place),
            Err(CodeError::NoProgram)
        ));
        assert!(matches!(
            unpack(&STANDARD.encode(b"PK\x03\x04junk"), true, &place),
            Err(CodeError::Zip(_))
        ));
        let leading_out = archive(&[("../out", "x"), ("exec", "p")]);
        unpack(&leading_out, true, &place).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    /// An archive of files that hold their names.
    fn tarred(names: &[&str]) -> Vec<u8> {
        let entry = |name: &&str| tar::tests::entry(name, b'0', name.as_bytes());
        let mut archive: Vec<u8> = names.iter().flat_map(entry).collect();
        archive.extend_from_slice(&[0; 1024]);
        gzip(&archive)
    }

    #[test]
    fn unpacks_tar_archives_and_nothing_outside() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("x");
        let code = tarred(&["./exec", "data/x", "../out", "/data/y"]);
        unpack(&STANDARD.encode(code), true, &place).unwrap();
        assert_eq!(fs::read_to_string(place.join("exec")).unwrap(), "./exec");
        assert_eq!(fs::read_to_string(place.join("data/x")).unwrap(), "data/x");
        let mode = |name| fs::metadata(place.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("exec"), mode("data/x")), (0o755, 0o644));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(place.join("data")).unwrap().count(), 1);
    }

    type Unpacks<'a> = &'a dyn Fn(Target<'_>) -> Result<(), CodeError>;

    #[test]
    fn archives_of_both_kinds_are_bounded() {
        let zipped = STANDARD.decode(archive(&[("exec", "exec"), ("more", "more")]));
        let zipped = zipped.unwrap();
        let tarred = tarred(&["exec", "more"]);
        let attempt = |room, files, unpacks: Unpacks<'_>| {
            let directory = tempfile::tempdir().unwrap();
            unpacks(Target {
                directory: directory.path(),
                room,
                files,
            })
        };
        let zip = |target: Target<'_>| unzip(&zipped, target);
        let tar = |target: Target<'_>| untar(&tarred, target);
        let both: [Unpacks<'_>; 2] = [&zip, &tar];
        for unpacks in both {
            attempt(8, 2, unpacks).unwrap();
            assert!(matches!(attempt(7, 2, unpacks), Err(CodeError::TooLarge)));
            assert!(matches!(attempt(8, 1, unpacks), Err(CodeError::TooMany)));
        }
    }
}
