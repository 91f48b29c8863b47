//! `reindex`: days of the lake into a data source of a Druid, in place of what it has of them.
//!
//! Each day is a task of Druid's own: its rows take the place of those before in one step, or not at all. Druid takes the rows from
//! this process, which reads them by the records of the lake. So neither an extension for Parquet is needed nor a folder that both
//! may write to.

pub mod druid;
pub mod rows;
pub mod serve;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use millrace_contract::reindex::ReindexConfig;
use millrace_lake::layout::Layout;
use millrace_lake::reader::Records;
use millrace_settings::{Bindings, LakeArgs, config_file, read_config};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::analyse::days_of;
use crate::dates;
use druid::{Fares, Overlord};
use serve::Days;

/// Where rows are given to Druid.
const PORT: u16 = 8085;
/// Between two looks at a task.
const LOOK: Duration = Duration::from_secs(2);
/// A Druid that does not answer for longer is given up: its leader may just be another one.
const AWAY: Duration = Duration::from_secs(300);

/// Flags of `reindex`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lake is.
    #[command(flatten)]
    lake: LakeArgs,
    /// Folder of service bindings: one sub-folder each, with files type, uri, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<PathBuf>,
    /// Configuration file, YAML; /etc/millrace/config.yaml is read when it exists
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Druid: http://HOST:PORT of a router, or of a coordinator that is the overlord too
    #[arg(long, env = "MILLRACE_DRUID", value_name = "URI")]
    druid: String,
    /// Folder with the files username and password, where Druid asks who one is
    #[arg(long, env = "MILLRACE_DRUID_LOGIN", value_name = "DIR")]
    druid_login: Option<PathBuf>,
    /// Where rows are given to Druid; else port 8085 of all addresses
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The name or address by which Druid's workers reach this process
    #[arg(long, env = "MILLRACE_POD_IP", value_name = "HOST")]
    reached_at: String,
    /// File that the result is written to as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What a run came to. One line of JSON.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Days that were loaded.
    pub days: u32,
    /// Rows that Druid was given of them.
    pub rows: u64,
    /// Rows that were left out, because they were repeated.
    pub repeated: u64,
    /// Rows that were left out, because they are no JSON object or have no time.
    pub unreadable: u64,
    /// Days that were left as they are.
    pub left: u32,
    /// Why the first of these was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Loads the days, one after the other.
///
/// # Errors
/// The lake or Druid cannot be used, or no day could be loaded. Days that are done stay done, the others are as they were.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config: ReindexConfig = match config_file(args.config.as_deref()) {
        Some(path) => read_config(&path)?,
        None => ReindexConfig::default(),
    };
    config.validate(Timestamp::now())?;
    let bindings = match &args.service_binding_root {
        Some(root) => Bindings::read(root)?,
        None => Bindings::default(),
    };
    let overlord = Overlord::new(&args.druid, args.druid_login.as_deref())?;
    let storage = args.lake.open(&bindings, None, None)?;
    let layout = Layout::new(&config.dataset)?;
    let records = Records::read(&storage, &layout).await?;
    let mut done = Done::default();
    let mut files = BTreeMap::new();
    let mut there: BTreeMap<Date, _> = days_of(&records.live())
        .into_iter()
        .filter(|day| day.content.rows > 0)
        .map(|day| (day.date, day.hours))
        .collect();
    let retired = dates::retired(&TimeZone::UTC, &records);
    for day in config.days() {
        match (there.remove(&day), retired.contains(&day)) {
            (Some(hours), false) => {
                files.insert(day, hours);
            }
            // Else what Druid has would be lost.
            (None, false) => leave(&mut done, day, "the lake has no rows of it"),
            (_, true) => leave(&mut done, day, "hours of it were retired from the lake"),
        }
    }
    let days: Vec<Date> = files.keys().copied().collect();
    if days.is_empty() {
        let why = done.why.unwrap_or_default();
        anyhow::bail!("{}: no day was loaded: {why}", config.dataset);
    }
    let served = Days::new(storage, layout, config.time(), files)?;
    let listen = args.listen.unwrap_or_else(|| all(&args.reached_at));
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("--listen {listen}: cannot listen; choose a free address"))?;
    let at = address(&args.reached_at, listener.local_addr()?.port());
    served.serve(listener);
    for day in days {
        let url = format!("{at}{}", served.path(day));
        let task = druid::task(&config, day, &url)?;
        load(&overlord, &served, day, &task).await.with_context(|| {
            format!("{day}: not loaded: what Druid has of it is as it was; days loaded before it: {}", done.days)
        })?;
        let sent = served.sent(day).unwrap_or_default();
        tracing::info!(%day, rows = sent.rows, repeated = sent.repeated, unreadable = sent.unreadable, "loaded");
        done.days += 1;
        done.rows += sent.rows;
        done.repeated += sent.repeated;
        done.unreadable += sent.unreadable;
    }
    tell(&done, args.report.as_deref())
}

