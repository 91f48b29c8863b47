//! `archive` as a process of its own, and what it has archived.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millrace_lake::layout::Layout;
use millrace_lake::reader::Records;
use millrace_stream::lake::LakeArgs;
use millrace_stream::settings::Bindings;
use millrace_testkit::{Hdfs, Server, free_port};

use super::LIMIT;
use super::bench_support::rate;

/// Where archive writes.
pub struct Lake {
    uri: String,
    settings: Option<PathBuf>,
    directory: PathBuf,
}

/// What a run of the job has come to.
pub struct Archived {
    /// Events a second.
    pub rate: f64,
    /// From when all was taken in until the process had ended.
    pub last_commit: Duration,
    /// Processor time of the process from its start on.
    pub processor: Duration,
    /// The highest resident memory in MB.
    pub memory: u64,
}

impl Lake {
    /// In HDFS where it is to be had, else in a folder of `directory`.
    pub fn new(hdfs: Option<&Hdfs>, directory: &Path) -> Self {
        Self {
            uri: hdfs.map_or_else(
                || format!("file://{}", directory.join("lake").display()),
                |hdfs| format!("{}/lake", hdfs.uri()),
            ),
            settings: hdfs.map(Hdfs::settings),
            directory: directory.to_path_buf(),
        }
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Events a second, from the first that is seen to be taken in until all are committed: joining the group is none of the
    /// work. When all are taken in the job is told to stop, since nobody else tells it that no more come. A dataset of its own
    /// each turn, since a dataset is archived once.
    pub async fn archived(
        &self,
        bootstrap: &str,
        turn: u64,
        events: u64,
    ) -> anyhow::Result<Archived> {
        let dataset = format!("telemetry-{turn}");
        let config = self.directory.join(format!("{dataset}.yaml"));
        std::fs::write(
            &config,
            format!("{{group: {dataset}, dataset: {dataset}, rollInterval: 5s}}"),
        )?;
        let metrics = free_port()?;
        let mut command = Command::new(binary()?);
        command
            .args(["archive", "--bootstrap-servers", bootstrap])
            .args(["--metrics", &format!("127.0.0.1:{metrics}")])
            .args(["--lake", &self.uri, "--hdfs-user", "hdfs"])
            .arg("--config")
            .arg(&config);
        if let Some(settings) = &self.settings {
            command.arg("--hadoop-conf-dir").arg(settings);
        }
        let log = self.directory.join(format!("{dataset}.log"));
        let mut job = Server::start(&mut command, &log)?;
        job.wait_for_port(metrics, LIMIT)?;
        let begun = Instant::now();
        let mut first = None;
        let (mut highest, all_in) = loop {
            anyhow::ensure!(
                begun.elapsed() < LIMIT,
                "archive did not get through in {LIMIT:?}: {}",
                job.tail()
            );
            let (taken, now) = (taken(metrics)?, Instant::now());
            if taken > 0 {
                let (at, _) = *first.get_or_insert((taken, now));
                if taken >= events {
                    anyhow::ensure!(at < events, "too few events to measure: give more");
                    break (peak(job.pid())?, now);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        terminate(&job)?;
        let mut processor = Duration::ZERO;
        while !job.has_ended() {
            anyhow::ensure!(begun.elapsed() < LIMIT, "archive does not end");
            highest = peak(job.pid()).unwrap_or(0).max(highest);
            processor = processor_time(job.pid()).unwrap_or_default().max(processor);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (at, then) = first.context("nothing was taken in")?;
        let done = Archived {
            rate: rate(events - at, then.elapsed()),
            last_commit: all_in.elapsed(),
            processor,
            memory: highest,
        };
        self.check(&dataset, events).await?;
        Ok(done)
    }

    // Metrics are not the proof.
    async fn check(&self, dataset: &str, events: u64) -> anyhow::Result<()> {
        let lake = LakeArgs {
            lake: Some(self.uri.clone()),
            hadoop_conf_dir: self.settings.clone(),
            hdfs_user: Some("hdfs".to_owned()),
        };
        let storage = lake.open(&Bindings::default(), None, None)?;
        let records = Records::read(&storage, &Layout::new(dataset)?).await?;
        let rows: u64 = records.sources().values().map(|(.., c)| c.rows).sum();
        anyhow::ensure!(
            rows == events && records.chain().is_empty(),
            "{rows} of {events} events are in the lake"
        );
        Ok(())
    }
}

// Beside the examples.
fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent);
    let path = folder.map(|folder| folder.join("millrace-stream"));
    let path = path.filter(|path| path.is_file());
    path.context("build millrace-stream first: cargo build --release -p millrace-stream --bins")
}

fn terminate(job: &Server) -> anyhow::Result<()> {
    let pid = job.pid().to_string();
    let done = Command::new("kill").args(["-TERM", &pid]).status()?;
    anyhow::ensure!(done.success(), "archive cannot be told to stop");
    Ok(())
}

fn taken(metrics: u16) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", metrics))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let name = "millrace_archive_taken_records_total ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.unwrap_or("0").trim().parse()?)
}

/// Processor time of a process, in user and kernel mode. Linux counts it in hundredths of a second.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let mut time = || times.next().context("no times");
    Ok(Duration::from_millis(10 * (time()?? + time()??)))
}

// In MB.
fn peak(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.context("no VmHWM")?.split_whitespace().next();
    Ok(number.context("no number")?.parse::<u64>()? / 1024)
}
