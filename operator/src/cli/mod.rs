//! `millrace`, the command line, which is also `kubectl millrace`: vehicles, dead letters and restarts of a platform.
//!
//! It speaks to the gateway of a platform: through Kubernetes with the rights of the user's kubeconfig (the gateway's
//! Secret gives the token, its pod the connection), or straight to `--gateway URL` with `--token-file FILE`.

mod approve;
mod dead_letters;
mod gateway;
mod reach;
mod table;
mod vehicle;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use gateway::{Gateway, GatewayError};
pub use reach::{ReachError, Role};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "millrace",
    bin_name = "millrace",
    version,
    about = "Vehicles, dead letters and restarts of a Millrace platform",
    long_about = None
)]
pub struct Cli {
    /// Where the platform is, and how answers are written
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the platform is.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Namespace of the platform; that of the kubeconfig's context when absent
    #[arg(long, short, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The Platform; not needed where the namespace has only one
    #[arg(
        long,
        short,
        global = true,
        env = "MILLRACE_PLATFORM",
        value_name = "NAME"
    )]
    pub platform: Option<String>,
    /// The kubeconfig; $KUBECONFIG or ~/.kube/config when absent
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Speak to this gateway instead of looking for one in Kubernetes
    #[arg(long, global = true, value_name = "URL", requires = "token_file")]
    pub gateway: Option<String>,
    /// File with the token for --gateway
    #[arg(long, global = true, value_name = "FILE", requires = "gateway")]
    pub token_file: Option<PathBuf>,
    /// File with the certificate, in PEM, that has signed the gateway's own, for --gateway https://…
    #[arg(long, global = true, value_name = "FILE", requires = "gateway")]
    pub ca_file: Option<PathBuf>,
    /// How answers are written
    #[arg(long, short, global = true, value_enum, default_value = "table")]
    pub output: Output,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for people
    Table,
    /// JSON as the gateway gave it
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Credentials of vehicles: enrol, rotate, revoke
    #[command(subcommand)]
    Vehicle(vehicle::Command),
    /// What could not be processed: look at it and send it again
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Restarts that an upgrade of the operator asks for: see them, let them happen
    Approve(approve::Command),
}

/// Does what the command line asks for and writes the answer to `out`.
///
/// # Errors
/// The platform is not found, or its gateway refuses; the text names what to do.
pub async fn run(cli: Cli, out: &mut impl Write) -> anyhow::Result<()> {
    match cli.command {
        Command::Approve(command) => approve::run(&cli.place, command, out).await,
        Command::Vehicle(command) => {
            let gateway = reach::gateway(&cli.place, Role::Vehicles).await?;
            vehicle::run(&gateway, command, cli.place.output, out).await
        }
        Command::DeadLetters(command) => {
            let gateway = reach::gateway(&cli.place, command.role()).await?;
            dead_letters::run(&gateway, command, cli.place.output, out).await
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_gateway_needs_a_token_file() {
        let read = |arguments: &[&str]| Cli::try_parse_from(arguments);
        assert!(
            read(&[
                "millrace",
                "vehicle",
                "list",
                "--gateway",
                "http://127.0.0.1:1"
            ])
            .is_err()
        );
        let cli = read(&[
            "millrace",
            "dead-letters",
            "list",
            "--gateway",
            "http://127.0.0.1:1",
            "--token-file",
            "token",
        ])
        .unwrap();
        assert_eq!(cli.place.output, Output::Table);
    }
}
