//! The alert rules about the jobs and actions.

use super::rules::Rule;

pub(super) const RULES: &[Rule] = &[
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
    Rule {
        name: "MillraceRunsUntold",
        severity: "warning",
        expr: "increase(millrace_whisk_runs_untold_total[30m]) > 0",
        wait: "0s",
        summary: "Actions ran of which the topic audit has no record",
        cure: "The log of the OpenWhisk says why the gateway did not take them: away for long, or another `activations-token`. Their activations are kept there.",
        fires: &[(
            r#"millrace_whisk_runs_untold_total{pod="w"}"#,
            "0x130 0+1x19",
        )],
        silent: &[(r#"millrace_whisk_runs_untold_total{pod="w"}"#, "5x150")],
    },
];
