//! `millrace action`: own actions in Rust, from an empty folder to an OpenWhisk.

mod build;
mod deploy;
mod elf;
mod lock;
mod new;
mod test;

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Map, Value};

use super::Place;

/// What is done with an own action.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    New(new::Command),
    Build(build::Command),
    Test(test::Command),
    Deploy(deploy::Command),
}

/// Does it. Gives the exit code: 1 where an activation failed.
///
/// # Errors
/// The text names what to do.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    match command {
        Command::New(command) => new::run(&command, out).map(|()| 0),
        Command::Build(command) => build::run(&command, place.output, out).map(|()| 0),
        Command::Test(command) => test::run(&command, place.output, out).await,
        Command::Deploy(command) => deploy::run(place, &command, out).await.map(|()| 0),
    }
}

/// The JSON object of an option, or of the file that it names as `@FILE`.
fn object(option: &str, text: &str) -> anyhow::Result<Map<String, Value>> {
    let read;
    let json = match text.strip_prefix('@') {
        None => text,
        Some(file) => {
            read = std::fs::read_to_string(Path::new(file))
                .with_context(|| format!("{option}: {file}: give a file that can be read"))?;
            &read
        }
    };
    serde_json::from_str(json).with_context(|| {
        format!("{option}: {text}: no JSON object; give for example '{{\"name\": \"Ada\"}}'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_an_object_or_a_file_with_one() {
        assert_eq!(object("--params", r#"{"a": 1}"#).unwrap()["a"], 1);
        for wrong in ["[1]", "a", "@/does/not/exist"] {
            let told = format!("{:#}", object("--params", wrong).unwrap_err());
            assert!(told.starts_with("--params: "), "{told}");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.json");
        std::fs::write(&file, r#"{"b": 2}"#).unwrap();
        assert_eq!(
            object("--params", &format!("@{}", file.display())).unwrap()["b"],
            2
        );
    }
}
