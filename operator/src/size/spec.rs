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
    Ok(json!({
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
    }))
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
    fn more_brokers_than_a_profile_has_are_refused() {
        let load = Load {
            vehicles: 60_000,
            hz: 1.0,
            retention_hours: 1,
            event_bytes: 430,
            replication: 1,
            peak_factor: 2.0,
        };
        let size = super::super::size(&load).unwrap();
        let told = platform("fleet", &load, &size, None).unwrap_err();
        assert!(told.to_string().contains("2 brokers are needed"), "{told}");
    }
}
