//! The one table of who may speak to whom.

use crate::batch::{
    BALLISTA as BALLISTA_COMPONENT, EXECUTOR_PORT as BALLISTA_EXECUTOR,
    SCHEDULER_PORT as BALLISTA_SCHEDULER,
};
use crate::druid::{BROKER_PORT, COORDINATOR_PORT, ROUTER_PORT, WORKER_PORT};
use crate::ingestion::reindex::{COMPONENT as REINDEX_COMPONENT, ROWS_PORT};
use crate::job::{HTTP_PORT, HTTPS_PORT, METRICS_PORT, MQTT_PORT, MQTTS_PORT};
use crate::mongo::{BACKUP_COMPONENT, PORT as MONGO_PORT};
use crate::openwhisk::{
    ACTION as ACTION_COMPONENT, ACTION_PORT, API_PORT, CONTROLLER as CONTROLLER_ROLE,
    IMAGE_ACTION as IMAGE_ACTION_COMPONENT, INVOKER as INVOKER_COMPONENT, ROLE_LABEL,
};
use crate::pods::exporter;
use crate::postgres::PORT as POSTGRES_PORT;
use crate::postgres::backup::{
    ARCHIVE_COMPONENT as POSTGRES_ARCHIVE_COMPONENT, ARCHIVE_PORT as POSTGRES_ARCHIVE_PORT,
    BACKUP_COMPONENT as POSTGRES_BACKUP_COMPONENT,
};
use crate::postgres::patroni::API_PORT as PATRONI_PORT;

/// One end of an edge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Pods of a component, by the label `app.kubernetes.io/name`, in the same namespace.
    Component(&'static str),
    /// Those of them that carry one more label too: component, label and its value.
    Part(&'static str, &'static str, &'static str),
    /// The operator.
    Operator,
    /// Pods of users, in any namespace, with the label `millrace.dev/uses-COMPONENT: "true"`.
    Clients,
    /// Pods in the namespaces that may read metrics.
    Monitoring,
    /// Any address, of pods too, but for the link-local ones, where clouds serve credentials.
    Anywhere,
}

/// Who may open connections to whom, and why. All are TCP.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Who connects.
    pub from: Peer,
    /// To whom.
    pub to: Peer,
    /// To which ports; all of them when empty.
    pub ports: &'static [i32],
    /// Why.
    pub why: &'static str,
}

const KAFKA: Peer = Peer::Component("kafka");
const ZOOKEEPER: Peer = Peer::Component("zookeeper");
const HDFS: Peer = Peer::Component("hdfs");
const GATEWAY: Peer = Peer::Component("gateway");
const DETECT: Peer = Peer::Component("detect");
const DISPATCH: Peer = Peer::Component("dispatch");
const ARCHIVE: Peer = Peer::Component("archive");
const LAKE_MAINTENANCE: Peer = Peer::Component("lake-maintenance");
const BATCH: Peer = Peer::Component("batch");
const REINDEX: Peer = Peer::Component(REINDEX_COMPONENT);
/// Scheduler and executors of a batch job with engine ballista.
const BALLISTA: Peer = Peer::Component(BALLISTA_COMPONENT);
const OPENWHISK: Peer = Peer::Component("openwhisk");
/// The controller of an Apache OpenWhisk, which has the name of the embedded server: that one runs code of users itself.
const CONTROLLER: Peer = Peer::Part("openwhisk", ROLE_LABEL, CONTROLLER_ROLE);
/// Invokers of an Apache OpenWhisk.
const INVOKER: Peer = Peer::Component(INVOKER_COMPONENT);
/// The pods that an Apache OpenWhisk starts for actions.
const ACTION: Peer = Peer::Component(ACTION_COMPONENT);
/// The pods that the embedded OpenWhisk starts for actions that bring an image.
const IMAGE_ACTION: Peer = Peer::Component(IMAGE_ACTION_COMPONENT);
const MATERIALIZE: Peer = Peer::Component("materialize");
const MONGO: Peer = Peer::Component("mongo");
const MONGO_BACKUP: Peer = Peer::Component(BACKUP_COMPONENT);
const POSTGRES: Peer = Peer::Component("postgres");
const POSTGRES_BACKUP: Peer = Peer::Component(POSTGRES_BACKUP_COMPONENT);
/// What takes in the log of several members.
const POSTGRES_ARCHIVE: Peer = Peer::Component(POSTGRES_ARCHIVE_COMPONENT);
const DRUID: Peer = Peer::Component("druid");

