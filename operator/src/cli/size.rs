//! `millrace size`: how large a platform has to be, and whether the cluster holds it.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::{Output, Place, reach, table};
use crate::platform::crd::Platform;
use crate::size::fit::{Class, Node, fit};
use crate::size::{Load, Size, platform, size};
use crate::types::Quantity;

/// Computes partitions, disks, memory and pods for a fleet
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// Vehicles that are connected at once
    #[arg(long, value_name = "N")]
    vehicles: u64,
    /// Events of a second of each vehicle, on average
    #[arg(long, value_name = "F")]
    hz: f64,
    /// How long telemetry is kept, in hours
    #[arg(long, value_name = "H")]
    retention_hours: u64,
    /// Bytes of an event as JSON
    #[arg(long, default_value_t = 600, value_name = "BYTES")]
    event_bytes: u64,
    /// Copies of each record: 1, or 3
    #[arg(long, default_value_t = 1, value_name = "N")]
    replication: u64,
    /// How much more comes at the busiest time than on average
    #[arg(long, default_value_t = 2.0, value_name = "F")]
    peak_factor: f64,
    /// How long telemetry is kept in the lake, in days; 0 for no lake
    #[arg(long, default_value_t = 0, value_name = "DAYS")]
    archive_days: u64,
    /// Refuse what the cluster of the kubeconfig cannot hold
    #[arg(long)]
    check: bool,
    /// Storage class of the volumes of brokers and DataNodes
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,
    /// Name of the Platform that --output yaml writes
    #[arg(long, default_value = "fleet", value_name = "NAME")]
    name: String,
}

/// Does it. Gives the exit code: 1 where the cluster cannot hold it.
///
/// # Errors
/// A value is out of range, or the cluster cannot be asked.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    let load = Load {
        vehicles: command.vehicles,
        hz: command.hz,
        retention_hours: command.retention_hours,
        event_bytes: command.event_bytes,
        replication: command.replication,
        peak_factor: command.peak_factor,
        archive_days: command.archive_days,
    };
    let size = size(&load)?;
    let class = command.storage_class.as_deref();
    let mut refused = Vec::new();
    if command.check {
        let (client, _) = reach::client(place).await?;
        let nodes = nodes(&client).await?;
        let classes = classes(&client).await?;
        refused = fit(&load, &size, &nodes, &classes, class);
    }
    match place.output {
        Output::Yaml => {
            let body = platform(&command.name, &load, &size, class)?;
            // Told here and not when it is applied.
            serde_json::from_value::<Platform>(body.clone()).map_err(|error| {
                anyhow::anyhow!("--replication: {}: {error}; give 1", load.replication)
            })?;
            write!(out, "{}", serde_yaml_ng::to_string(&body)?)?;
        }
        Output::Json => {
            let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
            let mut body = json!(size);
            body["refused"] = json!(told);
            writeln!(out, "{}", serde_json::to_string_pretty(&body)?)?;
        }
        Output::Table => tell(out, &size)?,
    }
    for invalid in &refused {
        eprintln!("refused: {invalid}");
    }
    Ok(u8::from(!refused.is_empty()))
}

fn tell(out: &mut impl Write, size: &Size) -> anyhow::Result<()> {
    let gibibytes = |bytes: u64| format!("{} GiB", bytes.div_ceil(1 << 30));
    writeln!(
        out,
        "events a second: {:.0}, at the busiest {:.0}",
        size.events_per_second, size.peak_events_per_second
    )?;
    writeln!(out, "partitions: {}", size.partitions)?;
    writeln!(
        out,
        "telemetry kept, all copies: {}",
        gibibytes(size.stored_bytes)
    )?;
    writeln!(
        out,
        "volume of each broker: {}",
        gibibytes(size.disk_bytes_per_broker)
    )?;
    if let Some(lake) = &size.lake {
        writeln!(out, "lake, all copies: {}", gibibytes(lake.stored_bytes))?;
        writeln!(
            out,
            "volume of each DataNode: {}",
            gibibytes(lake.disk_bytes_per_data_node)
        )?;
    }
    let rows: Vec<Vec<String>> = size
        .pods()
        .iter()
        .map(|(name, pods)| {
            vec![
                (*name).to_owned(),
                pods.count.to_string(),
                format!("{} MiB", pods.memory_bytes >> 20),
                format!("{}m", pods.cpu_millis),
            ]
        })
        .collect();
    table::write(out, &["POD", "COUNT", "MEMORY EACH", "CPU EACH"], &rows)?;
    Ok(())
}

