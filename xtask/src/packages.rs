//! The Debian packages and toolchains that a build on this machine needs.

use std::process::Command;

use crate::context::Context;
use crate::run;

/// Programs, and the Debian packages that have them. What is asked for is the program: it may well come from elsewhere.
const DEBIAN: &[(&str, &str)] = &[
    ("buildah", "buildah"),
    ("c++", "g++"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("losetup", "mount"),
    ("make", "make"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("nft", "nftables"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("perl", "perl"),
    ("pgrep", "procps"),
    ("pkg-config", "pkg-config"),
    ("python3", "python3"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
];

/// Libraries with their headers, as pkg-config knows them, and the Debian packages that have them.
const LIBRARIES: &[(&str, &str)] = &[("openssl", "libssl-dev")];

/// Installs the Debian packages that are missing when this user may; says which.
///
/// # Errors
/// Something is missing and this user may not install it, or a toolchain is too old: the cure is in the text.
pub fn ensure(context: &Context) -> anyhow::Result<Vec<String>> {
    toolchains()?;
    let mut missing: Vec<String> = DEBIAN
        .iter()
        .filter(|(program, _)| !found(program))
        .chain(LIBRARIES.iter().filter(|(library, _)| !linkable(library)))
        .map(|(_, package)| (*package).to_owned())
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(missing);
    }
    let line = format!(
        "apt-get update && apt-get install -y --no-install-recommends --no-remove {}",
        missing.join(" ")
    );
    if !run::succeeds(Command::new("apt-get").arg("--version")) {
        anyhow::bail!(
            "this is no Debian machine: use a cluster that exists (`--context NAME`), or install what has: {}",
            missing.join(" ")
        );
    }
    if run::output(Command::new("id").arg("-u"))?.trim() != "0" {
        anyhow::bail!(
            "these Debian packages are missing; install them with:\n  sudo sh -c '{line}'"
        );
    }
    eprintln!("    installing the Debian packages {}", missing.join(" "));
    let log = context.log("packages")?;
    run::logged(Command::new("apt-get").arg("update"), &log)?;
    // An interrupted installation would make every later one fail.
    run::logged(
        Command::new("dpkg")
            .args(["--configure", "-a"])
            .env("DEBIAN_FRONTEND", "noninteractive"),
        &log,
    )?;
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Nothing of the user's goes: a container engine from elsewhere conflicts with Debian's packages, for one.
        .args([
            "install",
            "-y",
            "--no-install-recommends",
            "--no-remove",
            "-o",
            "DPkg::Lock::Timeout=120",
        ])
        .args(&missing);
    run::logged(&mut install, &log)
        .map_err(|e| e.context(format!("install them by hand:\n  {line}")))?;
    Ok(missing)
}

/// Whether a program is on the PATH or where administrators' programs are, or a file is there.
fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|dir| dir.join(program).exists())
}

/// Whether a build finds the library and its headers: as the build scripts themselves ask for them.
fn linkable(library: &str) -> bool {
    run::succeeds(Command::new("pkg-config").args(["--exists", library]))
}

fn toolchains() -> anyhow::Result<()> {
    let go = run::output(Command::new("go").args(["env", "GOVERSION"]))
        .map_err(|_| anyhow::anyhow!("there is no `go` on the PATH: install Go 1.25 or later"))?;
    let minor = go_minor(go.trim());
    if minor.is_none_or(|m| m < 25) {
        anyhow::bail!("go is {}: install Go 1.25 or later", go.trim());
    }
    for (tool, cure) in [
        ("java", "install Java 17 (Debian: openjdk-17-jdk-headless)"),
        ("mvn", "install Maven (Debian: maven)"),
    ] {
        if !run::succeeds(Command::new(tool).arg("-version")) {
            anyhow::bail!("there is no `{tool}` on the PATH: {cure}");
        }
    }
    Ok(())
}

fn go_minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_read() {
        assert_eq!(go_minor("go1.26.8"), Some(26));
        assert_eq!(go_minor("go1.25rc1"), Some(25));
        assert_eq!(go_minor("devel"), None);
    }

    #[test]
    fn a_library_that_nobody_has_is_missing() {
        assert!(!linkable("millrace-no-such-library"));
    }
}
