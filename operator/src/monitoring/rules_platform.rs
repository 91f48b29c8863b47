//! The alert rules about the operator, the resources that it keeps, and the flow through a platform.

use super::rules::Rule;

pub(super) const RULES: &[Rule] = &[
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
            "10x9 31x140",
        )],
        silent: &[
            (
                r#"millrace_operator_flow_canary_seconds{object_namespace="m",object="dev",stage="detected",group="g"}"#,
                "31x5 20x144",
            ),
            (
                r#"millrace_operator_flow_canary_seconds{object_namespace="m",object="dev",stage="archived",group="a"}"#,
                "500x150",
            ),
        ],
    },
    Rule {
        name: "MillraceAnswersOld",
        severity: "warning",
        expr: "millrace_operator_flow_newest_seconds > on (object_namespace, object) group_left () (120 + max by (object_namespace, object) (millrace_operator_flow_canary_interval_seconds))",
        wait: "5m",
        summary: "The newest event that Druid answers for is more than two minutes older than the last canary can be",
        cure: "`millrace flow`: a lag at `served` is Druid's (DruidIngestion, then its workers); none, and nothing new was sent: see the gateway.",
        fires: &[
            (
                r#"millrace_operator_flow_newest_seconds{object_namespace="m",object="dev",stage="served",group=""}"#,
                "0+60x150",
            ),
            (
                r#"millrace_operator_flow_canary_interval_seconds{kind="Platform",object_namespace="m",object="dev"}"#,
                "60x150",
            ),
        ],
        // It is as old as the last canary, and some. Where none are sent, vehicles that are parked look the same.
        silent: &[
            (
                r#"millrace_operator_flow_newest_seconds{object_namespace="m",object="dev",stage="served",group=""}"#,
                "75x50 500 500 10x100",
            ),
            (
                r#"millrace_operator_flow_canary_interval_seconds{kind="Platform",object_namespace="m",object="dev"}"#,
                "60x150",
            ),
            (
                r#"millrace_operator_flow_newest_seconds{object_namespace="m",object="seldom",stage="served",group=""}"#,
                "500x150",
            ),
            (
                r#"millrace_operator_flow_canary_interval_seconds{kind="Platform",object_namespace="m",object="seldom"}"#,
                "600x150",
            ),
            (
                r#"millrace_operator_flow_newest_seconds{object_namespace="m",object="never",stage="served",group=""}"#,
                "0+60x150",
            ),
        ],
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
            "0x9 20x9 50x9 61x119",
        )],
        silent: &[
            (
                r#"millrace_operator_flow_lag_seconds{object_namespace="m",object="dev",stage="detected",group="g"}"#,
                "61x5 50x144",
            ),
            (
                r#"millrace_operator_flow_lag_seconds{object_namespace="m",object="dev",stage="archived",group="a"}"#,
                "1000x150",
            ),
        ],
    },
];
