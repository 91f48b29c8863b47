//! System calls that an isolated child may not make: what no Landlock has a rule for. They are refused with `EPERM`, as the kernel
//! refuses what somebody has no right to; nothing is ended for trying. A call that names a file by a descriptor goes on, for
//! Landlock decided about it when the file was opened.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// What stays in the kernel when everybody who used it has ended, and is everybody's of the same user: shared memory,
/// semaphores and messages of System V, and messages of POSIX.
const SHARED: [i64; 13] = [
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];

/// Mode, owner, extended attributes (an access list is a mode too) and flags of a file that is named by its path. `io_uring` has
/// such operations of its own, which no filter sees.
const BY_PATH: [i64; 11] = [
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_io_uring_setup,
];

/// The same by their older names, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const BY_PATH_OLD: [i64; 3] = [libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown];
#[cfg(not(target_arch = "x86_64"))]
const BY_PATH_OLD: [i64; 0] = [];

// Too new for the list of `libc`; such calls have the same numbers on all architectures (Linux, `scripts/syscall.tbl`).
const FCHMODAT2: i64 = 452;
const SETXATTRAT: i64 = 463;
const REMOVEXATTRAT: i64 = 466;
const FILE_SETATTR: i64 = 469;

/// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`.
const IOPRIO_PROCESS: u64 = 1;

/// Bounds and priorities of processes, which their user may change: the number of an argument, and the value with which it names
/// the caller itself. Any other could take the server's files, memory or processor away.
const OF_OTHERS: [(i64, u8, u64); 9] = [
    (libc::SYS_prlimit64, 0, 0),
    (libc::SYS_sched_setaffinity, 0, 0),
    (libc::SYS_sched_setattr, 0, 0),
    (libc::SYS_sched_setparam, 0, 0),
    (libc::SYS_sched_setscheduler, 0, 0),
    (libc::SYS_setpriority, 0, 0),
    (libc::SYS_setpriority, 1, 0),
    (libc::SYS_ioprio_set, 0, IOPRIO_PROCESS),
    (libc::SYS_ioprio_set, 1, 0),
];

/// Bit of the calls of the x32 ABI, which a kernel of x86-64 may have beside its own and which have the same numbers else.
const X32: i64 = 0x4000_0000;

/// Refuses them to this thread and whatever it starts, for good. Programs of another architecture are ended.
///
/// # Errors
/// What is wrong with the kernel, in words.
pub(super) fn refuse() -> Result<(), String> {
    let program = program().map_err(|error| format!("filter of system calls: {error}"))?;
    apply_filter(&program).map_err(|error| {
        format!(
            "this kernel filters no system calls, so nothing keeps the action from its neighbours' files and the server's \
             bounds ({error}); use one with seccomp, or give --isolation none if all actions are trusted"
        )
    })
}

fn program() -> Result<BpfProgram, BackendError> {
    let whole = SHARED.iter().chain(&BY_PATH).chain(&BY_PATH_OLD);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        whole.map(|call| (*call, Vec::new())).collect();
    for (call, argument, itself) in OF_OTHERS {
        // Of 32 bits: the kernel does not look at the rest.
        let other =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, itself)?;
        let rule = SeccompRule::new(vec![other])?;
        rules.entry(call).or_default().push(rule);
    }
    if cfg!(target_arch = "x86_64") {
        let again = rules.clone().into_iter();
        rules.extend(again.map(|(call, rules)| (call | X32, rules)));
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?
    .try_into()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::io::Errno;
    use rustix::process::{
        Resource, getpid, getpriority_process, getrlimit, prlimit, setpriority_process, setrlimit,
    };

    use super::*;

    #[test]
    fn others_are_out_of_reach_and_what_is_ones_own_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let tries = || {
            refuse().unwrap();
            let refused = |found: Result<(), Errno>| assert_eq!(found, Err(Errno::PERM));
            // By its path, and by the descriptor of the open file.
            let by_path = fs::set_permissions(&path, Permissions::from_mode(0o600));
            let code = by_path.unwrap_err().raw_os_error();
            assert_eq!(code, Some(Errno::PERM.raw_os_error()));
            assert_eq!(mode(), 0o644);
            file.set_permissions(Permissions::from_mode(0o640)).unwrap();
            assert_eq!(mode(), 0o640);
            let owner = Some(rustix::process::getuid());
            refused(rustix::fs::chown(path.as_path(), owner, None));
            rustix::fs::fchown(&file, owner, None).unwrap();
            // This process, named by its number as another would be, and as the caller.
            let bound = getrlimit(Resource::Core);
            refused(prlimit(Some(getpid()), Resource::Core, bound).map(|_| ()));
            setrlimit(Resource::Core, bound).unwrap();
            let priority = getpriority_process(None).unwrap();
            refused(setpriority_process(Some(getpid()), priority));
            setpriority_process(None, priority).unwrap();
        };
        // For this thread alone: it ends with the test.
        std::thread::scope(|scope| scope.spawn(tries).join().unwrap());
    }
}
