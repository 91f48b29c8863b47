//! The rows: which fault makes which rules fire.

use super::row::{Late, Row};
use super::timeline::Expect;
use super::{rows_druid, rows_jobs, rows_kafka, rows_operator, rows_stores};

const fn one(rule: &'static str, of: &'static str) -> Expect {
    Expect::new(rule, of)
}

const OF_GATEWAY: &str = "\"pod\":\"d-gateway-";
const OF_DETECT: &str = "\"pod\":\"d-detect-";
const OF_ARCHIVE: &str = "\"pod\":\"d-archive-";
const OF_K: &str = "\"app_kubernetes_io_instance\":\"k\"";
const OF_DRUID: &str = "\"app_kubernetes_io_instance\":\"d-druid\"";
const OF_TAKEN: &str = "\"object\":\"taken\"";
const OF_BROKER: &str = "\"object\":\"d-kafka\"";
const OF_POSTGRES: &str = "\"object\":\"d-postgres\"";
const OF_DETECTED: &str = "\"stage\":\"detected\"";
const OF_NAMESPACE: &str = "\"namespace\":\"drill\"";

const KAFKA: (&str, &str) = ("kafkacluster", "k");
const BROKER: (&str, &str) = ("kafkacluster", "d-kafka");
const DRUID: (&str, &str) = ("druidcluster", "d-druid");
const GATEWAY: (&str, &str) = ("streamjob", "d-gateway");
const DETECT: (&str, &str) = ("streamjob", "d-detect");
const HDFS: (&str, &str) = ("hdfscluster", "d-hdfs");
const ARCHIVE: (&str, &str) = ("streamjob", "d-archive");

/// A canary that waited for long gets through.
const SLOW: &[Expect] = &[one("MillraceCanarySlow", OF_DETECTED)];

const JOBS: &[Row] = &[
    Row {
        fault: "a vehicle sends what is no telemetry",
        fires: &[one("MillraceDeadLetters", OF_GATEWAY)],
        provoke: rows_jobs::bad_input,
        late: None,
        well: &[GATEWAY],
    },
    Row {
        fault: "notifications for a vehicle that never connects",
        fires: &[one("MillraceNotificationsExpire", OF_NAMESPACE)],
        provoke: rows_jobs::nobody_hears,
        late: None,
        well: &[GATEWAY],
    },
    Row {
        fault: "zones that are no GeoJSON in their ConfigMap, and in its Secret a certificate with another one's key",
        fires: &[
            one("MillraceDetectRulesRefused", OF_DETECT),
            one("MillraceCertificateRejected", OF_GATEWAY),
        ],
        provoke: rows_jobs::bad_files,
        late: None,
        well: &[GATEWAY, DETECT],
    },
    Row {
        fault: "at the address to which an OpenWhisk tells its runs is no gateway",
        fires: &[one("MillraceRunsUntold", "\"pod\":\"audited-0\"")],
        provoke: rows_jobs::no_gateway,
        late: None,
        well: &[],
    },
    // After the one before: what ran for that failed, too.
    Row {
        fault: "an action gets what it cannot read",
        fires: &[one("MillraceActionsFail", OF_NAMESPACE)],
        provoke: rows_jobs::action_fails,
        late: None,
        well: &[],
    },
    Row {
        fault: "records that are no JSON come to an event source without a topic of dead letters",
        fires: &[one(
            "MillraceRecordsDropped",
            "\"app_kubernetes_io_instance\":\"junk\"",
        )],
        provoke: rows_jobs::junk,
        late: None,
        well: &[],
    },
];

const NODES: &[Row] = &[
    Row {
        fault: "one of three nodes of Kafka crashes again and again (kill -9)",
        fires: &[
            one("MillraceTargetDown", "\"pod\":\"k-n-2\""),
            one("MillraceKafkaUnderReplicated", OF_K),
            one("MillraceKafkaUnderMinIsr", OF_K),
            one("MillraceKafkaOfflinePartitions", OF_K),
        ],
        provoke: rows_kafka::one_node,
        late: None,
        well: &[KAFKA],
    },
    Row {
        fault: "two of three nodes of Kafka, controllers too, crash again and again (kill -9)",
        fires: &[one("MillraceKafkaNoController", OF_K)],
        provoke: rows_kafka::two_nodes,
        late: None,
        well: &[KAFKA],
    },
    Row {
        fault: "a volume of a node of Kafka is full to the last byte",
        fires: &[one("MillraceKafkaVolumeFailed", "\"pod\":\"k-n-1\"")],
        provoke: rows_kafka::volume_full,
        late: None,
        well: &[KAFKA],
    },
];

const STORES: &[Row] = &[
    // It has to be the first: Druid reads the same topic, and has read what is removed only while the rows beside this one
    // leave its worker alone, as the first two of QUESTIONS do.
    Row {
        fault: "records are removed from Kafka while the archive stands still (kill -STOP)",
        fires: &[one("MillraceRecordsMissing", OF_ARCHIVE)],
        provoke: rows_stores::removed_too_soon,
        late: None,
        well: &[ARCHIVE],
    },
    Row {
        fault: "more than four of five sessions of a PostgreSQL are open, one of them amid a transaction",
        fires: &[
            one("MillracePostgresSessions", OF_POSTGRES),
            one("MillracePostgresLongTransaction", OF_POSTGRES),
        ],
        provoke: rows_stores::sessions,
        late: None,
        well: &[("postgrescluster", "d-postgres")],
    },
    Row {
        fault: "the only NameNode crashes again and again (kill -9)",
        fires: &[one("MillraceArchiveBehind", OF_ARCHIVE)],
        provoke: rows_stores::no_name_node,
        late: None,
        well: &[HDFS, ARCHIVE],
    },
];

