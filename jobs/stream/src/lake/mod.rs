//! `lake`: lists, reads, proves, compacts and retires what was archived.

mod compact;
mod kafka;
mod retain;

use std::io::Write as _;

use millrace_lake::Storage;
use millrace_lake::compact::forget_replaced;
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::lines::lines;
use millrace_lake::parquet_file;
use millrace_lake::reader::{Finding, Records, locate};
use millrace_lake::rewrite;
use millrace_lake::verify::verify;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use crate::settings::LakeArgs;

use crate::duration::Span;
use crate::settings::{Bindings, SettingsError};

/// Flags of `lake`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What is archived: by source and by hour
    Ls(Ls),
    /// The rows, as lines of JSON
    Cat(Cat),
    /// Proves the content by count and hash, and looks for gaps and overlaps; exit code 1 when something is wrong
    Verify(Verify),
    /// Makes one file of an hour's small ones
    Compact(compact::Compact),
    /// Puts hours on fewer disks, into erasure-coded blocks and in the end into the trash, by their age
    Retain(retain::Retain),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Where the lake is.
    #[command(flatten)]
    lake: LakeArgs,
    /// Folder of service bindings: one sub-folder each, with files type, uri, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<std::path::PathBuf>,
    /// The dataset, a folder under the lake's root
    #[arg(long, default_value = "telemetry", value_name = "NAME")]
    dataset: String,
    /// The first hour, for example 2026-11-28T13
    #[arg(long, value_name = "HOUR", value_parser = hour)]
    from: Option<Hour>,
    /// The first hour that is not looked at any more
    #[arg(long, value_name = "HOUR", value_parser = hour)]
    to: Option<Hour>,
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    common: Common,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Cat {
    #[command(flatten)]
    common: Common,
    /// So many rows at most
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    common: Common,
    /// Compares every commit with what Kafka still has; host:port[,host:port…]
    #[arg(long, env = "MILLRACE_BOOTSTRAP_SERVERS", value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

fn hour(text: &str) -> Result<Hour, String> {
    let parsed = text
        .split_once('T')
        .and_then(|(date, hour)| Hour::parse(&format!("date={date}/hour={hour}")));
    parsed.ok_or_else(|| "not an hour; write for example 2026-11-28T13".to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    serde_yaml_ng::from_str(text).map_err(|e| e.to_string())
}

/// Does what is asked.
///
/// # Errors
/// The lake cannot be read, or `verify` finds something wrong.
pub async fn run(args: Args, _: CancellationToken) -> anyhow::Result<()> {
    match args.command {
        Command::Ls(ls) => ls.run().await,
        Command::Cat(cat) => cat.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Compact(compact) => compact.run().await,
        Command::Retain(retain) => retain.run().await,
    }
}

impl Common {
    fn bindings(&self) -> Result<Bindings, SettingsError> {
        self.service_binding_root
            .as_deref()
            .map_or_else(|| Ok(Bindings::default()), Bindings::read)
    }

    fn open(&self) -> anyhow::Result<(impl Storage, Layout)> {
        let storage = self.lake.open(&self.bindings()?, None, None)?;
        Ok((storage, Layout::new(&self.dataset)?))
    }

    fn wants(&self, hour: Hour) -> bool {
        self.from.is_none_or(|from| hour >= from) && self.to.is_none_or(|to| hour < to)
    }
}

impl Ls {
    async fn run(&self) -> anyhow::Result<()> {
        let (storage, layout) = self.common.open()?;
        let records = Records::read(&storage, &layout).await?;
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(serde_json::to_writer_pretty(
                &mut out,
                &self.json_of(&records),
            )?);
        }
        writeln!(
            out,
            "{:<32} {:>14} {:>14} {:>14}",
            "SOURCE", "FROM", "TO", "ROWS"
        )?;
        for (source, (from, to, content)) in records.sources() {
            writeln!(
                out,
                "{:<32} {from:>14} {to:>14} {:>14}",
                source.to_string(),
                content.rows
            )?;
        }
        writeln!(
            out,
            "\n{:<32} {:>14} {:>14} {:>14}",
            "HOUR", "FILES", "BYTES", "ROWS"
        )?;
        for (hour, files) in records.live() {
            if self.common.wants(hour) {
                let bytes: u64 = files.iter().map(|file| file.bytes).sum();
                let rows: u64 = files.iter().map(|file| file.content.rows).sum();
                writeln!(
                    out,
                    "{:<32} {:>14} {bytes:>14} {rows:>14}",
                    hour.to_string(),
                    files.len()
                )?;
            }
        }
        for (hour, content) in self.retired(&records) {
            writeln!(
                out,
                "{:<32} {:>14} {:>14} {:>14}",
                hour.to_string(),
                "-",
                "retired",
                content.rows
            )?;
        }
        for finding in findings(&records) {
            writeln!(out, "{finding}")?;
        }
        Ok(())
    }

    fn json_of(&self, records: &Records) -> serde_json::Value {
        let sources: serde_json::Map<_, _> = records
            .sources()
            .into_iter()
            .map(|(source, (from, to, content))| {
                (
                    source.to_string(),
                    json!({"from": from, "to": to, "rows": content.rows, "sum": content.sum}),
                )
            })
            .collect();
        let live = records
            .live()
            .into_iter()
            .filter(|(hour, _)| self.common.wants(*hour));
        let hours: serde_json::Map<_, _> = live
            .map(|(hour, files)| (hour.to_string(), json!(files)))
            .collect();
        let retired: serde_json::Map<_, _> = self
            .retired(records)
            .map(|(hour, content)| (hour.to_string(), json!(content)))
            .collect();
        let findings: Vec<String> = findings(records).map(|f| f.to_string()).collect();
        json!({"sources": sources, "hours": hours, "retired": retired, "findings": findings})
    }

    fn retired(&self, records: &Records) -> impl Iterator<Item = (Hour, Content)> {
        let retired = records.retired().into_iter();
        retired.filter(|(hour, _)| self.common.wants(*hour))
    }
}

fn findings(records: &Records) -> impl Iterator<Item = Finding> {
    records.chain().into_iter().chain(records.unbalanced())
}

impl Cat {
    async fn run(&self) -> anyhow::Result<()> {
        let (storage, layout) = self.common.open()?;
        let records = Records::read(&storage, &layout).await?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut left = self.limit.unwrap_or(u64::MAX);
        for (hour, files) in records.live() {
            if !self.common.wants(hour) {
                continue;
            }
            for file in files {
                if left == 0 {
                    return Ok(out.flush()?);
                }
                let Some(path) = locate(&storage, &layout, &file).await? else {
                    // Retired since the records were read.
                    let retired = rewrite::is_replaced(&storage, &layout, hour, &file.path).await?;
                    anyhow::ensure!(retired, "{}: counts and lies nowhere", file.path);
                    continue;
                };
                let bytes = storage.read(&path).await?;
                for batch in parquet_file::read(&path, bytes)? {
                    for line in lines(&batch?) {
                        if left == 0 {
                            break;
                        }
                        left -= 1;
                        serde_json::to_writer(&mut out, &line)?;
                        out.write_all(b"\n")?;
                    }
                }
            }
        }
        Ok(out.flush()?)
    }
}

impl Verify {
    async fn run(&self) -> anyhow::Result<()> {
        let (storage, layout) = self.common.open()?;
        let report = verify(&storage, &layout, self.common.from, self.common.to).await?;
        let mut holds = report.holds();
        let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let mut compared = None;
        if let Some(servers) = &self.bootstrap_servers {
            let records = Records::read(&storage, &layout).await?;
            let mut comparison = kafka::compare(servers, &records).await?;
            holds &= comparison.differences.is_empty();
            findings.append(&mut comparison.differences);
            compared = Some(comparison);
        }
        let (content, files) = (report.content(), report.files);
        let retired = Content::total(report.retired.values());
        let mut out = std::io::stdout().lock();
        if self.json {
            let text = json!({
                "rows": content.rows,
                "sum": content.sum,
                "files": files,
                "hours": report.hours.len(),
                "retired": retired,
                "findings": findings,
                "comparedWithKafka": compared.as_ref().map(|with| with.same),
                "noLongerInKafka": compared.as_ref().map(|with| with.gone),
                "notYetArchived": compared.as_ref().map(|with| with.waiting),
                "holds": holds,
            });
            writeln!(out, "{text:#}")?;
        } else {
            writeln!(
                out,
                "{content}, in {files} files of {} hours",
                report.hours.len()
            )?;
            if retired.rows > 0 {
                let hours = report.retired.len();
                writeln!(out, "retired: {retired}, of {hours} hours")?;
            }
            if let Some(with) = compared {
                writeln!(
                    out,
                    "{} commits hold what Kafka has; of {} Kafka no longer has all; {} offsets are not archived yet",
                    with.same, with.gone, with.waiting
                )?;
            }
            for finding in &findings {
                writeln!(out, "{finding}")?;
            }
        }
        drop(out);
        anyhow::ensure!(holds, "{}: not as its records say", layout.dataset());
        Ok(())
    }
}

async fn forget<S: Storage>(storage: &S, layout: &Layout, keep: Span) -> anyhow::Result<()> {
    let removed = forget_replaced(storage, layout, before(keep)?).await?;
    if removed > 0 {
        println!("{removed} replaced files were removed");
    }
    Ok(())
}

/// The time that lies so long back.
fn before(age: Span) -> anyhow::Result<jiff::Timestamp> {
    let age = jiff::SignedDuration::try_from(age.0)?;
    Ok(jiff::Timestamp::now().checked_sub(age)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_as_people_do() {
        assert_eq!(
            hour("2026-11-28T13").unwrap().to_string(),
            "date=2026-11-28/hour=13"
        );
        assert!(hour("2026-11-28").is_err() && hour("2026-11-28T25").is_err());
        assert_eq!(span("1h").unwrap(), Span::seconds(3600));
        assert_eq!(span("90d").unwrap(), Span::seconds(90 * 86_400));
    }
}
