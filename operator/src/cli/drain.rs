//! `millrace drain`: brokers are emptied, so that they can go.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::status::drained;
use super::{Output, Place, reach};
use crate::types::{GROUP, VERSION};

/// On a KafkaCluster: ids of the nodes whose replicas are to move elsewhere, separated by commas.
const DRAIN: &str = "millrace.dev/drain";
const MANAGER: &str = "millrace-cli";
const EVERY: Duration = Duration::from_secs(2);

/// Moves all replicas away from brokers, so that they can be taken out
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// The cluster
    #[arg(value_name = "kafka/NAME")]
    cluster: String,
    /// Ids of the nodes, separated by commas; without them the progress is shown
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    nodes: Vec<i32>,
    /// Wait until they are empty
    #[arg(long)]
    wait: bool,
    /// Ask for it no longer; what has moved stays where it is
    #[arg(long, conflicts_with_all = ["nodes", "wait"])]
    cancel: bool,
}

/// Does it.
///
/// # Errors
/// Kubernetes refuses, or there is no such cluster.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<()> {
    let name = name_of(&command.cluster)?;
    let (client, namespace) = reach::client(place).await?;
    let api = clusters(client, &namespace);
    let manager = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut asked = command.nodes.clone();
    if command.cancel || !asked.is_empty() {
        let value = if command.cancel {
            Value::Null
        } else {
            json!(ids(&asked))
        };
        let patch = json!({"metadata": {"annotations": {DRAIN: value}}});
        api.patch(name, &manager, &Patch::Merge(&patch)).await?;
        let told = if command.cancel {
            "drain is asked for no longer".to_owned()
        } else {
            format!("drain of nodes {} asked for", ids(&asked))
        };
        writeln!(out, "KafkaCluster/{name}: {told}")?;
        if !command.wait {
            return Ok(());
        }
    }
    let mut shown = Vec::new();
    loop {
        let cluster = api.get(name).await?;
        let drain = cluster.data["status"]["drain"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if asked.is_empty() {
            let annotations = cluster.metadata.annotations.as_ref();
            asked = annotations
                .and_then(|all| all.get(DRAIN))
                .map(|text| {
                    text.split(',')
                        .filter_map(|id| id.trim().parse().ok())
                        .collect()
                })
                .unwrap_or_default();
        }
        let lines: Vec<String> = drain.iter().map(drained).collect();
        if lines != shown || !command.wait {
            tell(out, &drain, &lines, place.output)?;
            out.flush()?;
            shown = lines;
        }
        if !command.wait || is_done(&drain, &asked) {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn tell(
    out: &mut impl Write,
    drain: &[Value],
    lines: &[String],
    output: Output,
) -> anyhow::Result<()> {
    if output == Output::Json {
        writeln!(out, "{}", serde_json::to_string(drain)?)?;
        return Ok(());
    }
    if lines.is_empty() {
        writeln!(out, "No node is drained.")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn ids(nodes: &[i32]) -> String {
    let ids: Vec<String> = nodes.iter().map(i32::to_string).collect();
    ids.join(",")
}

pub(super) fn clusters(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(GROUP, VERSION, "KafkaCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "kafkaclusters");
    Api::namespaced_with(client, namespace, &resource)
}

pub(super) fn name_of(cluster: &str) -> anyhow::Result<&str> {
    let (kind, name) = cluster.split_once('/').unwrap_or(("kafka", cluster));
    let known = ["kafka", "kafkacluster", "kafkaclusters"];
    if name.is_empty() || !known.contains(&kind.to_ascii_lowercase().as_str()) {
        bail!("{cluster}: not a Kafka cluster; write kafka/NAME");
    }
    Ok(name)
}

// Whether every node that was asked for is empty.
fn is_done(drain: &[Value], asked: &[i32]) -> bool {
    asked.iter().all(|id| {
        drain
            .iter()
            .any(|node| node["node"] == *id && node["done"] == true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_in_several_ways() {
        for text in ["kafka/k", "KafkaCluster/k", "k"] {
            assert_eq!(name_of(text).unwrap(), "k");
        }
        for text in ["platform/p", "kafka/"] {
            assert!(name_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_done_when_all_that_were_asked_for_are() {
        let drain = [
            json!({"node": 3, "done": true}),
            json!({"node": 4, "done": false}),
        ];
        assert!(is_done(&drain, &[3]));
        assert!(!is_done(&drain, &[3, 4]));
        assert!(!is_done(&[], &[3]), "nothing is known of it yet");
    }
}
