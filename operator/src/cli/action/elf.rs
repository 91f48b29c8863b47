//! Whether a program can run where there is nothing but itself.

/// What is wrong with a program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is for another system.
    #[error(
        "it is no 64-bit program for Linux; build on Linux, or give --target with one for Linux"
    )]
    Foreign,
    /// It needs a loader, and with it libraries of the machine that it was built on.
    #[error(
        "it is linked dynamically, and the server's image may lack what it needs; build for a target with a static C library, for example *-linux-gnu or *-linux-musl"
    )]
    Dynamic,
}

/// Program headers of this type name a loader (ELF specification, PT_INTERP).
const INTERPRETER: u32 = 3;

/// Succeeds for a static 64-bit ELF program of little endian, which is all that servers run here.
///
/// # Errors
/// [`Unfit`].
pub fn check(program: &[u8]) -> Result<(), Unfit> {
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(Unfit::Foreign);
    }
    let half = |at: usize| {
        Some(u16::from_le_bytes(
            program.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let word = |at: usize| {
        Some(u32::from_le_bytes(
            program.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let long = |at: usize| {
        Some(u64::from_le_bytes(
            program.get(at..at + 8)?.try_into().ok()?,
        ))
    };
    // e_phoff, e_phentsize and e_phnum.
    let headers = || Some((usize::try_from(long(0x20)?).ok()?, half(0x36)?, half(0x38)?));
    let (start, size, count) = headers().ok_or(Unfit::Foreign)?;
    for number in 0..count {
        let at = start.saturating_add(usize::from(size) * usize::from(number));
        match word(at) {
            None => return Err(Unfit::Foreign),
            Some(INTERPRETER) => return Err(Unfit::Dynamic),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(types: &[u32]) -> Vec<u8> {
        let mut program = b"\x7fELF\x02\x01".to_vec();
        program.resize(64, 0);
        program[0x20] = 64;
        program[0x36] = 56;
        program[0x38] = u8::try_from(types.len()).unwrap();
        for kind in types {
            program.extend(kind.to_le_bytes());
            program.resize(program.len() + 52, 0);
        }
        program
    }

    #[test]
    fn a_loader_makes_a_program_unfit() {
        assert_eq!(check(&elf(&[1, 2])), Ok(()));
        assert_eq!(check(&elf(&[6, 3, 1])), Err(Unfit::Dynamic));
        let mut cut = elf(&[1, 2]);
        cut.truncate(100);
        assert_eq!(check(&cut), Err(Unfit::Foreign));
        for other in [&b"MZ"[..], b"#!/bin/sh\n", b""] {
            assert_eq!(check(other), Err(Unfit::Foreign));
        }
    }
}
