//! What test runners say: counted, and the names of what failed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// What became of tests.
#[derive(Default)]
pub struct Count {
    /// Those that passed.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were left out.
    pub skipped: u64,
    /// The names of those that failed, as the runner says them.
    pub named: BTreeSet<String>,
}

impl Count {
    /// Takes in what others counted.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.named.extend(other.named);
    }

    /// Takes in a second run of those that failed; gives the names of those that passed in it.
    pub fn settle(&mut self, again: &Self) -> Vec<String> {
        let ran = again.passed + again.failed;
        if ran < self.named.len() as u64 {
            return Vec::new();
        }
        let passed: Vec<String> = self.named.difference(&again.named).cloned().collect();
        for name in &passed {
            self.named.remove(name);
            self.failed -= 1;
            self.passed += 1;
        }
        passed
    }
}

/// Runs a test runner with its output shown, and adds up what it counted.
///
/// # Errors
/// It cannot be run, or ends badly without a failure that it counted.
pub fn run(command: &mut Command, count: &mut Count) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let before = count.failed;
    if let Some(out) = child.stdout.take() {
        let mut listed = Vec::new();
        for line in BufReader::new(out).lines() {
            let line = line?;
            println!("{line}");
            read(&line, &mut listed, count);
        }
    }
    let status = child.wait()?;
    if !status.success() && count.failed == before {
        anyhow::bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

/// Counts what a test program said that has ended.
#[must_use]
pub fn of(said: &str) -> Count {
    let (mut count, mut listed) = (Count::default(), Vec::new());
    for line in said.lines() {
        read(line, &mut listed, &mut count);
    }
    count
}

fn read(line: &str, listed: &mut Vec<String>, count: &mut Count) {
    name(line, listed, count);
    closing(line, count);
}

/// Reads the last list of failures before a closing line; what tests print stands in a list of its own before it.
fn name(line: &str, listed: &mut Vec<String>, count: &mut Count) {
    if line == "failures:" {
        listed.clear();
    } else if line.starts_with("test result: FAILED") {
        count.named.extend(listed.drain(..));
    } else if let Some(name) = line.strip_prefix("    ")
        && !name.contains(char::is_whitespace)
    {
        listed.push(name.to_owned());
    }
}

/// Reads the closing line of cargo's test runner, or the plain one.
fn closing(line: &str, count: &mut Count) {
    let text = line
        .strip_prefix("test result: ")
        .map_or(line, |rest| rest.split_once(". ").map_or(rest, |(_, r)| r));
    if !line.starts_with("test result: ") && !line.ends_with("failed") && !line.ends_with("skipped")
    {
        return;
    }
    for part in text.split([';', ',']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what), None) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what {
            "passed" => count.passed += number,
            "failed" => count.failed += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        closing(
            "test result: ok. 12 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            &mut count,
        );
        closing("4 passed, 2 failed", &mut count);
        closing("ok something passed", &mut count);
        assert_eq!((count.passed, count.failed, count.skipped), (16, 3, 0));
    }

    const FAILED: &str = "\
running 3 tests
test a ... FAILED
test b::c ... FAILED

failures:

---- a stdout ----
    not_a_name
---- b::c stdout ----
    told

failures:
    a
    b::c

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s";

    #[test]
    fn what_passes_alone_is_told_by_name() {
        let mut count = of(FAILED);
        assert_eq!(count.named, ["a".to_owned(), "b::c".to_owned()].into());
        let again = of(
            "failures:\n    a\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; finished in 0.02s",
        );
        assert_eq!(count.settle(&again), ["b::c"]);
        assert_eq!((count.passed, count.failed), (2, 1));
    }

    #[test]
    fn what_did_not_run_again_has_failed() {
        let mut count = of(FAILED);
        let again = of("test result: ok. 1 passed; 0 failed; 0 ignored; finished in 0.02s");
        assert_eq!(count.settle(&again), [""; 0]);
        assert_eq!((count.passed, count.failed), (1, 2));
    }
}
