//! HDFS of a platform, the ZooKeeper beside several NameNodes, and the archive. Pure.

use std::collections::BTreeMap;

use super::kafka::{ZONE, kafka_binding};
use super::users::User;
use super::{meta, part};
use crate::hdfs::crd::{
    DataNodes, HdfsCluster, HdfsClusterSpec, JournalNodes, NameNodes, ZooKeeper,
};
use crate::job::crd::{Compaction, Job, JobLake, StreamJob, StreamJobSpec};
use crate::platform::crd::{PlatformArchive, PlatformHdfs};
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::types::{DeletionPolicy, FreeForm, Operation, PodResources, Rack, Storage};
use crate::zookeeper::crd::{ZooKeeperEnsemble, ZooKeeperEnsembleSpec};

/// When files are compacted, where nobody says: by then most events of the hour before have come.
const COMPACTION: &str = "17 * * * *";

/// A day.
const TRASH_MINUTES: i32 = 1440;

/// Name of the HdfsCluster of a platform.
#[must_use]
pub fn hdfs_cluster(platform: &str) -> String {
    format!("{platform}-hdfs")
}

/// How many NameNodes there are.
pub(super) fn name_nodes(platform: &ValidatedPlatform, hdfs: &PlatformHdfs) -> i32 {
    let asked = hdfs.name_nodes.as_ref().and_then(|nodes| nodes.replicas);
    asked.unwrap_or(platform.sizes.name_nodes)
}

