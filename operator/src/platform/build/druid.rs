//! Druid of a platform, the ZooKeeper beside it, and what it takes in. Pure.

use std::collections::BTreeMap;

use millrace_contract::topics;

use super::hdfs::name_nodes;
use super::users::User;
use super::{meta, part};
use crate::druid::binding_name;
use crate::druid::crd::{
    Brokers, Coordinators, DeepStorage, DruidCluster, DruidClusterSpec, Historicals, Metadata,
    Routers, Workers,
};
use crate::hdfs::crd::ZooKeeper;
use crate::ingestion::crd::{DruidIngestion, DruidIngestionSpec, Granularity};
use crate::platform::crd::{PlatformDruid, PlatformDruidServers};
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::remote::user::binding_name as user_secret;
use crate::types::{DeletionPolicy, FreeForm, Operation, PodResources};
use crate::zookeeper::crd::{ZooKeeperEnsemble, ZooKeeperEnsembleSpec};

/// Days that are over are merged after this.
const COMPACT_AFTER: &str = "1d";

/// Name of the ensemble that Druid uses: of three servers the one of HDFS too, of one its own, because HDFS may come later.
fn zookeeper_part(platform: &ValidatedPlatform) -> &'static str {
    if platform.sizes.druid.zookeepers > 1 {
        "zookeeper"
    } else {
        "druid-zookeeper"
    }
}

/// The ZooKeeper, where HDFS does not bring it.
pub(super) fn zookeeper(platform: &ValidatedPlatform) -> Option<ZooKeeperEnsemble> {
    let servers = platform.sizes.druid.zookeepers;
    let of_hdfs = platform
        .hdfs
        .as_ref()
        .is_some_and(|hdfs| hdfs.external.is_none() && name_nodes(platform, hdfs) > 1);
    if servers > 1 && of_hdfs {
        return None;
    }
    Some(ZooKeeperEnsemble {
        metadata: meta(platform, zookeeper_part(platform)),
        spec: ZooKeeperEnsembleSpec {
            servers,
            image: None,
            storage: platform.sizes.zookeeper_storage.clone(),
            storage_growth: None,
            resources: None,
            config: BTreeMap::new(),
            deletion_policy: DeletionPolicy::Retain,
            operation: Operation::default(),
            paused: false,
        },
        status: None,
    })
}

fn replicas(asked: Option<&PlatformDruidServers>, profile: i32) -> i32 {
    asked.and_then(|asked| asked.replicas).unwrap_or(profile)
}

fn resources(asked: Option<&PlatformDruidServers>, profile: &PodResources) -> Option<PodResources> {
    let asked = asked.and_then(|asked| asked.resources.as_ref());
    Some(or_profile(asked, profile))
}

pub(super) fn cluster(platform: &ValidatedPlatform, druid: &PlatformDruid) -> DruidCluster {
    let sizes = &platform.sizes.druid;
    let (data, workers) = (druid.historicals.as_ref(), druid.workers.as_ref());
    // Without a PostgreSQL there can be only one.
    let coordinators = match druid.metadata_secret {
        Some(_) => sizes.coordinators,
        None => 1,
    };
    let routers = replicas(druid.routers.as_ref(), sizes.routers);
    let wants_routers = druid.routers.is_some() || sizes.routers > 0;
    DruidCluster {
        metadata: meta(platform, "druid"),
        spec: DruidClusterSpec {
            zookeeper: ZooKeeper {
                ensemble: Some(part(platform, zookeeper_part(platform))),
                binding_secret: None,
            },
            metadata: Metadata {
                binding_secret: druid.metadata_secret.clone(),
                storage: None,
            },
            deep_storage: deep_storage(platform, druid),
            coordinators: Coordinators {
                replicas: replicas(druid.coordinators.as_ref(), coordinators),
                resources: resources(druid.coordinators.as_ref(), &sizes.coordinator),
                pod_overrides: FreeForm::new(),
            },
            brokers: Brokers {
                replicas: replicas(druid.brokers.as_ref(), sizes.brokers),
                resources: resources(druid.brokers.as_ref(), &sizes.broker),
                pod_overrides: FreeForm::new(),
            },
            historicals: Historicals {
                replicas: data
                    .and_then(|data| data.replicas)
                    .unwrap_or(sizes.historicals),
                storage: data
                    .and_then(|data| data.storage.clone())
                    .unwrap_or_else(|| sizes.historical_storage.clone()),
                resources: Some(or_profile(
                    data.and_then(|data| data.resources.as_ref()),
                    &sizes.historical,
                )),
                pod_overrides: FreeForm::new(),
            },
            workers: Workers {
                kind: workers
                    .and_then(|workers| workers.kind)
                    .unwrap_or(sizes.worker_kind),
                replicas: workers
                    .and_then(|workers| workers.replicas)
                    .unwrap_or(sizes.workers),
                capacity: workers
                    .and_then(|workers| workers.capacity)
                    .unwrap_or(sizes.worker_capacity),
                storage: sizes.worker_storage.clone(),
                resources: Some(or_profile(
                    workers.and_then(|workers| workers.resources.as_ref()),
                    &sizes.worker,
                )),
                pod_overrides: FreeForm::new(),
            },
            routers: wants_routers.then(|| Routers {
                replicas: routers.max(1),
                resources: resources(druid.routers.as_ref(), &sizes.router),
                pod_overrides: FreeForm::new(),
            }),
            image: druid.image.clone(),
            security: druid.security.clone(),
            extensions: Vec::new(),
            kafka_secrets: user(platform)
                .iter()
                .map(|user| user_secret(user))
                .collect(),
            config: druid.config.clone(),
            pod_overrides: FreeForm::new(),
            maintenance_windows: Vec::new(),
            deletion_policy: DeletionPolicy::Retain,
            stopped: false,
            paused: false,
        },
        status: None,
    }
}

