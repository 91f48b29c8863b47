//! `millrace action new`: a crate to begin with.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::lock;

const MANIFEST: &str = include_str!("template/Cargo.toml");
const MAIN: &str = include_str!("template/main.rs");
const README: &str = include_str!("template/README.md");
const IGNORE: &str = include_str!("template/gitignore");
const HARNESS_MANIFEST: &str = include_str!("template/harness.toml");
const HARNESS: &str = include_str!("../../../../jobs/harness/src/lib.rs");

/// Writes a crate of an action: its manifest, sources, lock file, and the harness
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// Name of the crate, and so of the action
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder; one of that name when absent. It must be empty or not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Take the harness from this folder (jobs/harness of Millrace's sources) instead of a copy in the crate
    #[arg(long, value_name = "DIR", conflicts_with = "harness_git")]
    harness_path: Option<PathBuf>,
    /// Take the harness from this git repository of Millrace's sources
    #[arg(long, value_name = "URL")]
    harness_git: Option<String>,
    /// The tag of --harness-git
    #[arg(long, value_name = "TAG", requires = "harness_git")]
    harness_tag: Option<String>,
}

/// Does it.
///
/// # Errors
/// The name is none of a crate, the folder holds something, or it cannot be written.
pub fn run(command: &Command, out: &mut impl Write) -> anyhow::Result<()> {
    check(&command.name)?;
    let dir = command
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(&command.name));
    if let Ok(mut entries) = std::fs::read_dir(&dir) {
        ensure!(
            entries.next().is_none(),
            "--dir: {}: holds something already; name an empty folder, or one that is not there",
            dir.display()
        );
    }
    for (path, content) in files(command)? {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(&dir);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, content))
            .with_context(|| format!("--dir: {}", path.display()))?;
    }
    let place = dir.display();
    writeln!(out, "{place}: the action {} in Rust", command.name)?;
    writeln!(
        out,
        "next: cd {place} && millrace action test --params '{{\"name\": \"Ada\"}}'"
    )?;
    Ok(())
}

/// What a crate is called, by the rules of registries and of OpenWhisk at once.
fn check(name: &str) -> anyhow::Result<()> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    // Names that would be no crate, or not another one than what it depends on.
    let taken = [
        "test",
        "core",
        "std",
        "alloc",
        "serde",
        "serde_json",
        "millrace-harness",
    ];
    if !first || !name.chars().all(rest) || name.len() > 64 || taken.contains(&name) {
        bail!(
            "NAME: {name:?}: is no name of an action's crate; give lower-case letters, digits, - and _, at most 64, a letter first, and no word of Rust"
        );
    }
    Ok(())
}

/// The files of the crate, by their paths.
fn files(command: &Command) -> anyhow::Result<Vec<(&'static str, String)>> {
    let (harness, note) = match (&command.harness_path, &command.harness_git) {
        (Some(path), _) => {
            let path = checked(path)?;
            let harness = format!("{{ path = {} }}", toml_text(&path.display().to_string()));
            (harness, "It comes from a folder of this machine.".to_owned())
        }
        (None, Some(url)) => {
            let tag = command.harness_tag.as_deref();
            let tag = tag.map_or_else(String::new, |tag| format!(", tag = {}", toml_text(tag)));
            let harness = format!("{{ git = {}{tag} }}", toml_text(url));
            (harness, format!("It comes from {url}."))
        }
        (None, None) => (
            "{ path = \"harness\" }".to_owned(),
            "`harness/` is a copy of the one that came with `millrace`; to renew it, take that of a crate that a newer one makes.".to_owned(),
        ),
    };
    let filled = |text: &str| {
        text.replace("@NAME@", &command.name)
            .replace("@HARNESS@", &harness)
            .replace("@HARNESS-NOTE@", &note)
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
    };
    let mut files = vec![
        ("Cargo.toml", filled(MANIFEST)),
        ("src/main.rs", filled(MAIN)),
        ("README.md", filled(README)),
        (".gitignore", IGNORE.to_owned()),
    ];
    if command.harness_git.is_none() {
        files.push(("Cargo.lock", lock::of(&command.name)));
    }
    if command.harness_git.is_none() && command.harness_path.is_none() {
        files.push(("harness/Cargo.toml", filled(HARNESS_MANIFEST)));
        files.push(("harness/src/lib.rs", HARNESS.to_owned()));
    }
    Ok(files)
}

fn checked(path: &Path) -> anyhow::Result<PathBuf> {
    let manifest = path.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap_or_default();
    ensure!(
        text.contains("name = \"millrace-harness\""),
        "--harness-path: {}: has no Cargo.toml of millrace-harness; name the folder jobs/harness of Millrace's sources",
        path.display()
    );
    Ok(std::path::absolute(path)?)
}

/// A text of TOML.
fn toml_text(text: &str) -> String {
    // JSON's escapes are among those of TOML.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str) -> Command {
        Command {
            name: name.to_owned(),
            dir: None,
            harness_path: None,
            harness_git: None,
            harness_tag: None,
        }
    }

    #[test]
    fn names_are_those_of_crates() {
        for good in ["a", "greet-9", "a_b"] {
            check(good).unwrap();
        }
        for bad in [
            "",
            "A",
            "9a",
            "a b",
            "../a",
            "serde",
            "test",
            &"a".repeat(65),
        ] {
            let told = check(bad).unwrap_err().to_string();
            assert!(told.starts_with("NAME: "), "{told}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for (path, content) in files(&command("greeter")).unwrap() {
            assert!(!content.contains("@NAME@"), "{path}");
            assert!(!content.contains("@HARNESS"), "{path}");
            assert!(!content.contains("@VERSION@"), "{path}");
        }
    }

    #[test]
    fn the_harness_comes_from_where_it_is_asked_for() {
        let manifest = |command: &Command| files(command).unwrap().remove(0).1;
        assert!(manifest(&command("a")).contains("millrace-harness = { path = \"harness\" }"));
        let git = Command {
            harness_git: Some("https://git.example/millrace".to_owned()),
            harness_tag: Some("v1".to_owned()),
            ..command("a")
        };
        let text = manifest(&git);
        assert!(
            text.contains("{ git = \"https://git.example/millrace\", tag = \"v1\" }"),
            "{text}"
        );
        assert!(
            files(&git)
                .unwrap()
                .iter()
                .all(|(path, _)| !path.starts_with("harness"))
        );
        let nowhere = Command {
            harness_path: Some("/does/not/exist".into()),
            ..command("a")
        };
        assert!(files(&nowhere).is_err());
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("mine"), "").unwrap();
        let into = Command {
            dir: Some(directory.path().to_owned()),
            ..command("a")
        };
        assert!(run(&into, &mut Vec::new()).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
