//! Millrace without a cluster: trips in, warnings out.

mod demo;
mod line;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs recorded trips through the same rules and texts as the platform, in one process.
#[derive(Parser)]
#[command(name = "millrace-local", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the warnings that recorded trips give rise to
    Run(run::RunArguments),
    /// Shows what Millrace does, with a simulated car: needs no cluster, no data, one second
    Demo,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Demo => demo::demo().map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        // Whoever reads has seen enough, as `head` does.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("millrace-local: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
