//! `millrace lake`: what lies in the lake, and whether it is whole.
//!
//! It is read by `millrace-stream lake` in a pod of the archive, which has the address, the user and the way to the storage.
//! Here comes what that says, and its exit code: so the command line needs no Parquet and no client of HDFS.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, ListParams};
use kube::{Api, Client, ResourceExt};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Output, Place, reach};
use crate::job::crd::{Job, StreamJob};

/// Bytes that are taken from the pod at once.
const PART: usize = 64 * 1024;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// What is archived: by source and by hour
    Ls(Hours),
    /// The rows, as lines of JSON
    Cat {
        #[command(flatten)]
        hours: Hours,
        /// So many rows at most
        #[arg(long, value_name = "ROWS")]
        limit: Option<u64>,
    },
    /// Proves the content by count and hash, and looks for gaps and overlaps; exit code 1 when something is wrong
    Verify {
        #[command(flatten)]
        hours: Hours,
        /// Compares every commit with what Kafka still has; host:port[,host:port…] as a pod of the archive reaches it
        #[arg(long, value_name = "HOST:PORT")]
        bootstrap_servers: Option<String>,
    },
}

/// Where, and of when.
#[derive(Clone, Debug, Args)]
pub struct Hours {
    /// The StreamJob in whose pod the lake is read; the archive of the Platform when absent
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// The dataset, which is named after its topic; telemetry when absent
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// The first hour, for example 2026-11-28T13
    #[arg(long, value_name = "HOUR")]
    from: Option<String>,
    /// The first hour that is not looked at any more
    #[arg(long, value_name = "HOUR")]
    to: Option<String>,
}

impl Command {
    fn hours(&self) -> &Hours {
        match self {
            Self::Ls(hours) | Self::Cat { hours, .. } | Self::Verify { hours, .. } => hours,
        }
    }

    /// What is run in the pod.
    fn words(&self, output: Output) -> Vec<String> {
        let (name, more) = match self {
            Self::Ls(_) => ("ls", None),
            Self::Cat { limit, .. } => {
                let limit = limit.map(|rows| ("--limit", rows.to_string()));
                ("cat", limit)
            }
            Self::Verify {
                bootstrap_servers, ..
            } => {
                let servers = bootstrap_servers.clone();
                (
                    "verify",
                    servers.map(|servers| ("--bootstrap-servers", servers)),
                )
            }
        };
        let mut words: Vec<String> = ["millrace-stream", "lake", name]
            .map(str::to_owned)
            .to_vec();
        let hours = self.hours();
        let flags = [
            ("--dataset", &hours.dataset),
            ("--from", &hours.from),
            ("--to", &hours.to),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value.clone()?)));
        for (flag, value) in flags.chain(more) {
            // One word, so that no value is taken for a flag.
            words.push(format!("{flag}={value}"));
        }
        // Rows are JSON anyway.
        if output == Output::Json && name != "cat" {
            words.push("--json".to_owned());
        }
        words
    }
}

/// Does it. Gives the exit code of what ran in the pod.
///
/// # Errors
/// There is no archive, none of its pods runs, Kubernetes refuses, or the connection ends early.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    let (client, namespace) = reach::client(place).await?;
    let job = match &command.hours().job {
        Some(job) => job.clone(),
        None => {
            let platform = reach::platform(&client, &namespace, place.platform.as_deref()).await;
            let platform =
                platform.context("--job: names the archive where there is no Platform")?;
            format!("{platform}-archive")
        }
    };
    let pod = pod_of(&client, &namespace, &job).await?;
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let how = AttachParams::default()
        .container(Job::Archive.command())
        .max_stdout_buf_size(PART)
        .max_stderr_buf_size(PART);
    let started = pods.exec(&pod, command.words(place.output), &how).await;
    let mut process = started.with_context(|| {
        format!("{pod}: see whether the user of the kubeconfig may create pods/exec")
    })?;
    let (told, complaints) = (process.stdout(), process.stderr());
    let status = process.take_status();
    let ended = async {
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        status.with_context(|| format!("{pod}: the connection ended before the command; try again"))
    };
    let mut errors = std::io::stderr();
    let (status, (), ()) = tokio::try_join!(ended, pass(told, out), pass(complaints, &mut errors))?;
    exit_code(&status)
}

