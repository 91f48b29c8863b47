//! `millrace`, the command line, which is also `kubectl millrace`: plans, states and sizes of platforms, their vehicles,
//! dead letters, lakes, restarts and own actions.
//!
//! For vehicles and dead letters it speaks to the gateway of a platform: through Kubernetes with the rights of the user's kubeconfig (the gateway's
//! Secret gives the token, its pod the connection), or straight to `--gateway URL` with `--token-file FILE`.

mod action;
mod approve;
mod completion;
mod dead_letters;
mod drain;
mod erase;
mod flow;
mod gateway;
mod lake;
mod plan;
mod reach;
mod rotate_ca;
mod size;
mod status;
mod table;
mod vehicle;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use gateway::{Gateway, GatewayError};
// `millrace action test` starts this program to become an action, as the server does its own.
pub use millrace_whisk::pool::child;
pub use reach::{ReachError, Role};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "millrace",
    bin_name = "millrace",
    version,
    about = "Plans, states, sizes, vehicles, dead letters and actions of Millrace platforms",
    long_about = None
)]
pub struct Cli {
    /// Where the platform is, and how answers are written
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Reads the command line. Called as `kubectl-millrace`, which is how kubectl calls its plugins, its help says
    /// `kubectl millrace`.
    ///
    /// # Errors
    /// Help was asked for, or something is not understood.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let plugin = arguments
            .first()
            .and_then(|program| Path::new(program).file_stem())
            .is_some_and(|name| name == "kubectl-millrace" || name == "kubectl_millrace");
        let mut command = Self::command();
        if plugin {
            command = command.bin_name("kubectl millrace");
        }
        let matches: ArgMatches = command.clone().try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
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
    /// JSON for programs
    Json,
    /// A Platform that can be applied; of `size` only
    Yaml,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Command),
    Status(status::Command),
    Flow(flow::Command),
    Drain(drain::Command),
    RotateCa(rotate_ca::Command),
    Size(size::Command),
    /// Credentials of vehicles: enrol, rotate, revoke
    #[command(subcommand)]
    Vehicle(vehicle::Command),
    /// What could not be processed: look at it and send it again
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Restarts that an upgrade of the operator asks for: see them, let them happen
    Approve(approve::Command),
    Erase(erase::Command),
    /// What lies in the lake, and whether it is whole
    #[command(subcommand)]
    Lake(lake::Command),
    /// Own actions in Rust: begin, build, try, deploy
    #[command(subcommand)]
    Action(action::Command),
    Completion(completion::Command),
}

/// Does what the command line asks for and writes the answer to `out`. Gives the exit code.
///
/// # Errors
/// The platform is not found, or its gateway refuses; the text names what to do.
pub async fn run(cli: Cli, out: &mut impl Write) -> anyhow::Result<u8> {
    if cli.place.output == Output::Yaml && !matches!(cli.command, Command::Size(_)) {
        bail!("--output: yaml: only `millrace size` writes it; give table or json");
    }
    match cli.command {
        Command::Plan(command) => return plan::run(&cli.place, command, out).await,
        Command::Status(command) => return status::run(&cli.place, command, out).await,
        Command::Flow(command) => return flow::run(&cli.place, command, out).await,
        Command::Size(command) => return size::run(&cli.place, command, out).await,
        Command::Action(command) => return action::run(&cli.place, command, out).await,
        Command::Lake(command) => return lake::run(&cli.place, command, out).await,
        Command::RotateCa(command) => rotate_ca::run(&cli.place, command, out).await?,
        Command::Drain(command) => drain::run(&cli.place, command, out).await?,
        Command::Completion(command) => completion::run(&command, out)?,
        Command::Approve(command) => approve::run(&cli.place, command, out).await?,
        Command::Erase(command) => erase::run(&cli.place, command, out).await?,
        Command::Vehicle(command) => {
            let gateway = reach::gateway(&cli.place, Role::Vehicles).await?;
            vehicle::run(&gateway, command, cli.place.output, out).await?;
        }
        Command::DeadLetters(command) => {
            let gateway = reach::gateway(&cli.place, command.role()).await?;
            dead_letters::run(&gateway, command, cli.place.output, out).await?;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn as_a_plugin_it_is_called_by_its_plugin_name() {
        let usage = |program: &str| {
            let error = Cli::read([program, "plan"].map(OsString::from)).unwrap_err();
            error.render().to_string()
        };
        assert!(usage("/usr/local/bin/kubectl-millrace").contains("Usage: kubectl millrace plan"));
        assert!(usage("/usr/local/bin/millrace").contains("Usage: millrace plan"));
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
