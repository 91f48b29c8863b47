//! The Landlock domain of a child: files, ports and signals. In two parts, so that a launcher that waits has the larger one behind it.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};

use super::launch::SCRATCH;

/// What every program may read and execute: what it is linked with and runs on.
const PROGRAMS: [&str; 10] = [
    "/bin",
    "/usr/bin",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// What every program may read: certificates, and devices without a memory.
const FILES: [&str; 4] = ["/etc/ssl", "/dev/zero", "/dev/urandom", "/dev/random"];

/// The same: names and time zone. A rule is for the file that is there when it is made, and these are replaced by new ones while a
/// launcher waits.
const REPLACED: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/localtime",
];

/// The newest rules that this program knows; older kernels get as many of them as they have.
const RULES: ABI = ABI::V6;

/// A domain in the making, with what every action may do.
pub(super) struct Domain(RulesetCreated);

impl Domain {
    /// For the child with this directory. Paths that are not there are left out.
    ///
    /// # Errors
    /// What the kernel does not take, in words.
    pub fn prepare(directory: &Path) -> Result<Self, String> {
        let scratch = directory.join(SCRATCH);
        let run = AccessFs::from_read(RULES);
        let write = AccessFs::from_all(RULES) & !AccessFs::Execute;
        let null = AccessFs::ReadFile | AccessFs::WriteFile;
        let create = || -> Result<RulesetCreated, RulesetError> {
            Ruleset::default()
                .handle_access(AccessFs::from_all(RULES))?
                // Actions connect; none listens.
                .handle_access(AccessNet::BindTcp)?
                // Neither the server nor a neighbour can be signalled or reached by an abstract socket.
                .scope(Scope::from_all(RULES))?
                .create()?
                .add_rules(path_beneath_rules([directory], run))?
                .add_rules(path_beneath_rules(PROGRAMS, run))?
                .add_rules(path_beneath_rules(FILES, read()))?
                .add_rules(path_beneath_rules(["/dev/null"], null))?
                .add_rules(path_beneath_rules([scratch.as_path()], write))
        };
        create().map(Self).map_err(|error| failed(&error))
    }

    /// Allows what only this action may read, its code, and shuts this process in, with whatever it starts, for good.
    ///
    /// # Errors
    /// What the kernel does not take, in words.
    pub fn enter(self, code: &Path) -> Result<(), String> {
        let restrict = || -> Result<RulesetStatus, RulesetError> {
            let rules = self
                .0
                .add_rules(path_beneath_rules([code], AccessFs::from_read(RULES)))?
                .add_rules(path_beneath_rules(REPLACED, read()))?;
            Ok(rules.restrict_self()?.ruleset)
        };
        match restrict() {
            Ok(RulesetStatus::NotEnforced) => {
                Err("this kernel has no Landlock, so nothing keeps the action apart".to_owned())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Reading of files and directories.
fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn failed(error: &RulesetError) -> String {
    format!("Landlock: {error}")
}

/// Whether this kernel can isolate at all.
pub fn landlock_available() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Something that an isolated action may do after all, because the kernel is too old to keep it from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconfined {
    /// Its name in metrics.
    pub what: &'static str,
    /// What that means.
    pub means: &'static str,
    /// The first version of Linux that confines it.
    pub linux: &'static str,
}

/// What this kernel's Landlock does not confine, but a newer one's does. What none does is refused as a call ([`super::calls`]).
pub fn unconfined() -> Vec<Unconfined> {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let file = |access: AccessFs| strict().handle_access(access).and_then(Ruleset::create);
    let scope = |scope: Scope| strict().scope(scope).and_then(Ruleset::create);
    let tcp = strict()
        .handle_access(AccessNet::BindTcp)
        .and_then(Ruleset::create);
    let gaps = [
        (
            file(AccessFs::Truncate).is_ok(),
            Unconfined {
                what: "truncate",
                means: "an action can empty any file that the server can write",
                linux: "6.2",
            },
        ),
        (
            tcp.is_ok(),
            Unconfined {
                what: "tcp-bind",
                means: "an action can listen on TCP ports",
                linux: "6.7",
            },
        ),
        (
            file(AccessFs::IoctlDev).is_ok(),
            Unconfined {
                what: "device-ioctl",
                means: "an action can send control requests to the devices that it may open",
                linux: "6.10",
            },
        ),
        (
            scope(Scope::Signal).is_ok(),
            Unconfined {
                what: "signals",
                means: "an action can signal, and so end, its neighbours and the server",
                linux: "6.12",
            },
        ),
        (
            scope(Scope::AbstractUnixSocket).is_ok(),
            Unconfined {
                what: "abstract-sockets",
                means: "an action can connect to abstract sockets of other programs of its pod",
                linux: "6.12",
            },
        ),
    ];
    gaps.into_iter()
        .filter_map(|(confined, gap)| (!confined).then_some(gap))
        .collect()
}
