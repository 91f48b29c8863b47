//! Archives of tar, as far as code needs them: files with their names and modes. Names are those of POSIX (ustar, pax) and GNU.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::pool::code::CodeError;

/// Everything in an archive is a number of these.
const BLOCK: usize = 512;

/// No path on Linux is longer; what else stands beside it in a pax header is.
const LONGEST_HEADER: u64 = 64 * 1024;

/// Gives each regular file to `take`: its path within the archive's directory, whether it can be executed, and its content. Links,
/// devices and names that lead out of the directory are left out.
///
/// # Errors
/// Whatever `take` says, and [`CodeError::Tar`] when it is no such archive.
pub(super) fn files(
    mut archive: impl Read,
    mut take: impl FnMut(&Path, bool, &mut dyn Read) -> Result<(), CodeError>,
) -> Result<(), CodeError> {
    let mut long_name: Option<Vec<u8>> = None;
    let mut header = [0_u8; BLOCK];
    loop {
        archive.read_exact(&mut header).map_err(CodeError::Tar)?;
        // Two empty blocks are the end; of the second one nothing depends.
        if header.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let size = checked_size(&header)?;
        let mut content = archive.by_ref().take(size);
        match header[156] {
            b'L' => {
                let text = read_header(&mut content)?;
                long_name = Some(until_nul(&text).to_owned());
            }
            b'x' => {
                let text = read_header(&mut content)?;
                long_name = pax_path(&text).map(<[u8]>::to_owned).or(long_name);
            }
            b'g' => {}
            kind => {
                let name = long_name.take().unwrap_or_else(|| short_name(&header));
                // Both mean a file; the older form has no letter.
                if let (b'0' | 0, Some(name)) = (kind, enclosed(&name)) {
                    let mode = number(&header[100..108]).unwrap_or(0);
                    take(&name, mode & 0o111 != 0, &mut content)?;
                }
            }
        }
        // What nobody has read, and what fills its last block.
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let left = content.limit() + padding;
        let skipped = io::copy(&mut archive.by_ref().take(left), &mut io::sink());
        if skipped.map_err(CodeError::Tar)? < left {
            return Err(invalid("it ends too early"));
        }
    }
}

fn invalid(why: &str) -> CodeError {
    CodeError::Tar(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// The size of what follows a header, bytes, when the header's sum is right.
fn checked_size(header: &[u8; BLOCK]) -> Result<u64, CodeError> {
    // The sum counts its own field as spaces.
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            u64::from(if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            })
        })
        .sum();
    if number(&header[148..156]) != Some(sum) {
        return Err(invalid("what is packed is no tar archive"));
    }
    number(&header[124..136])
        .filter(|size| *size < 1 << 40)
        .ok_or_else(|| invalid("an entry has no size"))
}

/// An octal number, between spaces or ended by them or by NUL.
fn number(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    u64::from_str_radix(text, 8).ok()
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The name in the header itself; POSIX has its beginning in another field.
fn short_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let prefix = until_nul(&header[345..500]);
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_owned()
}

fn read_header(content: &mut impl Read) -> Result<Vec<u8>, CodeError> {
    let mut text = Vec::new();
    let read = content.take(LONGEST_HEADER).read_to_end(&mut text);
    read.map_err(CodeError::Tar)?;
    Ok(text)
}

/// The `path` of records `LENGTH KEY=VALUE\n`, whose length counts the whole record.
fn pax_path(mut text: &[u8]) -> Option<&[u8]> {
    let mut path = None;
    while let Some(space) = text.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
        let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
        path = record.strip_prefix(b"path=").or(path);
        text = &text[length..];
    }
    path
}

/// The name as a path that stays inside of the directory.
fn enclosed(name: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry as GNU and POSIX write it.
    pub fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = [0_u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut entry = header.to_vec();
        entry.extend_from_slice(content);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    fn read(entries: &[Vec<u8>]) -> Result<Vec<(String, String)>, CodeError> {
        let mut found = Vec::new();
        files(entries.concat().as_slice(), |name, _, content| {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            found.push((name.to_str().unwrap().to_owned(), text));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn names_of_all_forms_are_read_and_links_left_out() {
        let long = "d/".repeat(80) + "file";
        let record = format!(" path={long}\n");
        let length = record.len() + 3;
        let mut prefixed = entry("file", b'0', b"p");
        prefixed[345..348].copy_from_slice(b"pre");
        prefixed[148..156].fill(b' ');
        let sum: u32 = prefixed[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        prefixed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let found = read(&[
            entry("pax", b'g', b"52 comment=of all\n"),
            entry("./", b'5', b""),
            entry("./exec", b'0', b"program"),
            entry("old", 0, &[b'o'; 513]),
            entry("././@LongLink", b'L', format!("{long}\0").as_bytes()),
            entry("cut", b'0', b"gnu"),
            entry("pax", b'x', format!("{length}{record}").as_bytes()),
            entry("cut", b'0', b"pax"),
            prefixed,
            entry("link", b'2', b""),
            entry("hard", b'1', b""),
            entry("../out", b'0', b"x"),
            entry("/etc/passwd", b'0', b"x"),
            vec![0; 2 * BLOCK],
        ]);
        let of = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            found.unwrap(),
            [
                of("exec", "program"),
                of("old", &"o".repeat(513)),
                of(&long, "gnu"),
                of(&long, "pax"),
                of("pre/file", "p"),
            ]
        );
    }

    #[test]
    fn what_is_broken_is_refused() {
        let whole = entry("exec", b'0', &[b'p'; 600]);
        let mut wrong = whole.clone();
        wrong[0] = b'E';
        for archive in [
            Vec::new(),
            vec![b'x'; BLOCK],
            wrong,
            whole.clone(),
            whole[..2 * BLOCK].to_vec(),
            whole[..BLOCK + 10].to_vec(),
        ] {
            assert!(matches!(read(&[archive]), Err(CodeError::Tar(_))));
        }
    }
}
