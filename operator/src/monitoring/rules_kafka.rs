//! The alert rules about what Kafka says of itself.

use super::rules::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "MillraceKafkaNoController",
        severity: "critical",
        expr: r#"sum by (namespace, app_kubernetes_io_instance) (kafka_controller_kafkacontroller_activecontrollercount) == 0"#,
        wait: "1m",
        summary: "No controller of Kafka is the active one: no partition gets a new leader, no topic is made",
        cure: "More than half of the controllers have to run and to reach each other: `kubectl get pods`, and their logs.",
        fires: &[
            (
                r#"kafka_controller_kafkacontroller_activecontrollercount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
                "1 0x149",
            ),
            (
                r#"kafka_controller_kafkacontroller_activecontrollercount{namespace="m",app_kubernetes_io_instance="k",pod="k-1"}"#,
                "0x150",
            ),
        ],
        silent: &[
            (
                r#"kafka_controller_kafkacontroller_activecontrollercount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
                "1x70 0x79",
            ),
            (
                r#"kafka_controller_kafkacontroller_activecontrollercount{namespace="m",app_kubernetes_io_instance="k",pod="k-1"}"#,
                "0x70 1x79",
            ),
        ],
    },
    Rule {
        name: "MillraceKafkaOfflinePartitions",
        severity: "critical",
        expr: r#"max by (namespace, app_kubernetes_io_instance) (kafka_controller_kafkacontroller_offlinepartitionscount) > 0"#,
        wait: "1m",
        summary: "Partitions of Kafka have no leader: nobody reads or writes them",
        cure: "Bring back the brokers that hold their copies (`kubectl get pods`); a topic with one copy is offline whenever its broker is.",
        fires: &[(
            r#"kafka_controller_kafkacontroller_offlinepartitionscount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0x10 3x139",
        )],
        silent: &[(
            r#"kafka_controller_kafkacontroller_offlinepartitionscount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0 3 0x148",
        )],
    },
    Rule {
        name: "MillraceKafkaUnderMinIsr",
        severity: "critical",
        expr: r#"sum by (namespace, app_kubernetes_io_instance) (kafka_server_replicamanager_underminisrpartitioncount) > 0"#,
        wait: "2m",
        summary: "Partitions of Kafka have fewer copies in sync than min.insync.replicas: writers, the gateway among them, are refused",
        cure: "Bring back the brokers that are away; a broker that runs and does not come into sync says why in its log.",
        fires: &[(
            r#"kafka_server_replicamanager_underminisrpartitioncount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0x10 1x139",
        )],
        silent: &[(
            r#"kafka_server_replicamanager_underminisrpartitioncount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0 1 1 0x147",
        )],
    },
    Rule {
        name: "MillraceKafkaUnderReplicated",
        severity: "warning",
        expr: r#"sum by (namespace, app_kubernetes_io_instance) (kafka_server_replicamanager_underreplicatedpartitions) > 0"#,
        wait: "15m",
        summary: "Copies of Kafka's partitions are away or behind: one more failure and writers may be refused",
        cure: "Is a broker away (`kubectl get pods`)? Else its log, its CPU and its volume: it copies more slowly than clients write.",
        fires: &[(
            r#"kafka_server_replicamanager_underreplicatedpartitions{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0x10 4x139",
        )],
        silent: &[(
            r#"kafka_server_replicamanager_underreplicatedpartitions{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "4x10 0x139",
        )],
    },
    Rule {
        name: "MillraceKafkaVolumeFailed",
        severity: "critical",
        expr: r#"kafka_log_logmanager_offlinelogdirectorycount > 0"#,
        wait: "1m",
        summary: "A broker of Kafka gave a volume up after an error of it",
        cure: "The broker's log names the error. If the volume is lost: the annotation `millrace.dev/replace-volume` (kafka.md).",
        fires: &[(
            r#"kafka_log_logmanager_offlinelogdirectorycount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0x10 1x139",
        )],
        silent: &[(
            r#"kafka_log_logmanager_offlinelogdirectorycount{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0x150",
        )],
    },
    Rule {
        name: "MillraceKafkaBusy",
        severity: "warning",
        expr: r#"kafka_server_kafkarequesthandlerpool_brokerrequesthandleravgidlepercent < 0.2"#,
        wait: "15m",
        summary: "Request handlers of a broker of Kafka are idle for less than a fifth of the time: clients begin to wait",
        cure: "More CPU, `num.io.threads` in `spec.config`, or more brokers and a rebalance (kafka.md).",
        fires: &[(
            r#"kafka_server_kafkarequesthandlerpool_brokerrequesthandleravgidlepercent{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0.9x10 0.1x139",
        )],
        silent: &[(
            r#"kafka_server_kafkarequesthandlerpool_brokerrequesthandleravgidlepercent{namespace="m",app_kubernetes_io_instance="k",pod="k-0"}"#,
            "0.1x10 0.6x139",
        )],
    },
];
