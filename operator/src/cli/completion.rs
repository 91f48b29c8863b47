//! `millrace completion`: words that a shell completes.

use std::io::Write;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::Cli;

/// Writes what a shell needs to complete words: `source <(millrace completion bash)`
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// The shell
    #[arg(value_enum)]
    shell: Known,
}

/// Shells that are known.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Known {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Does it.
///
/// # Errors
/// The output is closed.
pub fn run(command: &Command, out: &mut impl Write) -> std::io::Result<()> {
    let shell = match command.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    // Written at once: what generates it does not bear a closed output.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "millrace", &mut text);
    out.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_the_commands() {
        for shell in [Known::Bash, Known::Zsh, Known::Fish] {
            let mut out = Vec::new();
            run(&Command { shell }, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            for word in ["dead-letters", "plan", "drain"] {
                assert!(text.contains(word), "{shell:?}: {word}");
            }
        }
    }
}
