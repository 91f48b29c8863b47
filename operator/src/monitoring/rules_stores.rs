//! The alert rules about PostgreSQL, MongoDB and the lake.

use super::rules::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "MillracePostgresSessions",
        severity: "warning",
        expr: "millrace_operator_postgres_connections > 0.8 * millrace_operator_postgres_connections_limit",
        wait: "10m",
        summary: "More than four of five sessions that a PostgreSQL allows are open; soon clients are refused",
        cure: "`SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2`: end those that are idle, limit a role (`connectionLimit`), or raise `max_connections` in `spec.config`.",
        fires: &[
            (
                r#"millrace_operator_postgres_connections{object_namespace="m",object="p"}"#,
                "90x150",
            ),
            (
                r#"millrace_operator_postgres_connections_limit{object_namespace="m",object="p"}"#,
                "100x150",
            ),
        ],
        silent: &[
            (
                r#"millrace_operator_postgres_connections{object_namespace="m",object="p"}"#,
                "95x5 60x144",
            ),
            (
                r#"millrace_operator_postgres_connections_limit{object_namespace="m",object="p"}"#,
                "100x150",
            ),
        ],
    },
    Rule {
        name: "MillracePostgresLongTransaction",
        severity: "warning",
        expr: "millrace_operator_postgres_longest_transaction_seconds > 3600",
        wait: "5m",
        summary: "A transaction of a PostgreSQL is open for more than an hour: rows that were replaced cannot be removed meanwhile",
        cure: "`SELECT pid, usename, state, xact_start, query FROM pg_stat_activity ORDER BY xact_start`; `pg_terminate_backend(pid)` ends one that was forgotten.",
        fires: &[(
            r#"millrace_operator_postgres_longest_transaction_seconds{object_namespace="m",object="p"}"#,
            "0+60x150",
        )],
        silent: &[(
            r#"millrace_operator_postgres_longest_transaction_seconds{object_namespace="m",object="p"}"#,
            "4000x4 0x145",
        )],
    },
    Rule {
        name: "MillraceMongoSessions",
        severity: "warning",
        expr: "millrace_operator_mongo_connections > 0.8 * millrace_operator_mongo_connections_limit",
        wait: "10m",
        summary: "More than four of five connections that a member of a MongoDB takes are open; soon clients are refused",
        cure: "`db.currentOp(true)` and `db.serverStatus().connections`: who opens them; smaller pools of clients, or a larger `net.maxIncomingConnections`.",
        fires: &[
            (
                r#"millrace_operator_mongo_connections{object_namespace="m",object="d",member="d-0"}"#,
                "90x150",
            ),
            (
                r#"millrace_operator_mongo_connections_limit{object_namespace="m",object="d",member="d-0"}"#,
                "100x150",
            ),
        ],
        silent: &[
            (
                r#"millrace_operator_mongo_connections{object_namespace="m",object="d",member="d-0"}"#,
                "95x5 60x144",
            ),
            (
                r#"millrace_operator_mongo_connections_limit{object_namespace="m",object="d",member="d-0"}"#,
                "100x150",
            ),
        ],
    },
    Rule {
        name: "MillraceMongoBehind",
        severity: "warning",
        expr: "millrace_operator_mongo_lag_seconds > 60",
        wait: "10m",
        summary: "A member of a MongoDB is more than a minute behind: it cannot take over, and what is lost with the primary grows",
        cure: "`rs.printSecondaryReplicationInfo()`; its log, its CPU and its volume.",
        fires: &[(
            r#"millrace_operator_mongo_lag_seconds{object_namespace="m",object="d",member="d-1"}"#,
            "0+2x150",
        )],
        silent: &[(
            r#"millrace_operator_mongo_lag_seconds{object_namespace="m",object="d",member="d-1"}"#,
            "90x5 1x144",
        )],
    },
    Rule {
        name: "MillraceArchiveBehind",
        severity: "warning",
        expr: "time() - (millrace_archive_oldest_unarchived_timestamp_seconds > 0) > 5400",
        wait: "10m",
        summary: "Events wait for more than an hour and a half to be archived; the topic's retention must not reach them",
        cure: "Log of the archive job, then HDFS: safe mode, full DataNodes. Meanwhile lengthen the retention of the topic.",
        fires: &[(
            r#"millrace_archive_oldest_unarchived_timestamp_seconds{pod="a",partition="0"}"#,
            "1x150",
        )],
        silent: &[
            (
                r#"millrace_archive_oldest_unarchived_timestamp_seconds{pod="a",partition="0"}"#,
                "0x150",
            ),
            (
                r#"millrace_archive_oldest_unarchived_timestamp_seconds{pod="a",partition="1"}"#,
                "1+60x150",
            ),
        ],
    },
    Rule {
        name: "MillraceRecordsMissing",
        severity: "critical",
        expr: "increase(millrace_archive_missing_records_total[1h]) > 0",
        wait: "0s",
        summary: "Kafka removed records before they were archived: they are lost to the lake",
        cure: "Lengthen the retention of the topic, and see why the archive was behind.",
        fires: &[(
            r#"millrace_archive_missing_records_total{pod="a"}"#,
            "0x140 8x9",
        )],
        silent: &[(
            r#"millrace_archive_missing_records_total{pod="a"}"#,
            "8x150",
        )],
    },
];