fn leave(done: &mut Done, day: Date, why: &str) {
    tracing::warn!(%day, why, "left as it is");
    done.left += 1;
    done.why.get_or_insert_with(|| format!("{day}: {why}"));
}

// All addresses of the family that is reached: not each machine has both.
fn all(host: &str) -> SocketAddr {
    let any: IpAddr = match host.parse() {
        Ok(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, PORT)
}

fn address(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => format!("http://{}", SocketAddr::new(ip, port)),
        Err(_) => format!("http://{host}:{port}"),
    }
}

async fn load(
    overlord: &Overlord,
    served: &Days,
    day: Date,
    task: &serde_json::Value,
) -> anyhow::Result<()> {
    let id = overlord
        .submit(task)
        .await
        .context("Druid did not take the task")?;
    tracing::info!(%day, task = id, "Druid has the task");
    let ended = follow(overlord, served, day, &id).await;
    if ended.is_err()
        && let Err(error) = overlord.end(&id).await
    {
        // It ends by itself once it finds nobody to read from.
        tracing::debug!(task = id, "not ended: {error:#}");
    }
    ended
}

async fn follow(overlord: &Overlord, served: &Days, day: Date, id: &str) -> anyhow::Result<()> {
    let mut answered = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        // Druid would try again for minutes, and tell less.
        if let Some(trouble) = served.trouble(day) {
            anyhow::bail!("the lake: {trouble}");
        }
        match overlord.fares(id).await {
            Ok(Fares::GoesOn) => answered = Instant::now(),
            Ok(Fares::Succeeded) => {
                anyhow::ensure!(
                    served.sent(day).is_some(),
                    "Druid's task {id} has succeeded without reading all rows; run it again, and see the log of its worker"
                );
                return Ok(());
            }
            Ok(Fares::Failed(why)) => {
                anyhow::bail!("Druid's task {id} failed: {why}")
            }
            Err(error) if answered.elapsed() > AWAY => {
                return Err(error.context(format!("Druid does not say how its task {id} fares")));
            }
            Err(error) => tracing::warn!("Druid: {error:#}; asking again"),
        }
    }
}

fn tell(done: &Done, report: Option<&Path>) -> anyhow::Result<()> {
    let line = serde_json::to_string(done)?;
    println!("{line}");
    if let Some(file) = report {
        // What was asked for is done.
        if let Err(error) = std::fs::write(file, &line) {
            tracing::warn!(%error, "--report {}: not written", file.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_lake::content::Content;
    use millrace_lake::layout::Hour;
    use millrace_lake::record::{FORMAT, Reason, RewriteRecord, Withdrawn};

    #[test]
    fn an_address_of_either_kind_is_one() {
        assert_eq!(address("10.0.0.7", 8085), "http://10.0.0.7:8085");
        assert_eq!(address("fd00::7", 8085), "http://[fd00::7]:8085");
        assert_eq!(address("cars.example", 80), "http://cars.example:80");
        assert_eq!(all("fd00::7").to_string(), "[::]:8085");
        assert_eq!(all("10.0.0.7").to_string(), "0.0.0.0:8085");
    }

    #[test]
    fn a_day_of_which_hours_were_retired_is_not_all_there() {
        let rewrite = |hour: &str, reason| {
            let record = RewriteRecord {
                format: FORMAT,
                hour: hour.to_owned(),
                number: 1,
                reason,
                replaces: Vec::new(),
                withdrawn: Withdrawn::Trash,
                content: Content::default(),
                held: None,
                files: Vec::new(),
                writer: "w".to_owned(),
                at: Timestamp::UNIX_EPOCH,
            };
            (Hour::parse(hour).unwrap(), record)
        };
        let records = Records {
            commits: Vec::new(),
            rewrites: vec![
                rewrite("date=2026-11-01/hour=23", Reason::Retirement),
                rewrite("date=2026-11-02/hour=00", Reason::Compaction),
            ],
        };
        let days = dates::retired(&TimeZone::UTC, &records);
        let retired = |day: &str| days.contains(&day.parse().unwrap());
        assert!(retired("2026-11-01"));
        assert!(!retired("2026-11-02"));
    }

    #[test]
    fn only_the_first_day_that_was_left_is_told_of() {
        let mut done = Done::default();
        for day in ["2026-11-01", "2026-11-02"] {
            leave(
                &mut done,
                day.parse().unwrap(),
                "the lake has no rows of it",
            );
        }
        assert_eq!(
            serde_json::to_string(&done).unwrap(),
            r#"{"days":0,"rows":0,"repeated":0,"unreadable":0,"left":2,"why":"2026-11-01: the lake has no rows of it"}"#
        );
    }
}
