//! `millrace-ballista`: the job score with its days computed by executors, and what they are: scheduler and executor.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millrace_ballista::engine::Ballista;
use millrace_ballista::serve::{self, ExecutorArgs, SchedulerArgs};
use millrace_batch::log::LogArgs;
use millrace_batch::{postgres, score};

/// Plans are read by functions that call themselves, whose frames are large in builds of development.
const STACK: usize = 16 << 20;

#[derive(Debug, Parser)]
#[command(name = "millrace-ballista", version, about = "The batch job score on several machines", long_about = None)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Scores how vehicles were driven, as millrace-batch score does, with each day computed by executors
    Score(Box<ScoreArgs>),
    /// Divides days among executors
    Scheduler(SchedulerArgs),
    /// Computes parts of days
    Executor(ExecutorArgs),
}

#[derive(Debug, clap::Args)]
struct ScoreArgs {
    #[command(flatten)]
    score: score::Args,
    /// The scheduler, HOST:PORT; this process computes all by itself when absent
    #[arg(long, env = "MILLRACE_SCHEDULER", value_name = "HOST:PORT")]
    scheduler: Option<String>,
    /// Into how many parts the fleet is divided: as many as there are executors, or a multiple of it where a part would be too
    /// large for one's memory
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=4096))]
    parts: u32,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = cli.log.start() {
        eprintln!("millrace-ballista: {error}");
        return ExitCode::from(2);
    }
    match run(cli.job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-ballista: {}", postgres::told(error));
            ExitCode::FAILURE
        }
    }
}

fn run(job: Job) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()?;
    runtime.block_on(async {
        match job {
            Job::Score(args) => match args.scheduler {
                Some(scheduler) => {
                    score::run(args.score, &Ballista::new(&scheduler, args.parts)).await
                }
                None => score::run(args.score, &score::Local).await,
            },
            Job::Scheduler(args) => serve::scheduler(args).await,
            Job::Executor(args) => serve::executor(args).await,
        }
    })
}
