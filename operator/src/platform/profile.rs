//! What a profile stands for. Pure.

use super::crd::Profile;
use crate::druid::crd::WorkerKind;
use crate::mongo::crd::Engine;
use crate::types::{PodResources, Storage};

/// Sizes of everything, where the platform's spec says nothing.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Nodes of Kafka that are broker and controller in one; the number of each where `kafka_pools`.
    pub kafka_nodes: i32,
    /// Whether controllers and brokers are nodes of their own.
    pub kafka_pools: bool,
    /// Volume of a controller, where it is a node of its own.
    pub controller_storage: Storage,
    /// Memory and CPU of a controller, where it is a node of its own.
    pub controller: PodResources,
    /// Volume of a node of Kafka.
    pub kafka_storage: Storage,
    /// Memory and CPU of a node of Kafka.
    pub kafka: PodResources,
    /// Partitions of the topics that vehicles' records go to.
    pub partitions: i32,
    /// Pods of the gateway.
    pub gateway_replicas: i32,
    /// Memory and CPU of a pod of the gateway.
    pub gateway: PodResources,
    /// Pods of detect.
    pub detect_replicas: i32,
    /// Memory and CPU of a pod of detect.
    pub detect: PodResources,
    /// NameNodes of HDFS. With more than one there are three JournalNodes and a ZooKeeper of three servers.
    pub name_nodes: i32,
    /// Volume of a NameNode, and of a JournalNode.
    pub name_storage: Storage,
    /// Memory and CPU of a NameNode.
    pub name_node: PodResources,
    /// DataNodes of HDFS.
    pub data_nodes: i32,
    /// Volume of a DataNode.
    pub data_storage: Storage,
    /// Memory and CPU of a DataNode.
    pub data_node: PodResources,
    /// Volume of a server of ZooKeeper.
    pub zookeeper_storage: Storage,
    /// Volume of PostgreSQL.
    pub postgres_storage: Storage,
    /// Memory and CPU of PostgreSQL.
    pub postgres: PodResources,
    /// Druid.
    pub druid: DruidSizes,
    /// Which server MongoDB is.
    pub mongo_engine: Engine,
    /// Members of its replica set.
    pub mongo_members: i32,
    /// Volume of MongoDB.
    pub mongo_storage: Storage,
    /// Memory and CPU of MongoDB.
    pub mongo: PodResources,
    /// Pods of the archive.
    pub archive_replicas: i32,
    /// Volume of OpenWhisk.
    pub openwhisk_storage: Storage,
    /// Memory and CPU of OpenWhisk.
    pub openwhisk: PodResources,
    /// Pods of each dispatch.
    pub dispatch_replicas: i32,
    /// Memory and CPU of a pod of dispatch.
    pub dispatch: PodResources,
}

impl Sizes {
    /// Whether copies are spread over the zones of Kubernetes.
    #[must_use]
    pub fn racks(&self) -> bool {
        self.kafka_pools
    }
}

/// Sizes of Druid.
#[derive(Clone, Debug)]
pub struct DruidSizes {
    /// Servers of ZooKeeper.
    pub zookeepers: i32,
    /// Coordinators, where there is a PostgreSQL for what they know.
    pub coordinators: i32,
    /// Memory and CPU of a coordinator.
    pub coordinator: PodResources,
    /// Brokers.
    pub brokers: i32,
    /// Memory and CPU of a broker.
    pub broker: PodResources,
    /// Historicals.
    pub historicals: i32,
    /// Volume of a historical.
    pub historical_storage: Storage,
    /// Memory and CPU of a historical.
    pub historical: PodResources,
    /// What runs tasks.
    pub worker_kind: WorkerKind,
    /// Workers.
    pub workers: i32,
    /// Tasks that each runs at once.
    pub worker_capacity: i32,
    /// Volume of a worker.
    pub worker_storage: Storage,
    /// Memory and CPU of a worker.
    pub worker: PodResources,
    /// Routers.
    pub routers: i32,
    /// Memory and CPU of a router.
    pub router: PodResources,
    /// Tasks that share the partitions of telemetry.
    pub telemetry_tasks: i32,
    /// Tasks that read the same, so that one may be lost.
    pub task_replicas: i32,
}