/// Listeners of Kafka for its clients: without and with TLS.
const KAFKA_CLIENTS: &[i32] = &[9092, 9094];
/// Listeners of Kafka for its own nodes: brokers by mutual TLS, without TLS, the quorum.
const KAFKA_NODES: &[i32] = &[9091, 9092, 9093];
/// Listeners of Kafka that the operator administers it by.
const KAFKA_ADMIN: &[i32] = &[9091, 9092, 9093, 9094];
const KAFKA_EXTERNAL: &[i32] = &[9095];
const SCHEDULER: &[i32] = &[BALLISTA_SCHEDULER];
/// Tasks are asked for at the scheduler, and results fetched from executors.
const BALLISTA_PORTS: &[i32] = &[BALLISTA_SCHEDULER, BALLISTA_EXECUTOR];
/// ZooKeeper for its clients.
const ZOOKEEPER_CLIENTS: &[i32] = &[2181];
/// ZooKeeper for its own servers.
const ZOOKEEPER_SERVERS: &[i32] = &[2181, 2888, 3888];
/// NameNodes, and DataNodes for blocks and questions.
const HDFS_CLIENTS: &[i32] = &[8020, 9864, 9866, 9867, 9870];
/// All of them, fail-over controllers and JournalNodes.
const HDFS_SERVERS: &[i32] = &[8019, 8020, 8480, 8485, 9864, 9866, 9867, 9870];
const HDFS_TOLD: &[i32] = &[8480, 9870];
const HDFS_METRICS: &[i32] = &[8480, 9864, 9870];
const EXPORTER: &[i32] = &[exporter::PORT];
const GATEWAY_PORTS: &[i32] = &[HTTP_PORT, MQTT_PORT, HTTPS_PORT, MQTTS_PORT];
const GATEWAY_HTTP: &[i32] = &[HTTP_PORT, HTTPS_PORT];
const METRICS: &[i32] = &[METRICS_PORT];
const WHISK: &[i32] = &[API_PORT];
const ACTIONS: &[i32] = &[ACTION_PORT];
const SQL: &[i32] = &[POSTGRES_PORT];
/// PostgreSQL, and Patroni beside it.
const SQL_MEMBERS: &[i32] = &[POSTGRES_PORT, PATRONI_PORT];
const SQL_ARCHIVE: &[i32] = &[POSTGRES_ARCHIVE_PORT];
const DOCUMENTS: &[i32] = &[MONGO_PORT];
/// Brokers, and routers in front of everything.
const DRUID_CLIENTS: &[i32] = &[BROKER_PORT, ROUTER_PORT];
/// Coordinators, which are overlords too, and routers in front of them.
const DRUID_TASKS: &[i32] = &[COORDINATOR_PORT, ROUTER_PORT];
const ROWS: &[i32] = &[ROWS_PORT];
/// Coordinators, brokers, workers and routers, which the operator asks.
const DRUID_TOLD: &[i32] = &[COORDINATOR_PORT, BROKER_PORT, WORKER_PORT, ROUTER_PORT];

const fn edge(from: Peer, to: Peer, ports: &'static [i32], why: &'static str) -> Edge {
    Edge {
        from,
        to,
        ports,
        why,
    }
}

