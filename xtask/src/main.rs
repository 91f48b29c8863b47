//! `cargo xtask …`: brings Millrace up on this machine, tests it, takes it down again.
//!
//! It orders and reports; the work is done by cargo, go, mvn, buildah, helm, kubectl and the local cluster's script.

mod access;
mod builds;
mod cluster;
mod context;
mod drive;
mod evidence;
mod files;
mod images;
mod install;
mod lanes;
mod memory;
mod packages;
mod report;
mod run;
mod soak;
mod steps;
mod tally;
mod tests;
mod up;

use clap::{Args, Parser, Subcommand};

use crate::context::Context;

#[derive(Parser)]
#[command(name = "cargo xtask", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

/// Which cluster a command talks to.
#[derive(Args, Clone, Default)]
struct Target {
    /// Use this context of your kubeconfig instead of the local cluster
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Push images under this prefix, for clusters that cannot be handed archives (needs --context)
    #[arg(long, value_name = "HOST/PATH", requires = "context")]
    registry: Option<String>,
}

#[derive(Subcommand)]
enum Task {
    /// Bring up Kubernetes, the operator and one Platform, drive trips, show the warnings
    Up {
        #[command(flatten)]
        target: Target,
        /// Nodes of the local cluster; as many as there are, or one, when absent
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
        nodes: Option<u8>,
    },
    /// Remove all that `up` made, and nothing else
    Down {
        #[command(flatten)]
        target: Target,
    },
    /// Run the tests: every tier that this machine allows, naming those left out
    Test {
        /// Only these tiers, comma-separated
        #[arg(long, value_delimiter = ',', value_name = "TIER")]
        tier: Vec<tests::Tier>,
        /// Leave nothing out: what cannot run here is a failure
        #[arg(long)]
        require: bool,
    },
    /// Send recorded trips to the running platform and print the warnings as the vehicles received them
    // `--help` is passed on: the options are those of `millrace-stream replay`.
    #[command(disable_help_flag = true)]
    Replay {
        #[command(flatten)]
        target: Target,
        /// Options of `millrace-stream replay`, see `cargo xtask replay --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
        arguments: Vec<String>,
    },
    /// Print the memory of each pod of the local cluster, as docs/measurements.md has it
    Memory {
        #[command(flatten)]
        target: Target,
    },
    /// Print the path of the kubeconfig
    Kubeconfig {
        #[command(flatten)]
        target: Target,
    },
    /// Write what is generated: data contract, CRDs, RBAC, chart templates
    Generate {
        /// Change nothing; fail when a file differs
        #[arg(long)]
        check: bool,
    },
    /// Install the Debian packages that a build needs, or print the line that does
    Packages,
    /// Let each part of a platform fail under load and print the tables of docs/reliability.md
    Soak {
        /// Only this one
        #[arg(long, value_name = "WHAT")]
        only: Option<soak::Drill>,
        /// Leave the cluster up: the next run goes on with it, and `down` removes it
        #[arg(long, requires = "only")]
        keep: bool,
        /// Divide the times of alert rules by this in their drill: how long they hold, their windows, the ages that they name
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(10..=60))]
        shorten: u32,
    },
    /// Run the benchmarks against their peers and print the ratios
    Bench,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn execute(task: Task) -> anyhow::Result<std::process::ExitCode> {
    let mut context = Context::find()?;
    // Tests are of the whole workspace, and what is generated before them is to be built as they are.
    context.whole |= matches!(task, Task::Test { .. } | Task::Generate { .. });
    // Its program is built for all tests, and on nodes it runs from its image.
    context.ballista |= matches!(&task, Task::Test { tier, .. } if tests::on_nodes_too(tier));
    match task {
        Task::Up { target, nodes } => up::up(&context, &target, nodes)?,
        Task::Down { target } => up::down(&context, &target)?,
        Task::Test { tier, require } => return tests::test(&context, &tier, require),
        Task::Replay { target, arguments } => return drive::replay(&context, &target, &arguments),
        Task::Memory { target } => memory::memory(&context, &target)?,
        Task::Kubeconfig { target } => {
            println!("{}", cluster::kubeconfig(&context, &target)?.display());
        }
        Task::Generate { check } => builds::generate(&context, check)?,
        Task::Packages => packages::ensure(&context).map(|_| ())?,
        Task::Soak {
            only,
            keep,
            shorten,
        } => return soak::soak(&context, only, keep, shorten),
        Task::Bench => builds::bench(&context)?,
    }
    Ok(std::process::ExitCode::SUCCESS)
}