const QUESTIONS: &[Row] = &[
    Row {
        fault: "questions to Druid that may take one millisecond and one byte",
        fires: &[one("MillraceDruidQueriesFail", OF_DRUID)],
        provoke: rows_druid::impossible_questions,
        late: None,
        well: &[DRUID],
    },
    Row {
        fault: "tasks of Druid whose input is no JSON",
        fires: &[one("MillraceDruidTasksFail", "\"dataSource\":\"drill\"")],
        provoke: rows_druid::unreadable_input,
        late: None,
        well: &[DRUID],
    },
    Row {
        fault: "the only historical of Druid crashes again and again (kill -9)",
        fires: &[one(
            "MillraceDruidUnavailable",
            "\"dataSource\":\"telemetry\"",
        )],
        provoke: rows_druid::no_historical,
        late: None,
        well: &[DRUID],
    },
    Row {
        fault: "the only worker of Druid crashes again and again (kill -9)",
        fires: &[one("MillraceAnswersOld", "\"object\":\"d\"")],
        provoke: rows_druid::no_worker,
        late: None,
        well: &[DRUID],
    },
    Row {
        fault: "a historical of Druid may load no more than it has loaded (a changed setting, for which all servers restart)",
        fires: &[one(
            "MillraceDruidVolumeFull",
            "\"pod\":\"d-druid-historical-0\"",
        )],
        provoke: rows_druid::small_historical,
        late: None,
        well: &[DRUID],
    },
];

const ASKED: &[Row] = &[
    Row {
        fault: "somebody else has a ConfigMap of the name that a new resource needs",
        fires: &[
            one("MillraceReconcileErrors", "\"component\":\"zookeeper\""),
            one("MillraceDegraded", OF_TAKEN),
            one("MillraceUnavailable", OF_TAKEN),
        ],
        provoke: rows_operator::name_taken,
        late: None,
        well: &[],
    },
    Row {
        fault: "a workload is changed by hand, and its marks are taken off",
        fires: &[one("MillraceRestartsPending", "\"object\":\"spare\"")],
        provoke: rows_operator::without_marks,
        late: None,
        well: &[],
    },
];

/// Rows that touch nothing of each other: each list goes on beside the others.
pub const BESIDE: &[&[Row]] = &[JOBS, NODES, STORES, QUESTIONS, ASKED];

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Row> {
    BESIDE.iter().copied().flatten().chain(ALONE).chain(LAST)
}

/// Rows whose fault everything feels, one after the other, when those are over.
pub const ALONE: &[Row] = &[
    Row {
        fault: "the topic of detection's states takes no record",
        fires: &[
            one("MillraceDetectAborts", OF_DETECT),
            one("MillraceCanaryStuck", OF_DETECTED),
            one("MillraceLag", OF_DETECTED),
        ],
        provoke: rows_jobs::no_states,
        late: Some(Late {
            fires: SLOW,
            settle: rows_jobs::usual_canaries,
        }),
        well: &[DETECT],
    },
    Row {
        fault: "the volume of the platform's only broker is 97 % full",
        fires: &[
            one("MillraceDiskFull", OF_BROKER),
            one("MillraceDiskFilling", OF_BROKER),
            one("MillraceGatewayThrottled", OF_NAMESPACE),
        ],
        provoke: rows_kafka::nearly_full,
        late: None,
        well: &[BROKER, GATEWAY],
    },
    Row {
        fault: "the platform's only broker crashes again and again (kill -9), while a vehicle sends",
        fires: &[
            one("MillraceGatewayRefuses", OF_NAMESPACE),
            one("MillraceTargetDown", "\"pod\":\"d-kafka-0\""),
            one("MillraceUnavailable", OF_BROKER),
        ],
        provoke: rows_kafka::only_broker,
        late: None,
        well: &[BROKER, GATEWAY, DETECT],
    },
    Row {
        fault: "a broker of Druid whose Java has half a mebibyte for young objects, while it plans long questions",
        fires: &[one("MillraceDruidMemory", "\"pod\":\"d-druid-broker-0\"")],
        provoke: rows_druid::little_room,
        late: None,
        well: &[DRUID],
    },
    Row {
        fault: "three clients write 10,000 records a second each to a Kafka with one thread for requests, which flushes each record",
        fires: &[one("MillraceKafkaBusy", OF_K)],
        provoke: rows_kafka::busy,
        late: None,
        well: &[KAFKA],
    },
];

/// Rows that come when all alerts of the others are silent: without a leader nothing is told of resources, and an alert about
/// one would be silent for that.
pub const LAST: &[Row] = &[Row {
    fault: "something else has the operator's Lease, and renews it",
    fires: &[one("MillraceNoLeader", "")],
    provoke: rows_operator::lease_taken,
    late: None,
    well: &[],
}];

/// Rules that no fault makes fire here, and why.
pub const NOT_PROVOKED: &[(&str, &str)] = &[
    (
        "MillraceMongoSessions",
        "it is about the engine `mongodb`, of which there is no server here",
    ),
    (
        "MillraceMongoBehind",
        "it is about the engine `mongodb`, of which there is no server here",
    ),
];
