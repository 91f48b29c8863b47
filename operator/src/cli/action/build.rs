//! `millrace action build`: a static program, zipped as OpenWhisk takes it.

use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::super::Output;
use super::elf;
use crate::remote::action::sha256;

/// Builds the action as a static program and zips it; prints the zip's digest
#[derive(Clone, Debug, Args)]
pub struct Command {
    #[command(flatten)]
    code: Code,
    /// Where the zip goes; action/NAME.zip in cargo's target folder when absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Where an action's code is.
#[derive(Clone, Debug, Args)]
pub struct Code {
    /// The folder of the action's crate, which is built, or a zip
    #[arg(default_value = ".", value_name = "DIR|ZIP")]
    action: PathBuf,
    /// The program of the crate, where it has several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Build for this target of Rust; this machine's when absent
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Refuse to build when Cargo.lock would have to change
    #[arg(long)]
    locked: bool,
}

/// An action that can be sent.
#[derive(Debug)]
pub struct Built {
    /// Its name: that of its program, or of its zip.
    pub name: String,
    /// The zip.
    pub zip: Vec<u8>,
    /// Its digest, in hexadecimal digits.
    pub sha256: String,
    /// Cargo's target folder, when it was built.
    target: Option<PathBuf>,
}

impl Built {
    /// An action whose zip is there.
    #[must_use]
    pub fn of_zip(name: &str, zip: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            sha256: sha256(&zip),
            zip,
            target: None,
        }
    }
}

/// Does it.
///
/// # Errors
/// It cannot be built, or not be written.
pub fn run(command: &Command, output: Output, out: &mut impl Write) -> anyhow::Result<()> {
    let built = command.code.built()?;
    let file = match (&command.out, &built.target) {
        (Some(file), _) => file.clone(),
        (None, Some(target)) => target.join("action").join(format!("{}.zip", built.name)),
        (None, None) => bail!(
            "{}: is a zip already; name a folder to build",
            command.code.action.display()
        ),
    };
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("--out: {}", parent.display()))?;
    }
    std::fs::write(&file, &built.zip).with_context(|| format!("--out: {}", file.display()))?;
    if output == Output::Json {
        let told = json!({
            "name": built.name, "zip": file, "bytes": built.zip.len(), "sha256": built.sha256,
        });
        writeln!(out, "{told}")?;
    } else {
        writeln!(out, "{}: {} bytes", file.display(), built.zip.len())?;
        writeln!(out, "sha256:{}", built.sha256)?;
    }
    Ok(())
}

impl Code {
    /// The zip: of what is built now, or as it is.
    ///
    /// # Errors
    /// It cannot be built or read.
    pub fn built(&self) -> anyhow::Result<Built> {
        let place = self.action.display();
        if self.action.is_file() {
            let zip = std::fs::read(&self.action).with_context(|| place.to_string())?;
            ensure!(
                zip.starts_with(b"PK\x03\x04"),
                "{place}: is no zip; give a zip with a program named exec at its top, or a folder to build"
            );
            let stem = self.action.file_stem().unwrap_or_default();
            return Ok(Built::of_zip(&stem.to_string_lossy(), zip));
        }
        let manifest = self.action.join("Cargo.toml");
        ensure!(
            manifest.is_file(),
            "{place}: has no Cargo.toml; name the folder of an action's crate (`millrace action new` makes one) or a zip"
        );
        let package = package(&manifest, self.bin.as_deref())?;
        self.compile(&manifest, &package.program)?;
        let mut binary = package.target.clone();
        binary.extend(self.target.as_deref().map(Path::new));
        let binary = binary.join("release").join(&package.program);
        let program = std::fs::read(&binary).with_context(|| binary.display().to_string())?;
        elf::check(&program).with_context(|| binary.display().to_string())?;
        Ok(Built {
            target: Some(package.target),
            ..Built::of_zip(&package.program, zipped(&program)?)
        })
    }

    /// Only the crate itself is compiled for a static C library: what it depends on, and what runs while it is built,
    /// is compiled as always.
    fn compile(&self, manifest: &Path, program: &str) -> anyhow::Result<()> {
        let mut cargo = cargo();
        cargo.args(["rustc", "--release", "--bin", program, "--manifest-path"]);
        cargo.arg(manifest);
        if self.locked {
            cargo.arg("--locked");
        }
        if let Some(target) = &self.target {
            cargo.args(["--target", target]);
        }
        cargo.args([
            "--",
            "-C",
            "target-feature=+crt-static",
            "-C",
            "strip=symbols",
        ]);
        // What cargo tells goes on as it is; its output is nothing.
        let status = cargo
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cargo: cannot be started; install Rust (rustup) and try again")?;
        ensure!(
            status.success(),
            "cargo: the action does not build, see above"
        );
        Ok(())
    }
}

