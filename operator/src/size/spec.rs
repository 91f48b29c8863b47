//! A size as a Platform that can be applied.

use millrace_contract::Invalid;
use serde_json::{Value, json};

use super::{Load, Pods, Size};

/// The Platform for a load.
///
/// # Errors
/// No profile has so many brokers.
pub fn platform(
    name: &str,
    load: &Load,
    size: &Size,
    storage_class: Option<&str>,
) -> Result<Value, Invalid> {
    if size.brokers.count != load.replication {
        return Err(Invalid::new(
            "--vehicles",
            load.vehicles.to_string(),
            format!(
                "{} brokers are needed, and the profile has {}",
                size.brokers.count, load.replication
            ),
            "spread the vehicles over several Platforms, or make a KafkaCluster with pools of its own",
        ));
    }
    let mebibytes = |bytes: u64| format!("{}Mi", bytes.div_ceil(1024 * 1024));
    let resources = |pods: &Pods| json!({"memory": mebibytes(pods.memory_bytes), "cpu": format!("{}m", pods.cpu_millis)});
    let job = |pods: &Pods| json!({"replicas": pods.count, "resources": resources(pods)});
    let mut storage =
        json!({"size": format!("{}Gi", size.disk_bytes_per_broker.div_ceil(1 << 30))});
    if let Some(class) = storage_class {
        storage["storageClass"] = json!(class);
    }
    let mut body = json!({
        "apiVersion": "millrace.dev/v1alpha1",
        "kind": "Platform",
        "metadata": {"name": name},
        "spec": {
            "profile": if load.replication > 1 { "ha" } else { "standard" },
            "kafka": {
                "partitions": size.partitions,
                "storage": storage,
                "resources": resources(&size.brokers),
            },
            "gateway": job(&size.gateway),
            "detect": job(&size.detect),
            "openwhisk": {"resources": resources(&size.openwhisk)},
            "warnings": {"replicas": size.dispatch.count},
        },
    });
    if let Some(lake) = &size.lake {
        let gibibytes = |bytes: u64| format!("{}Gi", bytes.div_ceil(1 << 30));
        let mut storage = json!({"size": gibibytes(lake.disk_bytes_per_data_node)});
        if let Some(class) = storage_class {
            storage["storageClass"] = json!(class);
        }
        body["spec"]["hdfs"] = json!({
            "replication": lake.replication,
            "nameNodes": {"resources": resources(&lake.name_nodes)},
            "dataNodes": {
                "replicas": lake.data_nodes.count,
                "storage": storage,
                "resources": resources(&lake.data_nodes),
            },
        });
        body["spec"]["archive"] = job(&lake.archive);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::crd::Platform;

    #[test]
    fn the_platform_is_one_that_this_version_reads() {
        let load = Load {
            vehicles: 1_000,
            hz: 1.0,
            retention_hours: 24,
            event_bytes: 430,
            replication: 1,
            peak_factor: 2.0,
            archive_days: 0,
        };
        let size = super::super::size(&load).unwrap();
        let body = platform("fleet", &load, &size, Some("fast")).unwrap();
        let read: Platform = serde_json::from_value(body).unwrap();
        let kafka = read.spec.kafka.unwrap();
        let storage = kafka.storage.unwrap();
        assert_eq!(storage.storage_class.as_deref(), Some("fast"));
        assert!(storage.size.bytes() >= Some(size.disk_bytes_per_broker));
        assert_eq!(
            kafka.partitions.map(i64::from),
            i64::try_from(size.partitions).ok()
        );
        assert_eq!(
            read.spec.warnings.unwrap().replicas.map(i64::from),
            i64::try_from(size.dispatch.count).ok()
        );
    }

    #[test]
    fn a_lake_is_a_part_of_it() {
        let load = Load {
            vehicles: 1_000,
            hz: 1.0,
            retention_hours: 24,
            event_bytes: 600,
            replication: 3,
            peak_factor: 2.0,
            archive_days: 90,
        };
        let size = super::super::size(&load).unwrap();
        let body = platform("fleet", &load, &size, Some("fast")).unwrap();
        let read: Platform = serde_json::from_value(body).unwrap();
        let data = read.spec.hdfs.unwrap().data_nodes.unwrap();
        assert_eq!(data.storage.unwrap().storage_class.as_deref(), Some("fast"));
        assert_eq!(data.replicas, Some(3));
        assert_eq!(read.spec.archive.unwrap().replicas, Some(2));
        let names: Vec<&str> = size.pods().iter().map(|(name, _)| *name).collect();
        assert!(
            names.contains(&"namenode") && names.contains(&"zookeeper"),
            "{names:?}"
        );
    }

    #[test]
    fn more_brokers_than_a_profile_has_are_refused() {
        let load = Load {
            vehicles: 60_000,
            hz: 1.0,
            retention_hours: 1,
            event_bytes: 430,
            replication: 1,
            peak_factor: 2.0,
            archive_days: 0,
        };
        let size = super::super::size(&load).unwrap();
        let told = platform("fleet", &load, &size, None).unwrap_err();
        assert!(told.to_string().contains("2 brokers are needed"), "{told}");
    }
}