/// All edges. DNS, which everybody needs, is not among them: see [`policy`](super::policy).
pub const EDGES: &[Edge] = &[
    edge(KAFKA, KAFKA, KAFKA_NODES, "replication and the quorum"),
    edge(
        GATEWAY,
        KAFKA,
        KAFKA_CLIENTS,
        "telemetry in, notifications out",
    ),
    edge(DETECT, KAFKA, KAFKA_CLIENTS, "telemetry, alerts, its state"),
    edge(
        DISPATCH,
        KAFKA,
        KAFKA_CLIENTS,
        "records to bring, dead letters",
    ),
    edge(ARCHIVE, KAFKA, KAFKA_CLIENTS, "records to archive"),
    edge(Peer::Clients, KAFKA, KAFKA_CLIENTS, "clients of users"),
    edge(Peer::Operator, KAFKA, KAFKA_ADMIN, "topics, users, rolls"),
    edge(
        Peer::Anywhere,
        KAFKA,
        KAFKA_EXTERNAL,
        "the external listener",
    ),
    edge(
        ZOOKEEPER,
        ZOOKEEPER,
        ZOOKEEPER_SERVERS,
        "elections and the log",
    ),
    edge(
        HDFS,
        ZOOKEEPER,
        ZOOKEEPER_CLIENTS,
        "which NameNode is active",
    ),
    edge(
        Peer::Clients,
        ZOOKEEPER,
        ZOOKEEPER_CLIENTS,
        "clients of users",
    ),
    edge(
        Peer::Operator,
        ZOOKEEPER,
        ZOOKEEPER_CLIENTS,
        "who leads, rolls",
    ),
    edge(HDFS, HDFS, HDFS_SERVERS, "blocks, the log, fail-over"),
    edge(ARCHIVE, HDFS, HDFS_CLIENTS, "files of the lake"),
    edge(
        LAKE_MAINTENANCE,
        HDFS,
        HDFS_CLIENTS,
        "files that are compacted",
    ),
    edge(BATCH, HDFS, HDFS_CLIENTS, "files of the lake to read"),
    edge(BATCH, BALLISTA, SCHEDULER, "days that executors compute"),
    edge(
        BALLISTA,
        BALLISTA,
        BALLISTA_PORTS,
        "tasks and their results",
    ),
    edge(BALLISTA, HDFS, HDFS_CLIENTS, "files of the lake to read"),
    edge(REINDEX, HDFS, HDFS_CLIENTS, "days of the lake to read"),
    edge(Peer::Clients, HDFS, HDFS_CLIENTS, "clients of users"),
    edge(
        Peer::Operator,
        HDFS,
        HDFS_TOLD,
        "what NameNodes and JournalNodes say, rolls, directories",
    ),
    edge(Peer::Monitoring, HDFS, HDFS_METRICS, "metrics"),
    edge(Peer::Monitoring, KAFKA, EXPORTER, "metrics"),
    edge(Peer::Monitoring, ZOOKEEPER, EXPORTER, "metrics"),
    edge(Peer::Monitoring, DRUID, EXPORTER, "metrics"),
    edge(
        MATERIALIZE,
        KAFKA,
        KAFKA_CLIENTS,
        "records to make documents of, dead letters",
    ),
    edge(MATERIALIZE, MONGO, DOCUMENTS, "documents"),
    edge(
        OPENWHISK,
        MONGO,
        DOCUMENTS,
        "profiles and offers of actions",
    ),
    edge(MONGO, MONGO, DOCUMENTS, "replication and elections"),
    edge(MONGO_BACKUP, MONGO, DOCUMENTS, "dumps"),
    edge(
        Peer::Operator,
        MONGO,
        DOCUMENTS,
        "members, users, passwords, rolls",
    ),
    edge(Peer::Clients, MONGO, DOCUMENTS, "clients of users"),
    edge(Peer::Monitoring, MATERIALIZE, METRICS, "metrics"),
    edge(Peer::Operator, MATERIALIZE, METRICS, "lag and throughput"),
    edge(BATCH, POSTGRES, SQL, "scores"),
    edge(BATCH, GATEWAY, GATEWAY_HTTP, "scores that are told"),
    edge(BATCH, MONGO, DOCUMENTS, "drivers who are erased"),
    edge(POSTGRES_BACKUP, POSTGRES, SQL, "base backups"),
    edge(
        POSTGRES_ARCHIVE,
        POSTGRES,
        SQL,
        "the log of several members",
    ),
    edge(
        Peer::Operator,
        POSTGRES_ARCHIVE,
        SQL_ARCHIVE,
        "how their archive stands",
    ),
    edge(Peer::Clients, POSTGRES, SQL, "clients of users"),
    edge(
        POSTGRES,
        POSTGRES,
        SQL_MEMBERS,
        "replication, and who is the primary",
    ),
    edge(
        Peer::Operator,
        POSTGRES,
        SQL_MEMBERS,
        "databases, roles, passwords, switchovers",
    ),
    // Tasks of middle managers have ports as they come.
    edge(DRUID, DRUID, &[], "questions, tasks, segments to load"),
    edge(
        DRUID,
        ZOOKEEPER,
        ZOOKEEPER_CLIENTS,
        "who is there and leads",
    ),
    edge(DRUID, KAFKA, KAFKA_CLIENTS, "records to take in"),
    edge(DRUID, HDFS, HDFS_CLIENTS, "segments"),
    edge(DRUID, POSTGRES, SQL, "what Druid knows"),
    edge(
        REINDEX,
        DRUID,
        DRUID_TASKS,
        "tasks that load days of the lake",
    ),
    edge(DRUID, REINDEX, ROWS, "rows of these days"),
    edge(Peer::Clients, DRUID, DRUID_CLIENTS, "questions of users"),
    edge(
        Peer::Operator,
        DRUID,
        DRUID_TOLD,
        "supervisors, lag, drains, rolls",
    ),
    edge(
        Peer::Anywhere,
        GATEWAY,
        GATEWAY_PORTS,
        "vehicles and people",
    ),
    edge(Peer::Operator, GATEWAY, GATEWAY_HTTP, "the flow of events"),
    edge(
        OPENWHISK,
        GATEWAY,
        GATEWAY_HTTP,
        "actions notify vehicles, and which actions ran is told",
    ),
    edge(
        OPENWHISK,
        Peer::Anywhere,
        &[],
        "webhooks and mail of actions",
    ),
    edge(DISPATCH, OPENWHISK, WHISK, "invocations"),
    edge(
        CONTROLLER,
        KAFKA,
        KAFKA_CLIENTS,
        "activations that invokers get (mode apache)",
    ),
    edge(CONTROLLER, ACTION, ACTIONS, "activations (mode lean)"),
    edge(INVOKER, KAFKA, KAFKA_CLIENTS, "activations"),
    edge(INVOKER, MONGO, DOCUMENTS, "actions and records"),
    edge(INVOKER, ACTION, ACTIONS, "activations"),
    edge(
        INVOKER,
        Peer::Anywhere,
        &[],
        "Kubernetes, which starts pods of actions",
    ),
    edge(ACTION, OPENWHISK, WHISK, "actions that invoke others"),
    edge(ACTION, GATEWAY, GATEWAY_HTTP, "actions notify vehicles"),
    edge(ACTION, MONGO, DOCUMENTS, "profiles and offers of actions"),
    edge(ACTION, Peer::Anywhere, &[], "webhooks and mail of actions"),
    edge(
        OPENWHISK,
        IMAGE_ACTION,
        ACTIONS,
        "activations of actions that bring an image",
    ),
    edge(IMAGE_ACTION, OPENWHISK, WHISK, "actions that invoke others"),
    edge(
        IMAGE_ACTION,
        GATEWAY,
        GATEWAY_HTTP,
        "actions notify vehicles",
    ),
    edge(
        IMAGE_ACTION,
        MONGO,
        DOCUMENTS,
        "profiles and offers of actions",
    ),
    edge(
        IMAGE_ACTION,
        Peer::Anywhere,
        &[],
        "webhooks and mail of actions",
    ),
    edge(Peer::Clients, OPENWHISK, WHISK, "clients of users"),
    edge(Peer::Operator, OPENWHISK, WHISK, "actions, triggers, rules"),
    edge(Peer::Monitoring, GATEWAY, METRICS, "metrics"),
    edge(Peer::Monitoring, DETECT, METRICS, "metrics"),
    edge(Peer::Monitoring, DISPATCH, METRICS, "metrics"),
    edge(Peer::Monitoring, ARCHIVE, METRICS, "metrics"),
    edge(Peer::Monitoring, OPENWHISK, METRICS, "metrics"),
    edge(Peer::Operator, GATEWAY, METRICS, "lag and throughput"),
    edge(Peer::Operator, DETECT, METRICS, "lag and throughput"),
    edge(Peer::Operator, DISPATCH, METRICS, "lag and throughput"),
];
