//! `lake compact`: one file of an hour's small ones.

use millrace_lake::commit::Step;
use millrace_lake::compact::{Settings, compact};
use millrace_lake::reader::hours;

use super::{Common, forget, span};
use crate::archive::halt::Halt;
use crate::duration::Span;

/// When an hour is compacted.
#[derive(Debug, clap::Args)]
pub struct Compact {
    #[command(flatten)]
    common: Common,
    /// So many small files are worth it
    #[arg(long, default_value_t = 4, value_name = "FILES")]
    at_least: usize,
    /// Files below this size are small
    #[arg(long, default_value_t = 32 * 1024 * 1024, value_name = "BYTES")]
    small: u64,
    /// So long replaced files are kept for those who still read them
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = span)]
    keep_replaced: Span,
    /// Stands still after this step of the protocol: for tests
    #[arg(long, hide = true, value_name = "STEP", value_parser = halt)]
    halt_after: Option<Halt>,
}

fn halt(step: &str) -> Result<Halt, String> {
    let known = Halt::parse(step, None);
    let of_a_rewrite = known.filter(|_| step != Step::Stage.name());
    of_a_rewrite.ok_or_else(|| {
        "no step; name one of close, seal, commit, withdraw, publish, settle".to_owned()
    })
}

impl Compact {
    /// Does it, hour by hour.
    ///
    /// # Errors
    /// The lake cannot be read or written, or a file is not what its record says.
    pub async fn run(&self) -> anyhow::Result<()> {
        let (storage, layout) = self.common.open()?;
        let settings = Settings {
            small: self.small,
            at_least: self.at_least,
            ..Settings::default()
        };
        let halt = self.halt_after.clone().unwrap_or_default();
        let after = async |step| halt.reached(step).await;
        for hour in hours(&storage, layout.dataset()).await? {
            if !self.common.wants(hour) {
                continue;
            }
            if let Some(record) = compact(&storage, &layout, hour, &settings, after).await? {
                println!(
                    "{hour}: {} files became {}, {} rows",
                    record.replaces.len(),
                    record.files.len(),
                    record.content.rows
                );
            }
        }
        forget(&storage, &layout, self.keep_replaced).await
    }
}
