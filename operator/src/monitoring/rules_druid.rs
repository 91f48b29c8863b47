//! The alert rules about what Druid says of itself.

use super::rules::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "MillraceDruidUnavailable",
        severity: "warning",
        expr: "max by (namespace, app_kubernetes_io_instance, dataSource) (druid_segments_unavailable) > 0",
        wait: "10m",
        summary: "Segments of a data source of Druid are loaded by no historical: answers lack what is in them",
        cure: "Are all historicals there (`kubectl get pods`), is their volume full (`druid_segments_used_bytes`), does the HDFS answer? Their log names what they cannot load.",
        fires: &[(
            r#"druid_segments_unavailable{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-0",dataSource="telemetry"}"#,
            "0x10 2x139",
        )],
        silent: &[(
            r#"druid_segments_unavailable{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-0",dataSource="telemetry"}"#,
            "2x5 0x144",
        )],
    },
    Rule {
        name: "MillraceDruidVolumeFull",
        severity: "warning",
        expr: "sum by (namespace, pod) (druid_segments_used_bytes) > 0.9 * max by (namespace, pod) (druid_segments_limit_bytes)",
        wait: "10m",
        summary: "A historical of Druid has loaded more than nine tenths of what it may; soon segments are loaded by nobody",
        cure: "A larger volume (`historicals.storage.size`), more historicals, or a shorter `retention` of the DruidIngestions.",
        fires: &[
            (
                r#"druid_segments_used_bytes{namespace="m",pod="d-historical-0",dataSource="telemetry"}"#,
                "60x150",
            ),
            (
                r#"druid_segments_used_bytes{namespace="m",pod="d-historical-0",dataSource="alerts"}"#,
                "35x150",
            ),
            (
                r#"druid_segments_limit_bytes{namespace="m",pod="d-historical-0"}"#,
                "100x150",
            ),
        ],
        silent: &[
            (
                r#"druid_segments_used_bytes{namespace="m",pod="d-historical-0",dataSource="telemetry"}"#,
                "60x150",
            ),
            (
                r#"druid_segments_limit_bytes{namespace="m",pod="d-historical-0"}"#,
                "100x150",
            ),
        ],
    },
    Rule {
        name: "MillraceDruidTasksFail",
        severity: "warning",
        // A series begins with the first task that failed: its first value is no increase, and counts where there was none
        // before. Two that failed come out as a little more than 2, for an increase is extrapolated.
        expr: r#"sum by (namespace, app_kubernetes_io_instance, dataSource) ((druid_tasks_total{taskStatus="FAILED"} unless max_over_time(druid_tasks_total{taskStatus="FAILED"}[1h] offset 1h)) or increase(druid_tasks_total{taskStatus="FAILED"}[1h])) > 2.5"#,
        wait: "0s",
        summary: "Tasks of Druid fail again and again: records are read again and again, and answers for them come late",
        cure: "`kubectl get druidingestions`: status.errors has the last errors; then the log of the workers.",
        fires: &[
            (
                r#"druid_tasks_total{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-0",dataSource="telemetry",taskStatus="FAILED"}"#,
                "_x130 2x30",
            ),
            (
                r#"druid_tasks_total{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-1",dataSource="telemetry",taskStatus="FAILED"}"#,
                "4x100 5x49",
            ),
        ],
        silent: &[
            (
                r#"druid_tasks_total{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-0",dataSource="telemetry",taskStatus="FAILED"}"#,
                "1x100 2x20 3x28",
            ),
            (
                r#"druid_tasks_total{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-0",dataSource="alerts",taskStatus="FAILED"}"#,
                "7x150",
            ),
            (
                r#"druid_tasks_total{namespace="m",app_kubernetes_io_instance="d",pod="d-coordinator-0",dataSource="telemetry",taskStatus="SUCCESS"}"#,
                "0+1x150",
            ),
        ],
    },
    Rule {
        name: "MillraceDruidQueriesFail",
        severity: "warning",
        expr: r#"sum by (namespace, app_kubernetes_io_instance) (rate(druid_queries_total{success="false"}[10m])) > 0.1 * sum by (namespace, app_kubernetes_io_instance) (rate(druid_queries_total[10m]))"#,
        wait: "10m",
        summary: "More than one question of ten to a Druid fails",
        cure: "Log of the brokers: a server that is away, memory (`Resource limit exceeded`), or time-outs; then larger or more of them.",
        fires: &[
            (
                r#"druid_queries_total{namespace="m",app_kubernetes_io_instance="d",pod="d-broker-0",success="true"}"#,
                "0+8x150",
            ),
            (
                r#"druid_queries_total{namespace="m",app_kubernetes_io_instance="d",pod="d-broker-0",success="false"}"#,
                "0+2x150",
            ),
        ],
        silent: &[
            (
                r#"druid_queries_total{namespace="m",app_kubernetes_io_instance="d",pod="d-broker-0",success="true"}"#,
                "0+98x150",
            ),
            (
                r#"druid_queries_total{namespace="m",app_kubernetes_io_instance="d",pod="d-broker-0",success="false"}"#,
                "0+2x150",
            ),
        ],
    },
    Rule {
        name: "MillraceDruidMemory",
        severity: "warning",
        expr: r#"sum by (namespace, pod) (rate(jvm_gc_collection_seconds_sum{app_kubernetes_io_name="druid"}[5m])) > 0.3"#,
        wait: "10m",
        summary: "A server of Druid spends more than three tenths of its time collecting garbage: its heap is too small",
        cure: "More memory for its role (`resources.memory`); the heap follows from it.",
        fires: &[(
            r#"jvm_gc_collection_seconds_sum{namespace="m",pod="d-broker-0",app_kubernetes_io_name="druid"}"#,
            "0+24x150",
        )],
        silent: &[
            (
                r#"jvm_gc_collection_seconds_sum{namespace="m",pod="d-broker-0",app_kubernetes_io_name="druid"}"#,
                "0+2x150",
            ),
            (
                r#"jvm_gc_collection_seconds_sum{namespace="m",pod="k-0",app_kubernetes_io_name="kafka"}"#,
                "0+24x150",
            ),
        ],
    },
];
