//! From an action's code as text to files that can be run.

use std::fs::{self, File, Permissions};
use std::io::{self, Cursor, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The program in every action.
pub const PROGRAM: &str = "exec";

/// An archive may unpack to so much: a small one can hold a lot of nothing.
const LARGEST_UNPACKED: u64 = 256 * 1024 * 1024;

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
    /// A kind of archive that is not unpacked here.
    #[error(
        "cannot unpack the action: it is a gzip file; send a zip archive or the program itself"
    )]
    Gzip,
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
        [b'P', b'K', 3, 4, ..] => unzip(&bytes, &temporary),
        [0x1f, 0x8b, ..] => Err(CodeError::Gzip),
        _ => write(&temporary.join(PROGRAM), &bytes, 0o755).map_err(CodeError::from),
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

fn unzip(bytes: &[u8], directory: &Path) -> Result<(), CodeError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    let mut room = LARGEST_UNPACKED;
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        // Names that lead out of the directory, and links, are left out.
        let Some(name) = entry.enclosed_name() else {
            continue;
        };
        if entry.is_dir() || entry.is_symlink() {
            continue;
        }
        let path = directory.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let executable =
            name == Path::new(PROGRAM) || entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let mut content = Vec::new();
        entry.take(room + 1).read_to_end(&mut content)?;
        room = room
            .checked_sub(content.len() as u64)
            .ok_or(CodeError::TooLarge)?;
        write(&path, &content, if executable { 0o755 } else { 0o644 })?;
    }
    if directory.join(PROGRAM).is_file() {
        Ok(())
    } else {
        Err(CodeError::NoProgram)
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))
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
            Err(CodeError::Gzip)
        ));
        assert!(matches!(
            unpack(&STANDARD.encode(b"PK\x03\x04junk"), true, &place),
            Err(CodeError::Zip(_))
        ));
        let leading_out = archive(&[("../out", "x"), ("exec", "p")]);
        unpack(&leading_out, true, &place).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