fn cargo() -> Process {
    Process::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// A crate, as far as it is built here.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    program: String,
    target: PathBuf,
}

fn package(manifest: &Path, bin: Option<&str>) -> anyhow::Result<Package> {
    let output = cargo()
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo: cannot be started; install Rust (rustup) and try again")?;
    ensure!(
        output.status.success(),
        "{}: cargo cannot read it, see above",
        manifest.display()
    );
    let told: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    // As cargo tells it: without links on the way.
    of_metadata(&told, &manifest.canonicalize()?, bin)
}

/// The package of a manifest, out of what cargo tells.
fn of_metadata(told: &Value, manifest: &Path, bin: Option<&str>) -> anyhow::Result<Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let path = |value: &Value| value.as_str().map(PathBuf::from);
    let package = list(&told["packages"])
        .into_iter()
        .find(|package| path(&package["manifest_path"]).as_deref() == Some(manifest));
    let package = package.with_context(|| {
        format!(
            "{}: describes no package; name the folder of one",
            manifest.display()
        )
    })?;
    let is_program = |target: &&Value| list(&target["kind"]).iter().any(|kind| kind == "bin");
    let targets = list(&package["targets"]);
    let programs: Vec<String> = targets
        .iter()
        .filter(is_program)
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    let all = programs.join(", ");
    let place = manifest.display();
    let program = match (bin, programs.as_slice()) {
        (Some(bin), some) if some.iter().any(|name| name == bin) => bin.to_owned(),
        (Some(bin), _) => bail!("--bin: {bin}: {place} has no such program; it has {all}"),
        (None, [only]) => only.clone(),
        (None, []) => bail!("{place}: has no program; an action is one (src/main.rs)"),
        (None, _) => bail!("{place}: has several programs; name one by --bin: {all}"),
    };
    let target = path(&told["target_directory"]).context("cargo metadata: no target_directory")?;
    Ok(Package { program, target })
}

/// The archive that an OpenWhisk takes. Equal programs give equal archives, and so equal digests.
fn zipped(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut archive = zip::ZipWriter::new(Cursor::new(&mut bytes));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    archive.start_file("exec", options)?;
    archive.write_all(program)?;
    archive.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(programs: &[&str]) -> Value {
        let target = |name: &&str| json!({ "name": name, "kind": ["bin"] });
        let mut targets: Vec<Value> = programs.iter().map(target).collect();
        targets.push(json!({ "name": "helper", "kind": ["lib"] }));
        json!({
            "target_directory": "/t",
            "packages": [
                { "manifest_path": "/a/harness/Cargo.toml", "targets": [] },
                { "manifest_path": "/a/Cargo.toml", "targets": targets },
            ],
        })
    }

    #[test]
    fn the_program_is_the_only_one_or_the_one_that_is_named() {
        let find = |programs: &[&str], bin| {
            of_metadata(&metadata(programs), Path::new("/a/Cargo.toml"), bin)
        };
        let package = find(&["greeter"], None).unwrap();
        assert_eq!(
            (package.program.as_str(), package.target.as_path()),
            ("greeter", Path::new("/t"))
        );
        assert_eq!(find(&["a", "b"], Some("b")).unwrap().program, "b");
        for (programs, bin, word) in [
            (&["a", "b"][..], None, "a, b"),
            (&["a"], Some("c"), "--bin: c"),
            (&[], None, "src/main.rs"),
        ] {
            let told = find(programs, bin).unwrap_err().to_string();
            assert!(told.contains(word), "{told}");
        }
        assert!(of_metadata(&metadata(&[]), Path::new("/b/Cargo.toml"), None).is_err());
    }

    #[test]
    fn equal_programs_give_equal_archives() {
        let zip = zipped(b"\x7fELF").unwrap();
        assert_eq!(zip, zipped(b"\x7fELF").unwrap());
        assert!(zip.starts_with(b"PK\x03\x04"));
    }

    #[test]
    fn what_is_neither_a_crate_nor_a_zip_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.zip");
        std::fs::write(&file, "text").unwrap();
        for (action, word) in [
            (file, "is no zip"),
            (directory.path().to_owned(), "no Cargo.toml"),
        ] {
            let code = Code {
                action,
                bin: None,
                target: None,
                locked: false,
            };
            let told = code.built().unwrap_err().to_string();
            assert!(told.contains(word), "{told}");
        }
    }
}
