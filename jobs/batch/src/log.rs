//! The log of a batch job, and the flags for it.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Flags that say how and what is logged.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// How log lines are written; `json` suits pods
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "MILLRACE_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// Which log lines are written, in the syntax of tracing's EnvFilter
    #[arg(
        long,
        global = true,
        default_value = "info",
        env = "MILLRACE_LOG",
        value_name = "FILTER"
    )]
    pub log: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogArgs {
    /// Begins to log, to standard error: results go to standard output.
    ///
    /// # Errors
    /// The filter cannot be read.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).map_err(|e| {
            anyhow::anyhow!(
                "--log: {}: {e}; write for example info,millrace_batch=debug",
                self.log
            )
        })?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => log.json().flatten_event(true).init(),
            LogFormat::Text => log.init(),
        }
        Ok(())
    }
}
