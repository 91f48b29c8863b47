//! `millrace rotate-ca`: a new certificate authority for a Kafka cluster, without an outage.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::drain::{clusters, name_of};
use super::{Place, reach};

/// On a KafkaCluster: a value that was not there before asks for a new authority.
const ROTATE: &str = "millrace.dev/rotate-ca";
const MANAGER: &str = "millrace-cli";
const EVERY: Duration = Duration::from_secs(2);

/// Gives a Kafka cluster a new certificate authority: its nodes are restarted one by one, three times
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// The cluster
    #[arg(value_name = "kafka/NAME")]
    cluster: String,
    /// Wait until the former authority is trusted no longer
    #[arg(long)]
    wait: bool,
}

/// Does it.
///
/// # Errors
/// Kubernetes refuses, or there is no such cluster, or it has no certificates.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<()> {
    let name = name_of(&command.cluster)?;
    let (client, namespace) = reach::client(place).await?;
    let api = clusters(client, &namespace);
    let cluster = api.get(name).await?;
    if cluster.data["status"]["certificates"].is_null() {
        bail!(
            "{}: the cluster has no certificates; only one with spec.listeners.secure has",
            command.cluster
        );
    }
    let asked = Timestamp::now().to_string();
    let manager = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({"metadata": {"annotations": {ROTATE: asked}}});
    api.patch(name, &manager, &Patch::Merge(&patch)).await?;
    writeln!(out, "KafkaCluster/{name}: a new authority asked for")?;
    if !command.wait {
        return Ok(());
    }
    let mut shown = String::new();
    loop {
        let cluster = api.get(name).await?;
        let certificates = &cluster.data["status"]["certificates"];
        let phase = certificates["phase"].as_str().unwrap_or_default();
        if phase != shown {
            writeln!(out, "{phase}")?;
            out.flush()?;
            phase.clone_into(&mut shown);
        }
        if is_done(certificates, &asked) {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn is_done(certificates: &Value, asked: &str) -> bool {
    certificates["rotatedFor"] == asked && certificates["phase"] == "Settled"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_when_what_was_asked_for_has_settled() {
        let certificates = |phase: &str, asked: &str| json!({"phase": phase, "rotatedFor": asked});
        assert!(is_done(&certificates("Settled", "b"), "b"));
        assert!(!is_done(&certificates("Settled", "a"), "b"), "not begun");
        assert!(!is_done(&certificates("Reissue", "b"), "b"));
        assert!(!is_done(&Value::Null, "b"));
    }
}
