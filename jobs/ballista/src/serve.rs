//! Scheduler and executor. Executors ask the scheduler for tasks and are asked for nothing but results, which the job fetches through
//! the scheduler: so the job speaks to the scheduler alone, and nobody has to know where executors are before they come.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use millrace_settings::LakeArgs;
use tokio::signal::unix::{SignalKind, signal};

use crate::codec::ScoreCodec;
use crate::plan::LakeAccess;

/// Longest message, bytes: a plan holds the names of all files of a day, some hundred bytes each.
pub const MESSAGE: usize = 64 << 20;
/// The same, as Ballista's settings have it.
const MESSAGE_OF_SERVERS: u32 = 64 << 20;
/// Results are fetched within seconds; what nobody fetched is removed after this, s.
const RESULTS_KEPT: u64 = 3600;
/// How long an executor looks for its scheduler before it ends, for its pod to start anew, s.
const PATIENCE: u16 = 600;

/// Flags of the scheduler.
#[derive(Debug, clap::Args)]
pub struct SchedulerArgs {
    /// Where it listens, for executors, the job and probes (GET /healthz)
    #[arg(long, default_value = "0.0.0.0:50050", value_name = "ADDR")]
    listen: SocketAddr,
    /// An executor that has not been heard of for so many seconds is lost, and what it had to do others do
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=3600))]
    executor_timeout: u64,
}

/// Flags of an executor.
#[derive(Debug, clap::Args)]
pub struct ExecutorArgs {
    /// Where the lake is.
    #[command(flatten)]
    lake: LakeArgs,
    /// Folder of service bindings: one sub-folder each, with files type, uri, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<PathBuf>,
    /// The scheduler, HOST:PORT
    #[arg(long, env = "MILLRACE_SCHEDULER", value_name = "HOST:PORT")]
    scheduler: String,
    /// Where results are fetched from
    #[arg(long, default_value = "0.0.0.0:50051", value_name = "ADDR")]
    listen: SocketAddr,
    /// Folder for results until they are fetched
    #[arg(long, default_value = "/tmp", value_name = "DIR")]
    work: PathBuf,
}

/// Runs a scheduler until it is asked to end.
///
/// # Errors
/// It cannot listen.
pub async fn scheduler(args: SchedulerArgs) -> anyhow::Result<()> {
    let config = SchedulerConfig {
        bind_host: host(args.listen.ip()),
        bind_port: args.listen.port(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        enable_embedded_flight_proxy: true,
        executor_timeout_seconds: args.executor_timeout,
        no_executors_grace_period_seconds: args.executor_timeout.max(180),
        expire_dead_executor_interval_seconds: 5,
        finished_job_data_clean_up_interval_seconds: RESULTS_KEPT,
        grpc_server_max_decoding_message_size: MESSAGE_OF_SERVERS,
        grpc_server_max_encoding_message_size: MESSAGE_OF_SERVERS,
        grpc_client_max_message_size: MESSAGE_OF_SERVERS,
        override_physical_codec: Some(Arc::new(ScoreCodec::default())),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let mut asked_to_end = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = start_server(cluster, args.listen, Arc::new(config)) => {
            ended.with_context(|| format!("--listen: {}", args.listen))
        }
        _ = asked_to_end.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// Runs an executor until it is asked to end.
///
/// # Errors
/// It cannot listen, or finds no scheduler.
pub async fn executor(args: ExecutorArgs) -> anyhow::Result<()> {
    let lake = LakeAccess {
        lake: args.lake,
        bindings: args.service_binding_root,
    };
    // Better now than in the first task.
    lake.open()?;
    let (host_of_scheduler, port) = address(&args.scheduler)?;
    let config = ExecutorProcessConfig {
        bind_host: host(args.listen.ip()),
        port: args.listen.port(),
        scheduler_host: host_of_scheduler,
        scheduler_port: port,
        scheduler_connect_timeout_seconds: PATIENCE,
        // A part takes all processors by itself, and what its hours take of memory.
        vcores: 1,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(args.work.display().to_string()),
        // That of DataFusion's own operators, of which there are none.
        memory_pool_size: Some(0),
        grpc_max_decoding_message_size: MESSAGE_OF_SERVERS,
        grpc_max_encoding_message_size: MESSAGE_OF_SERVERS,
        override_physical_codec: Some(Arc::new(ScoreCodec::of_executor(lake))),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config))
        .await
        .with_context(|| format!("executor of the scheduler {}", args.scheduler))
}

// Ballista puts address and port together by a colon.
fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn address(scheduler: &str) -> anyhow::Result<(String, u16)> {
    let parts = scheduler
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty());
    let parts = parts.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.with_context(|| {
        format!("--scheduler: {scheduler}: is no address; write HOST:PORT, for example score-ballista:50050")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_put_together() {
        assert_eq!(address("a.b:7").unwrap(), ("a.b".to_owned(), 7));
        assert_eq!(address("[::1]:7").unwrap(), ("[::1]".to_owned(), 7));
        for wrong in ["a.b", ":7", "a:b", "df://a"] {
            let told = address(wrong).unwrap_err().to_string();
            assert!(
                told.starts_with(&format!("--scheduler: {wrong}: ")),
                "{told}"
            );
        }
        assert_eq!(host("::1".parse().unwrap()), "[::1]");
    }
}
