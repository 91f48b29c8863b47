//! What `/proc` tells of processes: who belongs to a child, and what memory it has.

use std::collections::{HashMap, HashSet};
use std::fs;

/// What `/proc` tells of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub parent: i32,
    session: i32,
    zombie: bool,
}

/// A child's processes: its session, and all descendants of those wherever they went.
pub(super) fn members(processes: &[Process], leader: i32) -> Vec<Process> {
    let mut by_parent: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in processes {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found: HashSet<i32> = HashSet::new();
    let mut todo: Vec<&Process> = processes
        .iter()
        .filter(|process| process.pid == leader || process.session == leader)
        .collect();
    let mut members = Vec::new();
    while let Some(process) = todo.pop() {
        if !found.insert(process.pid) {
            continue;
        }
        if !process.zombie {
            members.push(*process);
        }
        todo.extend(by_parent.get(&process.pid).into_iter().flatten());
    }
    members
}

/// Resident memory of a process, bytes: its own and shared memory, but not the programs and files it has
/// mapped, which the kernel can drop and which all copies of a program share.
pub(super) fn memory_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    parse_memory(&status)
}

fn parse_memory(status: &str) -> u64 {
    status
        .lines()
        .filter_map(|line| {
            line.strip_prefix("RssAnon:")
                .or_else(|| line.strip_prefix("RssShmem:"))
        })
        .filter_map(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .sum::<u64>()
        * 1024
}

/// All processes that can be seen.
pub(super) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads a line of `/proc/PID/stat`: the name in parentheses may hold anything, the rest are numbers.
fn parse_stat(pid: i32, line: &str) -> Option<Process> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        zombie: *fields.first()? == "Z",
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Process {
        Process {
            pid,
            parent,
            session,
            zombie: false,
        }
    }

    #[test]
    fn reads_a_process_with_an_odd_name() {
        let line = "7 (a) b) S 1 7 5 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 100 4096 33 18446744073709551615";
        let process = parse_stat(7, line).unwrap();
        assert_eq!(
            (process.parent, process.session, process.zombie),
            (1, 5, false)
        );
        assert_eq!(parse_stat(7, "nonsense"), None);
        assert!(
            processes()
                .iter()
                .any(|process| process.pid == std::process::id() as i32)
        );
    }

    #[test]
    fn own_and_shared_memory_count_but_not_files() {
        let status =
            "Name:\tx\nVmRSS:\t 30 kB\nRssAnon:\t 10 kB\nRssFile:\t 15 kB\nRssShmem:\t 5 kB\n";
        assert_eq!(parse_memory(status), 15 * 1024);
        assert_eq!(parse_memory(""), 0);
    }

    #[test]
    fn descendants_that_left_the_session_still_count() {
        let all = [
            process(10, 1, 10),
            process(11, 10, 10),
            process(12, 11, 12),
            process(13, 12, 12),
            process(20, 1, 20),
        ];
        let mut pids: Vec<i32> = members(&all, 10)
            .iter()
            .map(|process| process.pid)
            .collect();
        pids.sort_unstable();
        assert_eq!(pids, [10, 11, 12, 13]);
    }
}
