//! The alert rules, each with series by which it fires and series by which it does not.

/// An alert rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name.
    pub name: &'static str,
    /// `critical`: somebody is not served, or data is about to be lost; `warning`: somebody has to look soon; `info`.
    pub severity: &'static str,
    /// The expression.
    pub expr: &'static str,
    /// How long it holds before it fires.
    pub wait: &'static str,
    /// What it says.
    pub summary: &'static str,
    /// What to do.
    pub cure: &'static str,
    /// Series, one value a minute, by which it fires within two and a half hours.
    pub fires: &'static [Series],
    /// Series by which it does not.
    pub silent: &'static [Series],
}

/// A series and its values, in the notation of promtool.
pub(super) type Series = (&'static str, &'static str);

/// All rules.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().chain(super::rules_kafka::RULES)
}

/// Those about the platform, its jobs and actions.
const RULES: &[Rule] = &[
    Rule {
        name: "MillraceTargetDown",
        severity: "critical",
        expr: r#"up{app_kubernetes_io_part_of="millrace"} == 0"#,
        wait: "5m",
        summary: "A pod of Millrace does not answer Prometheus",
        cure: "`kubectl describe pod` and its log. If it is ready, a NetworkPolicy keeps Prometheus out: `networkPolicy.metricsFrom`.",
        fires: &[(
            r#"up{app_kubernetes_io_part_of="millrace",pod="a"}"#,
            "0x150",
        )],
        silent: &[
            (
                r#"up{app_kubernetes_io_part_of="millrace",pod="a"}"#,
                "1 1 0 1x147",
            ),
            (r#"up{job="other"}"#, "0x150"),
        ],
    },
    Rule {
        name: "MillraceNoLeader",
        severity: "critical",
        expr: "sum(millrace_operator_leader) == 0",
        wait: "5m",
        summary: "No operator leads: nothing that changes is acted upon",
        cure: "Log of the operator's pods; can they write the Lease in their namespace?",
        fires: &[
            ("millrace_operator_leader{pod=\"a\"}", "0x150"),
            ("millrace_operator_leader{pod=\"b\"}", "0x150"),
        ],
        silent: &[
            ("millrace_operator_leader{pod=\"a\"}", "0x150"),
            ("millrace_operator_leader{pod=\"b\"}", "1x150"),
        ],
    },
    Rule {
        name: "MillraceReconcileErrors",
        severity: "warning",
        expr: r#"sum by (component) (rate(millrace_operator_reconciles_total{outcome!="ok"}[10m])) > 0"#,
        wait: "15m",
        summary: "The operator fails again and again on a component",
        cure: "`kubectl get millrace -A`: the condition Degraded names the field and the cure.",
        fires: &[(
            r#"millrace_operator_reconciles_total{component="kafka",outcome="Invalid"}"#,
            "0+1x150",
        )],
        silent: &[
            (
                r#"millrace_operator_reconciles_total{component="kafka",outcome="ok"}"#,
                "0+1x150",
            ),
            (
                r#"millrace_operator_reconciles_total{component="kafka",outcome="Invalid"}"#,
                "3x150",
            ),
        ],
    },
    Rule {
        name: "MillraceUnavailable",
        severity: "critical",
        expr: "millrace_operator_object_available == 0",
        wait: "5m",
        summary: "A resource does not serve",
        cure: "`millrace status`, and the message of its condition Available.",
        fires: &[(
            r#"millrace_operator_object_available{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "1 0x149",
        )],
        silent: &[(
            r#"millrace_operator_object_available{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "0 0 1x148",
        )],
    },
    Rule {
        name: "MillraceDegraded",
        severity: "warning",
        expr: "millrace_operator_object_degraded == 1",
        wait: "15m",
        summary: "A resource is not as it is asked to be",
        cure: "The message of its condition Degraded. Of HDFS it also tells missing blocks.",
        fires: &[(
            r#"millrace_operator_object_degraded{kind="HdfsCluster",object_namespace="m",object="h"}"#,
            "1x150",
        )],
        silent: &[(
            r#"millrace_operator_object_degraded{kind="HdfsCluster",object_namespace="m",object="h"}"#,
            "1x10 0x139",
        )],
    },
    Rule {
        name: "MillraceRestartsPending",
        severity: "info",
        expr: "millrace_operator_pending_restarts > 0",
        wait: "1h",
        summary: "Restarts wait for approval",
        cure: "`millrace approve` lists them and which fields differ; approve them, or set maintenance windows.",
        fires: &[(
            r#"millrace_operator_pending_restarts{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "2x150",
        )],
        silent: &[(
            r#"millrace_operator_pending_restarts{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "2x20 0x129",
        )],
    },
    Rule {
        name: "MillraceDiskFilling",
        severity: "warning",
        expr: "millrace_operator_disk_used_percent >= 80",
        wait: "15m",
        summary: "A volume is 80 % full and more",
        cure: "Make it larger (`storage.size`) or let it grow (`storageGrowth`), or keep less: retention of topics, `kubectl get` with `-o wide` names the fullest.",
        fires: &[(
            r#"millrace_operator_disk_used_percent{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "80x150",
        )],
        silent: &[(
            r#"millrace_operator_disk_used_percent{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "75x150",
        )],
    },
    Rule {
        name: "MillraceDiskFull",
        severity: "critical",
        expr: "millrace_operator_disk_used_percent >= 95",
        wait: "1m",
        summary: "A volume is as good as full; of Kafka: the gateway takes no telemetry in",
        cure: "Make it larger now (`storage.size`).",
        fires: &[(
            r#"millrace_operator_disk_used_percent{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "95x150",
        )],
        silent: &[(
            r#"millrace_operator_disk_used_percent{kind="KafkaCluster",object_namespace="m",object="k"}"#,
            "90x150",
        )],
    },
    Rule {
        name: "MillraceCanaryStuck",
        severity: "critical",
        expr: "millrace_operator_flow_canary_stuck == 1",
        wait: "2m",
        summary: "A canary waits at a stage: so do the vehicles' events",
        cure: "`millrace flow`; then the log of the job of that stage.",
        fires: &[(
            r#"millrace_operator_flow_canary_stuck{object_namespace="m",object="dev",stage="told",group="g"}"#,
            "1x150",
        )],
        silent: &[(
            r#"millrace_operator_flow_canary_stuck{object_namespace="m",object="dev",stage="told",group="g"}"#,
            "0 1 0x148",
        )],
    },
    Rule {
        name: "MillraceCanarySlow",
        severity: "warning",
        expr: r#"millrace_operator_flow_canary_seconds{stage!="archived"} > 30"#,
        wait: "10m",
        summary: "Events take more than 30 s to pass a stage: warnings come late, or answers of Druid lack them",
        cure: "`millrace flow` shows where the time goes; more replicas or partitions there, or see what it waits for.",
        fires: &[(
            r#"millrace_operator_flow_canary_seconds{object_namespace="m",object="dev",stage="detected",group="g"}"#,
            "45x150",
        )],
        silent: &[
            (
                r#"millrace_operator_flow_canary_seconds{object_namespace="m",object="dev",stage="detected",group="g"}"#,
                "2x150",
            ),
            (
                r#"millrace_operator_flow_canary_seconds{object_namespace="m",object="dev",stage="archived",group="a"}"#,
                "600x150",
            ),
        ],
    },
    Rule {
        name: "MillraceAnswersOld",
        severity: "warning",
        expr: "millrace_operator_flow_newest_seconds > 180",
        wait: "5m",
        summary: "The newest event that Druid answers for is more than three minutes old",
        cure: "`millrace flow`: a lag at `served` is Druid's (DruidIngestion, then its workers); none, and nothing new was sent: see the gateway.",
        fires: &[(
            r#"millrace_operator_flow_newest_seconds{object_namespace="m",object="dev",stage="served",group=""}"#,
            "0+60x150",
        )],
        // With a canary each minute it is a minute old, and some.
        silent: &[(
            r#"millrace_operator_flow_newest_seconds{object_namespace="m",object="dev",stage="served",group=""}"#,
            "75x50 500 500 10x100",
        )],
    },
    Rule {
        name: "MillraceLag",
        severity: "warning",
        expr: r#"millrace_operator_flow_lag_seconds{stage!="archived"} > 60"#,
        wait: "10m",
        summary: "A consumer is more than a minute behind",
        cure: "`millrace flow`; does it get CPU, does what it writes to answer? More replicas help up to the number of partitions.",
        fires: &[(
            r#"millrace_operator_flow_lag_seconds{object_namespace="m",object="dev",stage="detected",group="g"}"#,
            "0+5x150",
        )],
        silent: &[
            (
                r#"millrace_operator_flow_lag_seconds{object_namespace="m",object="dev",stage="detected",group="g"}"#,
                "90x5 10x144",
            ),
            (
                r#"millrace_operator_flow_lag_seconds{object_namespace="m",object="dev",stage="archived",group="a"}"#,
                "900x150",
            ),
        ],
    },
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
    Rule {
        name: "MillraceDeadLetters",
        severity: "warning",
        expr: "increase(millrace_gateway_dead_letters_total[30m]) > 0 or increase(millrace_dispatch_dead_letters_total[30m]) > 0 or increase(millrace_materialize_dead_letters_total[30m]) > 0",
        wait: "0s",
        summary: "Records go to the dead letters",
        cure: "`millrace dead-letters` lists them with their reasons; once the cause is gone, put them back with it.",
        fires: &[(
            r#"millrace_dispatch_dead_letters_total{pod="d"}"#,
            "0x130 0+1x19",
        )],
        silent: &[
            (r#"millrace_gateway_dead_letters_total{pod="g"}"#, "5x150"),
            (
                r#"millrace_materialize_dead_letters_total{pod="m",collection="alerts"}"#,
                "0x150",
            ),
        ],
    },
    Rule {
        name: "MillraceRecordsDropped",
        severity: "critical",
        expr: "increase(millrace_dispatch_dropped_total[30m]) > 0",
        wait: "0s",
        summary: "Records were given up and kept nowhere, for want of a topic of dead letters",
        cure: "Name a topic of dead letters in the EventSource; the log names the records.",
        fires: &[(
            r#"millrace_dispatch_dropped_total{pod="d"}"#,
            "0x130 0+1x19",
        )],
        silent: &[(r#"millrace_dispatch_dropped_total{pod="d"}"#, "5x150")],
    },
    Rule {
        name: "MillraceGatewayThrottled",
        severity: "critical",
        expr: "max by (namespace) (millrace_gateway_throttled) == 1",
        wait: "5m",
        summary: "The gateway takes no telemetry in: vehicles keep it and try again",
        cure: "Kafka's volumes are full: see MillraceDiskFull.",
        fires: &[(
            r#"millrace_gateway_throttled{namespace="m",pod="g"}"#,
            "1x150",
        )],
        silent: &[(
            r#"millrace_gateway_throttled{namespace="m",pod="g"}"#,
            "0 1 1 0x147",
        )],
    },
    Rule {
        name: "MillraceGatewayRefuses",
        severity: "warning",
        expr: r#"sum by (namespace) (rate(millrace_gateway_events_refused_total{reason=~"kafka|busy"}[10m])) > 0.05 * sum by (namespace) (rate(millrace_gateway_events_accepted_total[10m]))"#,
        wait: "10m",
        summary: "More than one event of twenty is refused because Kafka is slow or away",
        cure: "Kafka first (`millrace status`); if it is well, more replicas of the gateway.",
        fires: &[
            (
                r#"millrace_gateway_events_refused_total{namespace="m",channel="http",reason="kafka"}"#,
                "0+10x150",
            ),
            (
                r#"millrace_gateway_events_accepted_total{namespace="m",channel="http"}"#,
                "0+100x150",
            ),
        ],
        silent: &[
            (
                r#"millrace_gateway_events_refused_total{namespace="m",channel="http",reason="busy"}"#,
                "0+1x150",
            ),
            (
                r#"millrace_gateway_events_refused_total{namespace="m",channel="http",reason="invalid"}"#,
                "0+90x150",
            ),
            (
                r#"millrace_gateway_events_accepted_total{namespace="m",channel="http"}"#,
                "0+100x150",
            ),
        ],
    },
    Rule {
        name: "MillraceNotificationsExpire",
        severity: "warning",
        expr: "sum by (namespace) (increase(millrace_gateway_expired_total[1h])) > 0.1 * sum by (namespace) (increase(millrace_gateway_notifications_total[1h]))",
        wait: "15m",
        summary: "More than one notification of ten expires before a vehicle takes it",
        cure: "Do vehicles keep their MQTT sessions (`millrace_gateway_sessions`)? Certificates, load balancer, idle time-outs.",
        fires: &[
            (
                r#"millrace_gateway_expired_total{namespace="m",pod="g"}"#,
                "0+2x150",
            ),
            (
                r#"millrace_gateway_notifications_total{namespace="m",pod="g"}"#,
                "0+10x150",
            ),
        ],
        silent: &[
            (
                r#"millrace_gateway_expired_total{namespace="m",pod="g"}"#,
                "0x150",
            ),
            (
                r#"millrace_gateway_notifications_total{namespace="m",pod="g"}"#,
                "0+10x150",
            ),
        ],
    },
    Rule {
        name: "MillraceCertificateRejected",
        severity: "warning",
        expr: "increase(millrace_gateway_certificates_rejected_total[2h]) > 0",
        wait: "0s",
        summary: "The gateway could not use a new certificate; the former one stays until it expires",
        cure: "The gateway's log says what is wrong with the Secret.",
        fires: &[(
            r#"millrace_gateway_certificates_rejected_total{pod="g"}"#,
            "0x130 1x19",
        )],
        silent: &[(
            r#"millrace_gateway_certificates_rejected_total{pod="g"}"#,
            "1x150",
        )],
    },
    Rule {
        name: "MillraceDetectRulesRefused",
        severity: "warning",
        expr: "millrace_detect_rules_current == 0",
        wait: "5m",
        summary: "New rules or zones were refused; the former ones stay in force",
        cure: "The log of detect names the rule, field and cure.",
        fires: &[(r#"millrace_detect_rules_current{pod="d"}"#, "0x150")],
        silent: &[(r#"millrace_detect_rules_current{pod="d"}"#, "0 0 1x148")],
    },
    Rule {
        name: "MillraceDetectAborts",
        severity: "warning",
        expr: r#"increase(millrace_detect_transactions_total{outcome="aborted"}[15m]) > 3"#,
        wait: "5m",
        summary: "Detection's transactions are aborted again and again: alerts come late",
        cure: "Log of detect; brokers that restart, or two writers with one identity.",
        fires: &[(
            r#"millrace_detect_transactions_total{pod="d",outcome="aborted"}"#,
            "0+1x150",
        )],
        silent: &[
            (
                r#"millrace_detect_transactions_total{pod="d",outcome="aborted"}"#,
                "0x100 1x49",
            ),
            (
                r#"millrace_detect_transactions_total{pod="d",outcome="committed"}"#,
                "0+100x150",
            ),
        ],
    },
    Rule {
        name: "MillraceActionsFail",
        severity: "warning",
        expr: r#"sum by (namespace) (rate(millrace_whisk_activations_total{status!="success"}[10m])) > 0.1 * sum by (namespace) (rate(millrace_whisk_activations_total[10m]))"#,
        wait: "10m",
        summary: "More than one activation of ten fails",
        cure: "`wsk activation list` and `wsk activation logs`; what the action calls may be away.",
        fires: &[
            (
                r#"millrace_whisk_activations_total{namespace="m",status="success"}"#,
                "0+8x150",
            ),
            (
                r#"millrace_whisk_activations_total{namespace="m",status="developer_error"}"#,
                "0+2x150",
            ),
        ],
        silent: &[
            (
                r#"millrace_whisk_activations_total{namespace="m",status="success"}"#,
                "0+98x150",
            ),
            (
                r#"millrace_whisk_activations_total{namespace="m",status="developer_error"}"#,
                "0+2x150",
            ),
        ],
    },
];