fn druid(profile: Profile) -> DruidSizes {
    match profile {
        Profile::Dev => DruidSizes {
            zookeepers: 1,
            coordinators: 1,
            coordinator: pod("384Mi", "50m"),
            brokers: 1,
            broker: pod("384Mi", "50m"),
            historicals: 1,
            historical_storage: volume("2Gi"),
            historical: pod("384Mi", "50m"),
            worker_kind: WorkerKind::Indexer,
            workers: 1,
            worker_capacity: 4,
            worker_storage: volume("2Gi"),
            worker: pod("640Mi", "100m"),
            routers: 0,
            router: pod("256Mi", "20m"),
            telemetry_tasks: 1,
            task_replicas: 1,
        },
        Profile::Standard => DruidSizes {
            zookeepers: 1,
            coordinators: 1,
            coordinator: pod("1Gi", "100m"),
            brokers: 1,
            broker: pod("2Gi", "250m"),
            historicals: 2,
            historical_storage: volume("100Gi"),
            historical: pod("4Gi", "500m"),
            worker_kind: WorkerKind::MiddleManager,
            workers: 1,
            worker_capacity: 8,
            worker_storage: volume("50Gi"),
            worker: pod("8Gi", "1"),
            routers: 0,
            router: pod("256Mi", "50m"),
            telemetry_tasks: 2,
            task_replicas: 1,
        },
        Profile::Ha => DruidSizes {
            zookeepers: 3,
            coordinators: 2,
            coordinator: pod("2Gi", "250m"),
            brokers: 2,
            broker: pod("4Gi", "500m"),
            historicals: 3,
            historical_storage: volume("200Gi"),
            historical: pod("8Gi", "1"),
            worker_kind: WorkerKind::MiddleManager,
            workers: 3,
            worker_capacity: 6,
            worker_storage: volume("50Gi"),
            worker: pod("8Gi", "1"),
            routers: 2,
            router: pod("512Mi", "100m"),
            telemetry_tasks: 2,
            task_replicas: 2,
        },
    }
}

/// The sizes of a profile.
#[must_use]
pub fn sizes(profile: Profile) -> Sizes {
    match profile {
        Profile::Dev => Sizes {
            kafka_nodes: 1,
            kafka_pools: false,
            controller_storage: volume("1Gi"),
            controller: pod("512Mi", "100m"),
            kafka_storage: volume("2Gi"),
            kafka: pod("512Mi", "100m"),
            partitions: 3,
            gateway_replicas: 1,
            gateway: pod("192Mi", "50m"),
            detect_replicas: 1,
            detect: pod("192Mi", "50m"),
            name_nodes: 1,
            name_storage: volume("2Gi"),
            name_node: pod("512Mi", "50m"),
            data_nodes: 1,
            data_storage: volume("5Gi"),
            data_node: pod("384Mi", "50m"),
            zookeeper_storage: volume("1Gi"),
            postgres_storage: volume("2Gi"),
            postgres: pod("256Mi", "50m"),
            druid: druid(profile),
            mongo_engine: Engine::Wire,
            mongo_members: 1,
            mongo_storage: volume("1Gi"),
            mongo: pod("192Mi", "20m"),
            archive_replicas: 1,
            openwhisk_storage: volume("1Gi"),
            openwhisk: pod("512Mi", "50m"),
            dispatch_replicas: 1,
            dispatch: pod("128Mi", "20m"),
        },
        Profile::Standard => Sizes {
            // As former versions had it: a cluster that runs is not changed by an upgrade.
            kafka_nodes: 1,
            kafka_pools: false,
            controller_storage: volume("1Gi"),
            controller: pod("512Mi", "100m"),
            kafka_storage: volume("50Gi"),
            kafka: pod("4Gi", "1"),
            partitions: 12,
            gateway_replicas: 2,
            gateway: pod("512Mi", "250m"),
            detect_replicas: 2,
            detect: pod("512Mi", "250m"),
            name_nodes: 1,
            name_storage: volume("10Gi"),
            name_node: pod("2Gi", "250m"),
            data_nodes: 2,
            data_storage: volume("200Gi"),
            data_node: pod("1Gi", "250m"),
            zookeeper_storage: volume("2Gi"),
            postgres_storage: volume("50Gi"),
            postgres: pod("2Gi", "250m"),
            druid: druid(profile),
            mongo_engine: Engine::Mongodb,
            mongo_members: 1,
            mongo_storage: volume("20Gi"),
            mongo: pod("1Gi", "100m"),
            archive_replicas: 2,
            openwhisk_storage: volume("10Gi"),
            openwhisk: pod("2Gi", "500m"),
            dispatch_replicas: 2,
            dispatch: pod("256Mi", "100m"),
        },
        Profile::Ha => Sizes {
            kafka_nodes: 3,
            kafka_pools: true,
            controller_storage: volume("5Gi"),
            controller: pod("1Gi", "250m"),
            kafka_storage: volume("100Gi"),
            kafka: pod("4Gi", "1"),
            partitions: 24,
            gateway_replicas: 3,
            gateway: pod("512Mi", "250m"),
            detect_replicas: 3,
            detect: pod("512Mi", "250m"),
            name_nodes: 2,
            name_storage: volume("20Gi"),
            name_node: pod("4Gi", "500m"),
            data_nodes: 3,
            data_storage: volume("500Gi"),
            data_node: pod("2Gi", "500m"),
            zookeeper_storage: volume("5Gi"),
            postgres_storage: volume("100Gi"),
            postgres: pod("4Gi", "500m"),
            druid: druid(profile),
            mongo_engine: Engine::Mongodb,
            mongo_members: 3,
            mongo_storage: volume("50Gi"),
            mongo: pod("2Gi", "250m"),
            archive_replicas: 3,
            openwhisk_storage: volume("20Gi"),
            openwhisk: pod("4Gi", "1"),
            dispatch_replicas: 3,
            dispatch: pod("256Mi", "100m"),
        },
    }
}