/// Whom Druid logs in to Kafka as, where that asks.
fn user(platform: &ValidatedPlatform) -> Option<String> {
    platform.has_users().then(|| User::Druid.name(platform))
}

fn deep_storage(platform: &ValidatedPlatform, druid: &PlatformDruid) -> DeepStorage {
    let external = platform
        .hdfs
        .as_ref()
        .and_then(|hdfs| hdfs.external.as_ref());
    let on_volume = druid.segments.is_some();
    DeepStorage {
        hdfs: (!on_volume && external.is_none()).then(|| part(platform, "hdfs")),
        binding_secret: external
            .filter(|_| !on_volume)
            .map(|external| external.binding_secret.clone()),
        path: None,
        volume: druid.segments.clone(),
    }
}

/// Name of the Secret by which the Druid of a platform of this name is reached.
#[must_use]
pub fn druid_binding(platform: &str, druid: &PlatformDruid) -> String {
    match &druid.external {
        Some(external) => external.binding_secret.clone(),
        None => binding_name(&format!("{platform}-druid")),
    }
}

/// Telemetry and alerts, each a data source of that name.
pub(super) fn ingestions(
    platform: &ValidatedPlatform,
    druid: &PlatformDruid,
) -> Vec<DruidIngestion> {
    let sizes = &platform.sizes.druid;
    let historicals = druid.historicals.as_ref().and_then(|data| data.replicas);
    let historicals = historicals.unwrap_or(sizes.historicals);
    let binding = druid_binding(&platform.owner.name, druid);
    let ingestion = |topic: &str, tasks: i32, quantiles: Vec<String>| DruidIngestion {
        metadata: meta(platform, topic),
        spec: DruidIngestionSpec {
            binding: binding.clone(),
            topic: part(platform, topic),
            kafka_user: user(platform),
            data_source: Some(topic.to_owned()),
            signals: Vec::new(),
            quantiles,
            granularity: Granularity::Minute,
            tasks,
            replicas: sizes.task_replicas,
            task_duration: "1h".into(),
            retention: Some(druid.retention.clone()),
            compact_after: Some(COMPACT_AFTER.into()),
            copies: if druid.external.is_some() {
                1
            } else {
                historicals.clamp(1, 2)
            },
            reindex: None,
            suspended: false,
            deletion_policy: DeletionPolicy::Delete,
            paused: false,
        },
        status: None,
    };
    vec![
        ingestion(
            topics::TELEMETRY,
            sizes.telemetry_tasks,
            druid.quantiles.clone(),
        ),
        ingestion(topics::ALERTS, 1, Vec::new()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use crate::user::crd::KafkaUser;
    use serde_json::{Value, json};

    fn made(spec: Value) -> crate::reconcile::Resources<crate::reconcile::Prepared> {
        build(&validate(&platform(spec), live(None)).unwrap())
            .unwrap()
            .0
    }

    #[test]
    fn the_smallest_has_a_zookeeper_of_its_own_and_segments_on_a_volume() {
        let made = made(
            json!({"kafka": {}, "druid": {"segments": {"size": "2Gi"}, "quantiles": ["speed"]}}),
        );
        let ensemble: ZooKeeperEnsemble = made.get("p-druid-zookeeper").unwrap();
        assert_eq!(ensemble.spec.servers, 1);
        let spec = made.get::<DruidCluster>("p-druid").unwrap().spec;
        assert_eq!(
            spec.zookeeper.ensemble.as_deref(),
            Some("p-druid-zookeeper")
        );
        assert_eq!(spec.deep_storage.volume.unwrap().size, "2Gi".into());
        assert!(spec.deep_storage.hdfs.is_none() && spec.routers.is_none());
        let telemetry = made.get::<DruidIngestion>("p-telemetry").unwrap().spec;
        assert_eq!(
            (
                telemetry.binding.as_str(),
                telemetry.topic.as_str(),
                telemetry.data_source.as_deref()
            ),
            ("p-druid-binding", "p-telemetry", Some("telemetry"))
        );
        assert_eq!(telemetry.quantiles, ["speed"]);
        assert_eq!(telemetry.retention.as_deref(), Some("30d"));
        let alerts = made.get::<DruidIngestion>("p-alerts").unwrap().spec;
        assert_eq!(alerts.topic, "p-alerts");
    }

    #[test]
    fn each_profile_has_room_for_tasks_that_hand_over_and_what_it_builds_is_valid() {
        for profile in ["dev", "standard", "ha"] {
            let made = made(json!({"profile": profile, "kafka": {}, "hdfs": {}, "druid": {}}));
            let cluster = made.get::<DruidCluster>("p-druid").unwrap();
            let workers = &cluster.spec.workers;
            let names = ["p-telemetry", "p-alerts"];
            let all: Vec<_> = names
                .map(|name| made.get::<DruidIngestion>(name).unwrap().spec)
                .into();
            let tasks: i32 = all.iter().map(|one| 2 * one.tasks * one.replicas).sum();
            assert!(workers.replicas * workers.capacity >= tasks, "{profile}");
            assert!(
                all.iter()
                    .all(|one| one.copies <= cluster.spec.historicals.replicas)
            );
            let mut cluster = cluster;
            cluster.metadata.uid = Some("u".into());
            let found = crate::druid::validate::tests::found();
            crate::druid::validate::validate(
                &cluster,
                &found,
                &crate::druid::validate::tests::images(),
            )
            .unwrap_or_else(|error| panic!("{profile}: {error}"));
        }
    }

    #[test]
    fn several_zookeepers_are_those_of_hdfs_too() {
        let ha = made(
            json!({"profile": "ha", "kafka": {}, "hdfs": {}, "druid": {"metadataSecret": "s"}}),
        );
        assert!(ha.get::<ZooKeeperEnsemble>("p-druid-zookeeper").is_none());
        assert_eq!(
            ha.get::<ZooKeeperEnsemble>("p-zookeeper")
                .unwrap()
                .spec
                .servers,
            3
        );
        let spec = ha.get::<DruidCluster>("p-druid").unwrap().spec;
        assert_eq!(spec.zookeeper.ensemble.as_deref(), Some("p-zookeeper"));
        assert_eq!(spec.deep_storage.hdfs.as_deref(), Some("p-hdfs"));
        assert!(spec.coordinators.replicas > 1 && spec.routers.is_some());
        let alone =
            made(json!({"profile": "ha", "kafka": {}, "druid": {"segments": {"size": "1Gi"}}}));
        assert!(alone.get::<ZooKeeperEnsemble>("p-zookeeper").is_some());
        let spec = alone.get::<DruidCluster>("p-druid").unwrap().spec;
        assert_eq!(spec.coordinators.replicas, 1, "there is no PostgreSQL");
    }

    #[test]
    fn where_kafka_asks_druid_logs_in_as_a_user_of_its_own() {
        let of =
            |kafka: Value| made(json!({"kafka": kafka, "druid": {"segments": {"size": "2Gi"}}}));
        let secure = of(json!({"listeners": {"secure": {}}}));
        assert!(secure.get::<KafkaUser>("p-druid").is_some());
        let cluster = secure.get::<DruidCluster>("p-druid").unwrap();
        assert_eq!(cluster.spec.kafka_secrets, ["p-druid-kafka"]);
        for name in ["p-telemetry", "p-alerts"] {
            let ingestion = secure.get::<DruidIngestion>(name).unwrap();
            assert_eq!(ingestion.spec.kafka_user.as_deref(), Some("p-druid"));
        }
        let plain = of(json!({}));
        let cluster = plain.get::<DruidCluster>("p-druid").unwrap();
        assert!(cluster.spec.kafka_secrets.is_empty());
        let ingestion = plain.get::<DruidIngestion>("p-alerts").unwrap();
        assert_eq!(ingestion.spec.kafka_user, None);
    }

    #[test]
    fn a_druid_of_somebody_else_is_only_told_what_to_take_in() {
        let made = made(json!({"kafka": {}, "druid": {"external": {"bindingSecret": "theirs"}}}));
        assert!(made.get::<DruidCluster>("p-druid").is_none());
        assert!(made.get::<ZooKeeperEnsemble>("p-druid-zookeeper").is_none());
        let telemetry = made.get::<DruidIngestion>("p-telemetry").unwrap().spec;
        assert_eq!(telemetry.binding, "theirs");
    }
}