fn amount(list: Option<&BTreeMap<String, ApiQuantity>>, name: &str) -> Option<Quantity> {
    Some(Quantity(list?.get(name)?.0.clone()))
}

fn bytes(list: Option<&BTreeMap<String, ApiQuantity>>) -> u64 {
    amount(list, "memory").and_then(|q| q.bytes()).unwrap_or(0)
}

// In thousandths: `bytes` rounds down to whole units, so one that is not written in thousandths is made a thousand times
// as large.
fn millis(list: Option<&BTreeMap<String, ApiQuantity>>) -> u64 {
    let Some(quantity) = amount(list, "cpu") else {
        return 0;
    };
    match quantity.0.strip_suffix('m') {
        Some(millis) => millis.parse().unwrap_or(0),
        None => Quantity(format!("{}k", quantity.0)).bytes().unwrap_or(0),
    }
}

// Nodes that take pods, with what is not asked for yet.
async fn nodes(client: &Client) -> anyhow::Result<Vec<Node>> {
    let api: Api<ApiNode> = Api::all(client.clone());
    let all = api.list(&ListParams::default()).await?;
    let pods: Api<Pod> = Api::all(client.clone());
    let pods = match pods.list(&ListParams::default()).await {
        Ok(pods) => pods.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            eprintln!(
                "pods of all namespaces may not be listed: what they ask for is not taken off"
            );
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(free(&all.items, &pods))
}

fn free(nodes: &[ApiNode], pods: &[Pod]) -> Vec<Node> {
    let takes_pods = |node: &&ApiNode| {
        let spec = node.spec.as_ref();
        let closed = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
        let mut taints = spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        !closed && !taints.any(|taint| taint.effect != "PreferNoSchedule")
    };
    nodes
        .iter()
        .filter(takes_pods)
        .map(|node| {
            let name = node.name_any();
            let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
            let (mut memory, mut cpu) = (bytes(allocatable), millis(allocatable));
            let here = pods.iter().filter(|pod| {
                let ended = pod.status.as_ref().and_then(|s| s.phase.as_deref());
                let on = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
                on == Some(name.as_str()) && !matches!(ended, Some("Succeeded" | "Failed"))
            });
            for container in here.flat_map(|pod| pod.spec.iter().flat_map(|s| &s.containers)) {
                let asked = container.resources.as_ref();
                let asked = asked.and_then(|resources| resources.requests.as_ref());
                memory = memory.saturating_sub(bytes(asked));
                cpu = cpu.saturating_sub(millis(asked));
            }
            Node {
                name,
                memory_bytes: memory,
                cpu_millis: cpu,
            }
        })
        .collect()
}

async fn classes(client: &Client) -> anyhow::Result<Vec<Class>> {
    let api: Api<StorageClass> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await?;
    let default = "storageclass.kubernetes.io/is-default-class";
    Ok(found
        .iter()
        .map(|class| Class {
            name: class.name_any(),
            is_default: class
                .annotations()
                .get(default)
                .is_some_and(|v| v == "true"),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_ask_for_is_taken_off_and_closed_nodes_are_left_out() {
        let node = |name: &str, closed: bool| -> ApiNode {
            serde_json::from_value(
                json!({"metadata": {"name": name}, "spec": {"unschedulable": closed},
                "status": {"allocatable": {"memory": "4Gi", "cpu": "1.5"}}}),
            )
            .unwrap()
        };
        let pod = |on: &str, phase: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"phase": phase}, "spec": {"nodeName": on,
                "containers": [{"name": "c", "resources": {"requests": {"memory": "1Gi", "cpu": "250m"}}}]}}))
            .unwrap()
        };
        let free = free(
            &[node("a", false), node("b", true)],
            &[
                pod("a", "Running"),
                pod("a", "Succeeded"),
                pod("b", "Running"),
            ],
        );
        assert_eq!(
            free,
            [Node {
                name: "a".into(),
                memory_bytes: 3 << 30,
                cpu_millis: 1_250
            }]
        );
    }
}