/// A pod of an archive: one that is ready if there is one, for it has the storage.
async fn pod_of(client: &Client, namespace: &str, job: &str) -> anyhow::Result<String> {
    let jobs: Api<StreamJob> = Api::namespaced(client.clone(), namespace);
    let found = jobs.get_opt(job).await?;
    let Some(found) = found.filter(|found| found.spec.job == Job::Archive) else {
        bail!("--job: {job}: no StreamJob with `job: archive` in namespace {namespace}; name one");
    };
    let selector = found.status.and_then(|status| status.selector);
    let selector =
        selector.with_context(|| format!("StreamJob {job}: it has no pods yet; wait"))?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods.list(&ListParams::default().labels(&selector)).await?;
    let runs = |pod: &&Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
    };
    let pod = pods.items.iter().find(|pod| reach::ready(pod));
    pod.or_else(|| pods.items.iter().find(runs))
        .map(ResourceExt::name_any)
        .with_context(|| format!("StreamJob {job}: none of its pods runs; see `millrace status`"))
}

async fn pass(from: Option<impl AsyncRead + Unpin>, to: &mut impl Write) -> anyhow::Result<()> {
    let Some(mut from) = from else {
        return Ok(());
    };
    let mut part = vec![0; PART];
    loop {
        let read = from.read(&mut part).await?;
        if read == 0 {
            return Ok(to.flush()?);
        }
        to.write_all(&part[..read])?;
    }
}

fn exit_code(status: &Status) -> anyhow::Result<u8> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .flatten();
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_deref()?.parse().ok());
    let told = status.message.as_deref().unwrap_or("no reason was given");
    code.with_context(|| format!("millrace-stream lake: {told}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::super::Cli;
    use super::*;

    fn words(arguments: &[&str]) -> Vec<String> {
        let cli = Cli::try_parse_from([&["millrace", "lake"], arguments].concat()).unwrap();
        let super::super::Command::Lake(command) = cli.command else {
            panic!("another command");
        };
        command.words(cli.place.output)
    }

    #[test]
    fn what_is_asked_comes_to_the_pod() {
        let program = ["millrace-stream", "lake"];
        let said = |more: &[&str]| -> Vec<String> {
            let words = program.iter().chain(more);
            words.map(|word| (*word).to_owned()).collect()
        };
        assert_eq!(words(&["ls"]), said(&["ls"]));
        assert_eq!(words(&["ls", "-o", "json"]), said(&["ls", "--json"]));
        assert_eq!(
            words(&[
                "cat",
                "--from",
                "2026-11-28T13",
                "--limit",
                "5",
                "-o",
                "json"
            ]),
            said(&["cat", "--from=2026-11-28T13", "--limit=5"])
        );
        assert_eq!(
            words(&[
                "verify",
                "--job",
                "a",
                "--dataset",
                "alerts",
                "--bootstrap-servers",
                "k:9092"
            ]),
            said(&["verify", "--dataset=alerts", "--bootstrap-servers=k:9092"])
        );
    }

    #[test]
    fn the_exit_code_is_that_of_the_pod() {
        let code = |status: Value| exit_code(&serde_json::from_value(status).unwrap());
        assert_eq!(code(json!({"status": "Success"})).unwrap(), 0);
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode",
            "message": "command terminated with non-zero exit code",
            "details": {"causes": [{"reason": "ExitCode", "message": "1"}]}});
        assert_eq!(code(failed).unwrap(), 1);
        let refused = json!({"status": "Failure", "message": "no such file"});
        let told = code(refused).unwrap_err().to_string();
        assert_eq!(told, "millrace-stream lake: no such file");
    }
}
