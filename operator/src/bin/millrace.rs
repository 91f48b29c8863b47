//! `millrace`: arguments only.

use std::ffi::OsString;
use std::process::ExitCode;

use millrace_operator::cli::{Cli, child, run};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match child(&arguments) {
        Some(code) => code,
        None => start(),
    }
}

#[tokio::main]
async fn start() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(told) => {
            // Not clap's own code 2, which means of a plan that something would change. A closed output is no matter.
            let _ = told.print();
            return ExitCode::from(u8::from(told.use_stderr()));
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(std::io::stderr)
        .init();
    match run(cli, &mut std::io::stdout().lock()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}