/// The ZooKeeper by which several NameNodes decide which of them is active.
pub(super) fn zookeeper(
    platform: &ValidatedPlatform,
    hdfs: &PlatformHdfs,
) -> Option<ZooKeeperEnsemble> {
    (name_nodes(platform, hdfs) > 1).then(|| ZooKeeperEnsemble {
        metadata: meta(platform, "zookeeper"),
        spec: ZooKeeperEnsembleSpec {
            servers: 3,
            image: None,
            storage: storage(hdfs, &platform.sizes.zookeeper_storage),
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

/// A profile's size, of the class that was asked for the names.
fn storage(hdfs: &PlatformHdfs, profile: &Storage) -> Storage {
    let asked = hdfs.name_nodes.as_ref().and_then(|n| n.storage.as_ref());
    Storage {
        storage_class: asked.and_then(|storage| storage.storage_class.clone()),
        ..profile.clone()
    }
}

pub(super) fn cluster(platform: &ValidatedPlatform, hdfs: &PlatformHdfs) -> HdfsCluster {
    let sizes = &platform.sizes;
    let (names, data) = (hdfs.name_nodes.as_ref(), hdfs.data_nodes.as_ref());
    let replicas = name_nodes(platform, hdfs);
    let name_storage = names
        .and_then(|names| names.storage.clone())
        .unwrap_or_else(|| sizes.name_storage.clone());
    let several = replicas > 1;
    HdfsCluster {
        metadata: meta(platform, "hdfs"),
        spec: HdfsClusterSpec {
            image: hdfs.image.clone(),
            name_nodes: NameNodes {
                replicas,
                storage: name_storage.clone(),
                resources: Some(or_profile(
                    names.and_then(|names| names.resources.as_ref()),
                    &sizes.name_node,
                )),
                ..NameNodes::default()
            },
            journal_nodes: several.then(|| JournalNodes {
                storage: name_storage,
                ..JournalNodes::default()
            }),
            zookeeper: several.then(|| ZooKeeper {
                ensemble: Some(part(platform, "zookeeper")),
                binding_secret: None,
            }),
            data_nodes: DataNodes {
                replicas: data
                    .and_then(|data| data.replicas)
                    .unwrap_or(sizes.data_nodes),
                volumes: 1,
                storage: data
                    .and_then(|data| data.storage.clone())
                    .unwrap_or_else(|| sizes.data_storage.clone()),
                storage_growth: data.and_then(|data| data.storage_growth.clone()),
                resources: Some(or_profile(
                    data.and_then(|data| data.resources.as_ref()),
                    &sizes.data_node,
                )),
                pod_overrides: FreeForm::new(),
            },
            replication: hdfs.replication,
            rack: (sizes.racks() && platform.racks.hdfs).then(|| Rack {
                topology_key: ZONE.into(),
            }),
            trash_minutes: TRASH_MINUTES,
            core_site: BTreeMap::new(),
            hdfs_site: BTreeMap::new(),
            pod_overrides: FreeForm::new(),
            maintenance_windows: Vec::new(),
            deletion_policy: DeletionPolicy::Retain,
            stopped: false,
            paused: false,
        },
        status: None,
    }
}

pub(super) fn archive_job(
    platform: &ValidatedPlatform,
    hdfs: &PlatformHdfs,
    archive: &PlatformArchive,
) -> StreamJob {
    let external = hdfs.external.as_ref();
    let compaction = archive.compaction.clone().unwrap_or_else(|| Compaction {
        schedule: COMPACTION.into(),
        at_least: None,
        small: None,
    });
    let profile = PodResources {
        // It follows from the configuration.
        memory: None,
        cpu: platform.sizes.detect.cpu.clone(),
    };
    StreamJob {
        metadata: meta(platform, "archive"),
        spec: StreamJobSpec {
            job: Job::Archive,
            image: archive.image.clone(),
            replicas: archive.replicas.unwrap_or(platform.sizes.archive_replicas),
            bindings: vec![kafka_binding(platform, User::Archive)],
            config: archive.config.clone(),
            lake: Some(JobLake {
                hdfs: external.is_none().then(|| part(platform, "hdfs")),
                binding_secret: external.map(|external| external.binding_secret.clone()),
                path: archive.path.clone(),
                compaction: Some(compaction),
                retention: archive.retention.clone(),
                ..JobLake::default()
            }),
            files: Vec::new(),
            tls: None,
            service: None,
            resources: Some(or_profile(archive.resources.as_ref(), &profile)),
            operation: Operation::default(),
            paused: false,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use serde_json::{Value, json};

    fn made(spec: Value) -> crate::reconcile::Resources<crate::reconcile::Prepared> {
        build(&validate(&platform(spec), live(None)).unwrap())
            .unwrap()
            .0
    }

    fn with(profile: &str, hdfs: Value) -> Value {
        json!({"profile": profile, "kafka": {}, "hdfs": hdfs, "archive": {}})
    }

    #[test]
    fn one_name_node_needs_no_zookeeper() {
        for profile in ["dev", "standard"] {
            let made = made(with(profile, json!({})));
            assert!(made.get::<ZooKeeperEnsemble>("p-zookeeper").is_none());
            let spec = made.get::<HdfsCluster>("p-hdfs").unwrap().spec;
            assert_eq!(spec.name_nodes.replicas, 1);
            assert!(spec.zookeeper.is_none() && spec.journal_nodes.is_none());
        }
        let job = made(with("dev", json!({})))
            .get::<StreamJob>("p-archive")
            .unwrap()
            .spec;
        let lake = job.lake.unwrap();
        assert_eq!(lake.hdfs.as_deref(), Some("p-hdfs"));
        assert_eq!(lake.compaction.unwrap().schedule, COMPACTION);
        assert_eq!(job.bindings, ["p-kafka-binding"]);
    }

    #[test]
    fn several_have_one_of_their_own() {
        let ha = made(with(
            "ha",
            json!({"nameNodes": {"storage": {"size": "20Gi", "storageClass": "fast"}}}),
        ));
        let ensemble = ha.get::<ZooKeeperEnsemble>("p-zookeeper").unwrap().spec;
        assert_eq!(ensemble.servers, 3);
        assert_eq!(ensemble.storage.storage_class.as_deref(), Some("fast"));
        let spec = ha.get::<HdfsCluster>("p-hdfs").unwrap().spec;
        assert_eq!((spec.name_nodes.replicas, spec.data_nodes.replicas), (2, 3));
        assert_eq!(
            spec.zookeeper.unwrap().ensemble.as_deref(),
            Some("p-zookeeper")
        );
        assert_eq!(spec.journal_nodes.unwrap().storage.size, "20Gi".into());
        assert!(spec.rack.is_some());
        let asked = made(with("dev", json!({"nameNodes": {"replicas": 2}})));
        assert!(asked.get::<ZooKeeperEnsemble>("p-zookeeper").is_some());
    }

    #[test]
    fn an_hdfs_of_somebody_else_is_only_written_to() {
        let made = made(with(
            "standard",
            json!({"external": {"bindingSecret": "theirs"}}),
        ));
        assert!(made.get::<HdfsCluster>("p-hdfs").is_none());
        let lake = made
            .get::<StreamJob>("p-archive")
            .unwrap()
            .spec
            .lake
            .unwrap();
        assert_eq!(
            (lake.hdfs, lake.binding_secret.as_deref()),
            (None, Some("theirs"))
        );
    }
}