fn pod(memory: &str, cpu: &str) -> PodResources {
    PodResources {
        memory: Some(memory.into()),
        cpu: Some(cpu.into()),
    }
}

fn volume(size: &str) -> Storage {
    Storage {
        size: size.into(),
        storage_class: None,
    }
}

/// What was asked for, and the profile's sizes for the rest.
#[must_use]
pub fn or_profile(asked: Option<&PodResources>, profile: &PodResources) -> PodResources {
    PodResources {
        memory: asked
            .and_then(|r| r.memory.clone())
            .or_else(|| profile.memory.clone()),
        cpu: asked
            .and_then(|r| r.cpu.clone())
            .or_else(|| profile.cpu.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_has_more_of_everything_that_can_have_more() {
        let (dev, standard) = (sizes(Profile::Dev), sizes(Profile::Standard));
        assert!(standard.partitions > dev.partitions);
        for replicas in [
            standard.gateway_replicas,
            standard.detect_replicas,
            standard.dispatch_replicas,
            standard.archive_replicas,
            standard.data_nodes,
        ] {
            assert!(replicas >= 2 && replicas <= standard.partitions);
        }
        assert_eq!(
            (standard.kafka_nodes, standard.kafka_pools),
            (1, false),
            "as it always was"
        );
    }

    #[test]
    fn ha_bears_the_loss_of_any_pod_that_can_have_others() {
        let ha = sizes(Profile::Ha);
        assert!(ha.kafka_pools && ha.name_nodes > 1);
        for number in [
            ha.kafka_nodes,
            ha.gateway_replicas,
            ha.detect_replicas,
            ha.dispatch_replicas,
            ha.archive_replicas,
            ha.data_nodes,
        ] {
            assert!(number >= 3 && number <= ha.partitions);
        }
    }

    #[test]
    fn what_was_asked_for_wins() {
        let asked = PodResources {
            memory: Some("1Gi".into()),
            cpu: None,
        };
        let given = or_profile(Some(&asked), &pod("128Mi", "10m"));
        assert_eq!(given, pod("1Gi", "10m"));
        assert_eq!(or_profile(None, &pod("128Mi", "10m")), pod("128Mi", "10m"));
    }
}
