//! The Debian packages and toolchains that a build on this machine needs.

use std::process::Command;

use crate::context::Context;
use crate::run;

/// For the local cluster and images; building needs a C compiler and make besides.
const DEBIAN: &[&str] = &[
    "buildah",
    "ca-certificates",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "e2fsprogs",
    "g++",
    "iproute2",
    "iptables",
    "make",
    "mmdebstrap",
    "mount",
    "nftables",
    "openssl",
    "perl",
    "procps",
    "runc",
    "util-linux",
    "xfsprogs",
    "zlib1g-dev",
];

/// Installs the Debian packages that are missing when this user may; says which.
///
/// # Errors
/// Something is missing and this user may not install it, or a toolchain is too old: the cure is in the text.
pub fn ensure(context: &Context) -> anyhow::Result<Vec<String>> {
    toolchains()?;
    if !run::succeeds(Command::new("dpkg-query").arg("--version")) {
        anyhow::bail!(
            "this is not a Debian machine: use a cluster that exists (`--context NAME`), or install by hand what provides: {}",
            DEBIAN.join(" ")
        );
    }
    let missing: Vec<String> = DEBIAN
        .iter()
        .filter(|p| !installed(p))
        .map(|p| (*p).to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let line = format!(
        "apt-get update && apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    if run::output(Command::new("id").arg("-u"))?.trim() != "0" {
        anyhow::bail!(
            "these Debian packages are missing; install them with:\n  sudo sh -c '{line}'"
        );
    }
    eprintln!("    installing the Debian packages {}", missing.join(" "));
    let log = context.log("packages")?;
    run::logged(Command::new("apt-get").arg("update"), &log)?;
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "--no-install-recommends"])
        .args(&missing);
    run::logged(&mut install, &log)
        .map_err(|e| e.context(format!("install them by hand:\n  {line}")))?;
    Ok(missing)
}

fn installed(package: &str) -> bool {
    run::output(Command::new("dpkg-query").args(["-W", "-f=${Status}", package]))
        .is_ok_and(|s| s.ends_with("install ok installed"))
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
}
