//! Dashboards of Grafana.

use serde_json::{Value, json};

/// A dashboard.
#[derive(Debug)]
pub(super) struct Dashboard {
    /// Name of its file, and the end of its uid.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its panels, in rows of two.
    pub panels: &'static [Panel],
}

/// A panel: one query over time.
#[derive(Debug)]
pub(super) struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What is drawn.
    pub query: &'static str,
    /// Unit, as Grafana calls it.
    pub unit: &'static str,
    /// How a line is called.
    pub legend: &'static str,
}

const fn panel(
    title: &'static str,
    unit: &'static str,
    legend: &'static str,
    query: &'static str,
) -> Panel {
    Panel {
        title,
        query,
        unit,
        legend,
    }
}

const COLUMNS: usize = 2;
const WIDTH: usize = 12;
const HEIGHT: usize = 8;

impl Dashboard {
    /// As Grafana reads it.
    pub(super) fn json(&self) -> Value {
        let panels: Vec<Value> = self
            .panels
            .iter()
            .enumerate()
            .map(|(index, panel)| panel.json(index))
            .collect();
        json!({
            "uid": format!("millrace-{}", self.id),
            "title": self.title,
            "tags": ["millrace"],
            "schemaVersion": 39,
            "editable": false,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "templating": {"list": [{
                "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
            }]},
            "panels": panels,
        })
    }
}

impl Panel {
    fn json(&self, index: usize) -> Value {
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        json!({
            "id": index + 1,
            "type": "timeseries",
            "title": self.title,
            "datasource": source,
            "gridPos": {
                "x": index % COLUMNS * WIDTH, "y": index / COLUMNS * HEIGHT, "w": WIDTH, "h": HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": self.unit, "min": 0}, "overrides": []},
            "targets": [{"refId": "A", "datasource": source, "expr": self.query, "legendFormat": self.legend}],
        })
    }
}

/// All of them. What has not happened yet has no series where its labels tell what happened; such panels show 0 while the
/// job is scraped, as those of Druid and MongoDB do where a Platform has none, so that an empty panel always means that nobody tells.
#[rustfmt::skip]
pub(super) const DASHBOARDS: &[Dashboard] = &[
    Dashboard { id: "platform", title: "Millrace: platform", panels: &[
        panel("Available", "short", "{{kind}} {{object}}", "millrace_operator_object_available"),
        panel("Degraded", "short", "{{kind}} {{object}}", "millrace_operator_object_degraded"),
        panel("What a canary takes until it has passed a stage", "s", "{{stage}} {{group}}", "millrace_operator_flow_canary_seconds"),
        panel("How long the oldest record waits for a stage", "s", "{{stage}} {{group}}", "millrace_operator_flow_lag_seconds"),
        panel("Restarts that wait for approval", "short", "{{kind}} {{object}}", "millrace_operator_pending_restarts"),
        panel("Fullest volume", "percent", "{{kind}} {{object}}", "millrace_operator_disk_used_percent"),
        panel("Reconciles", "ops", "{{component}} {{outcome}}", "sum by (component, outcome) (rate(millrace_operator_reconciles_total[5m]))"),
        panel("Time of a reconcile, 95 of 100", "s", "{{component}}", "histogram_quantile(0.95, sum by (component, le) (rate(millrace_operator_reconcile_seconds_bucket[5m])))"),
        panel("Writes to Kubernetes", "ops", "{{kind}}", "sum by (kind) (rate(millrace_operator_writes_total[5m]))"),
        panel("Operators that lead", "short", "leaders", "sum(millrace_operator_leader)"),
        panel("Pods that answer Prometheus", "short", "{{app_kubernetes_io_name}}", "sum by (app_kubernetes_io_name) (up{app_kubernetes_io_part_of=\"millrace\"})"),
    ] },
    Dashboard { id: "kafka", title: "Millrace: Kafka", panels: &[
        panel("Available", "short", "{{object}}", "millrace_operator_object_available{kind=~\"Kafka.*\"}"),
        panel("Degraded", "short", "{{object}}", "millrace_operator_object_degraded{kind=~\"Kafka.*\"}"),
        panel("Fullest volume", "percent", "{{object}}", "millrace_operator_disk_used_percent{kind=\"KafkaCluster\"}"),
        panel("Partitions without a leader", "short", "{{app_kubernetes_io_instance}}", "max by (namespace, app_kubernetes_io_instance) (kafka_controller_kafkacontroller_offlinepartitionscount)"),
        panel("Active controllers", "short", "{{app_kubernetes_io_instance}}", "sum by (namespace, app_kubernetes_io_instance) (kafka_controller_kafkacontroller_activecontrollercount)"),
        panel("Partitions with copies behind or away", "short", "{{pod}}", "kafka_server_replicamanager_underreplicatedpartitions"),
        panel("Partitions below min.insync.replicas", "short", "{{pod}}", "kafka_server_replicamanager_underminisrpartitioncount"),
        panel("Copies that fall out of sync", "ops", "{{pod}}", "rate(kafka_server_replicamanager_isrshrinks_total[5m])"),
        panel("Brokers that are away", "short", "{{app_kubernetes_io_instance}}", "max by (namespace, app_kubernetes_io_instance) (kafka_controller_kafkacontroller_fencedbrokercount)"),
        panel("Partitions led", "short", "{{pod}}", "kafka_server_replicamanager_leadercount"),
        panel("Volumes given up", "short", "{{pod}}", "kafka_log_logmanager_offlinelogdirectorycount"),
        panel("Records written", "ops", "{{pod}}", "rate(kafka_server_brokertopicmetrics_messagesin_total[5m])"),
        panel("Bytes written", "Bps", "{{pod}}", "rate(kafka_server_brokertopicmetrics_bytesin_total[5m])"),
        panel("Bytes read", "Bps", "{{pod}}", "rate(kafka_server_brokertopicmetrics_bytesout_total[5m])"),
        panel("Requests that failed", "ops", "{{pod}}", "rate(kafka_server_brokertopicmetrics_failedproducerequests_total[5m]) + rate(kafka_server_brokertopicmetrics_failedfetchrequests_total[5m])"),
        panel("Time of a request, 99 of 100", "s", "{{pod}} {{request}}", "kafka_network_requestmetrics_totaltime_99th_seconds"),
        panel("Idle request handlers", "percentunit", "{{pod}}", "kafka_server_kafkarequesthandlerpool_brokerrequesthandleravgidlepercent"),
        panel("Memory", "bytes", "{{pod}}", "process_resident_memory_bytes{app_kubernetes_io_name=\"kafka\"}"),
        panel("Time in garbage collection", "percentunit", "{{pod}}", "sum by (pod) (rate(jvm_gc_collection_seconds_sum{app_kubernetes_io_name=\"kafka\"}[5m]))"),
        panel("Records that wait for a stage", "short", "{{stage}} {{group}}", "millrace_operator_flow_lag_records"),
        panel("Acknowledged events", "ops", "{{channel}}", "sum by (channel) (rate(millrace_gateway_events_accepted_total[5m]))"),
        panel("Time to Kafka's acknowledgement, 95 of 100", "s", "{{channel}}", "histogram_quantile(0.95, sum by (channel, le) (rate(millrace_gateway_acknowledge_seconds_bucket[5m])))"),
        panel("Transactions of detection", "ops", "{{outcome}}", "sum by (outcome) (rate(millrace_detect_transactions_total[5m]))"),
        panel("Time of a transaction, 95 of 100", "s", "detect", "histogram_quantile(0.95, sum by (le) (rate(millrace_detect_transaction_seconds_bucket[5m])))"),
    ] },
    Dashboard { id: "hdfs", title: "Millrace: HDFS and the lake", panels: &[
        panel("Available", "short", "{{kind}} {{object}}", "millrace_operator_object_available{kind=~\"HdfsCluster|ZooKeeperEnsemble\"}"),
        panel("Fullest volume", "percent", "{{kind}} {{object}}", "millrace_operator_disk_used_percent{kind=~\"HdfsCluster|ZooKeeperEnsemble\"}"),
        panel("ZooKeeper servers that lead", "short", "{{app_kubernetes_io_instance}}", "sum by (namespace, app_kubernetes_io_instance) (zookeeper_leader)"),
        panel("ZooKeeper: requests that wait", "short", "{{pod}}", "zookeeper_outstandingrequests"),
        panel("ZooKeeper: mean time of a request", "s", "{{pod}}", "zookeeper_avgrequestlatency_seconds"),
        panel("ZooKeeper: clients", "short", "{{pod}}", "zookeeper_numaliveconnections"),
        panel("ZooKeeper: nodes", "short", "{{pod}}", "zookeeper_nodecount"),
        panel("ZooKeeper: packets", "ops", "{{pod}}", "rate(zookeeper_packetsreceived_total[5m]) + rate(zookeeper_packetssent_total[5m])"),
        panel("Records archived", "ops", "{{pod}}", "sum by (pod) (rate(millrace_archive_records_total[5m]))"),
        panel("Bytes archived", "Bps", "{{pod}}", "sum by (pod) (rate(millrace_archive_committed_bytes_total[5m]))"),
        panel("Files a minute", "short", "{{pod}}", "60 * sum by (pod) (rate(millrace_archive_files_total[5m]))"),
        panel("Records behind the last commit", "short", "{{partition}}", "sum by (partition) (millrace_archive_lag_records)"),
        panel("Time of a commit, 95 of 100", "s", "archive", "histogram_quantile(0.95, sum by (le) (rate(millrace_archive_commit_seconds_bucket[15m])))"),
        panel("Tries again", "ops", "{{step}}", "sum by (step) (rate(millrace_archive_retries_total[5m])) or 0 * sum(up{app_kubernetes_io_name=\"archive\"})"),
        panel("Memory", "bytes", "read ahead {{pod}}", "millrace_archive_ahead_bytes + millrace_archive_open_files_bytes"),
    ] },
    Dashboard { id: "stores", title: "Millrace: stores", panels: &[
        panel("Available", "short", "{{kind}} {{object}}", "millrace_operator_object_available{kind=~\"PostgresCluster|MongoCluster\"}"),
        panel("Fullest volume", "percent", "{{kind}} {{object}}", "millrace_operator_disk_used_percent{kind=~\"PostgresCluster|MongoCluster\"}"),
        panel("PostgreSQL: sessions", "short", "{{object}}", "millrace_operator_postgres_connections"),
        panel("PostgreSQL: sessions that wait for a lock", "short", "{{object}}", "millrace_operator_postgres_waiting_sessions"),
        panel("PostgreSQL: transactions", "ops", "{{object}}", "rate(millrace_operator_postgres_commits_total[5m]) + rate(millrace_operator_postgres_rollbacks_total[5m])"),
        panel("PostgreSQL: oldest transaction", "s", "{{object}}", "millrace_operator_postgres_longest_transaction_seconds"),
        panel("PostgreSQL: blocks read from the volume", "ops", "{{object}}", "rate(millrace_operator_postgres_blocks_read_total[5m])"),
        panel("PostgreSQL: blocks found in memory", "ops", "{{object}}", "rate(millrace_operator_postgres_blocks_hit_total[5m])"),
        panel("MongoDB: connections", "short", "{{object}} {{member}}", "millrace_operator_mongo_connections or 0 * sum(millrace_operator_leader)"),
        panel("MongoDB: reads and writes", "ops", "{{object}} {{member}}", "rate(millrace_operator_mongo_reads_total[5m]) + rate(millrace_operator_mongo_writes_total[5m]) or 0 * sum(millrace_operator_leader)"),
        panel("MongoDB: how far a member is behind", "s", "{{object}} {{member}}", "millrace_operator_mongo_lag_seconds or 0 * sum(millrace_operator_leader)"),
        panel("MongoDB: memory", "bytes", "{{object}} {{member}}", "millrace_operator_mongo_resident_bytes or 0 * sum(millrace_operator_leader)"),
        panel("Documents written", "ops", "{{collection}}", "sum by (collection) (rate(millrace_materialize_documents_total[5m]))"),
        panel("Records behind", "short", "{{collection}}", "sum by (collection) (millrace_materialize_lag_records)"),
        panel("Time of a batch, 95 of 100", "s", "materialize", "histogram_quantile(0.95, sum by (le) (rate(millrace_materialize_batch_seconds_bucket[5m])))"),
        panel("Tries again", "ops", "{{collection}}", "sum by (collection) (rate(millrace_materialize_retries_total[5m])) or 0 * sum(up{app_kubernetes_io_name=\"materialize\"})"),
    ] },
    Dashboard { id: "druid", title: "Millrace: Druid", panels: &[
        panel("Available", "short", "{{kind}} {{object}}", "millrace_operator_object_available{kind=~\"Druid.*\"} or 0 * sum(millrace_operator_leader)"),
        panel("Records that it has not read", "short", "{{object}}", "millrace_operator_flow_lag_records{stage=\"served\"} or 0 * sum(millrace_operator_leader)"),
        panel("How old the newest event is that it answers for", "s", "{{object}}", "millrace_operator_flow_newest_seconds or 0 * sum(millrace_operator_leader)"),
        panel("What a canary takes until an answer counts it", "s", "{{object}}", "millrace_operator_flow_canary_seconds{stage=\"served\"} or 0 * sum(millrace_operator_leader)"),
        panel("Questions", "ops", "{{pod}} {{success}}", "sum by (pod, success) (rate(druid_queries_total[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Mean time of a question", "s", "{{pod}}", "sum by (pod) (rate(druid_query_seconds_total[5m])) / sum by (pod) (rate(druid_queries_total[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Questions in SQL", "ops", "{{pod}} {{success}}", "sum by (pod, success) (rate(druid_sql_queries_total[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Mean time of a question in SQL", "s", "{{pod}}", "sum by (pod) (rate(druid_sql_query_seconds_total[5m])) / sum by (pod) (rate(druid_sql_queries_total[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Records taken in", "ops", "{{dataSource}}", "sum by (dataSource) (rate(druid_ingest_events_processed_total[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Records that could not be read or were left out", "ops", "{{dataSource}}", "sum by (dataSource) (rate(druid_ingest_events_unparseable_total[5m]) + rate(druid_ingest_events_thrown_away_total[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Records that supervisors have not read", "short", "{{dataSource}}", "max by (dataSource) (druid_ingest_lag_records) or 0 * sum(millrace_operator_leader)"),
        panel("Tasks that ended in an hour", "short", "{{dataSource}} {{taskStatus}}", "sum by (dataSource, taskStatus) (increase(druid_tasks_total[1h])) or 0 * sum(millrace_operator_leader)"),
        panel("Segments that nobody has loaded", "short", "{{dataSource}}", "max by (dataSource) (druid_segments_unavailable) or 0 * sum(millrace_operator_leader)"),
        panel("How much of what it may a historical has loaded", "percentunit", "{{pod}}", "sum by (pod) (druid_segments_used_bytes) / max by (pod) (druid_segments_limit_bytes) or 0 * sum(millrace_operator_leader)"),
        panel("Heap", "bytes", "{{pod}}", "sum by (pod) (jvm_memory_used_bytes{area=\"heap\",app_kubernetes_io_name=\"druid\"}) or 0 * sum(millrace_operator_leader)"),
        panel("Memory", "bytes", "{{pod}}", "process_resident_memory_bytes{app_kubernetes_io_name=\"druid\"} or 0 * sum(millrace_operator_leader)"),
        panel("Time in garbage collection", "percentunit", "{{pod}}", "sum by (pod) (rate(jvm_gc_collection_seconds_sum{app_kubernetes_io_name=\"druid\"}[5m])) or 0 * sum(millrace_operator_leader)"),
        panel("Threads", "short", "{{pod}}", "jvm_threads_current{app_kubernetes_io_name=\"druid\"} or 0 * sum(millrace_operator_leader)"),
    ] },
    Dashboard { id: "jobs", title: "Millrace: jobs", panels: &[
        panel("Events taken in", "ops", "{{channel}}", "sum by (channel) (rate(millrace_gateway_events_accepted_total[5m]))"),
        panel("Events refused", "ops", "{{channel}} {{reason}}", "sum by (channel, reason) (rate(millrace_gateway_events_refused_total[5m])) or 0 * sum(up{app_kubernetes_io_name=\"gateway\"})"),
        panel("Sessions of vehicles", "short", "{{pod}}", "millrace_gateway_sessions"),
        panel("Events that wait for Kafka", "short", "{{pod}}", "millrace_gateway_in_flight"),
        panel("Telemetry stopped by order", "short", "{{pod}}", "millrace_gateway_throttled"),
        panel("Notifications", "ops", "delivered", "sum(rate(millrace_gateway_deliveries_total[5m]))"),
        panel("From the event to the driver, 95 of 100", "s", "gateway", "histogram_quantile(0.95, sum by (le) (rate(millrace_gateway_event_to_delivery_seconds_bucket[15m])))"),
        panel("Dead letters of the gateway", "ops", "{{pod}}", "rate(millrace_gateway_dead_letters_total[5m])"),
        panel("Events through detection", "ops", "{{pod}}", "sum by (pod) (rate(millrace_detect_events_total[5m]))"),
        panel("Alerts", "ops", "{{rule}} {{severity}}", "sum by (rule, severity) (rate(millrace_detect_alerts_total[5m])) or 0 * sum(up{app_kubernetes_io_name=\"detect\"})"),
        panel("Vehicles remembered", "short", "{{pod}}", "millrace_detect_vehicles"),
        panel("Rules and zones in force", "short", "{{pod}}", "millrace_detect_rules_current"),
        panel("Records behind detection", "short", "{{partition}}", "sum by (partition) (millrace_detect_lag_records)"),
    ] },
    Dashboard { id: "actions", title: "Millrace: actions", panels: &[
        panel("Activations", "ops", "{{status}}", "sum by (status) (rate(millrace_whisk_activations_total[5m]))"),
        panel("Time of an activation, 95 of 100", "s", "whisk", "histogram_quantile(0.95, sum by (le) (rate(millrace_whisk_activation_duration_seconds_bucket[5m])))"),
        panel("Children", "short", "{{pod}}", "millrace_whisk_children"),
        panel("Memory promised to them, MiB", "short", "{{pod}}", "millrace_whisk_promised_memory_mebibytes"),
        panel("Children ended", "ops", "{{reason}}", "sum by (reason) (rate(millrace_whisk_child_ends_total[5m])) or 0 * sum(up{app_kubernetes_io_name=\"openwhisk\"})"),
        panel("Requests", "ops", "{{code}}", "sum by (code) (rate(millrace_whisk_requests_total[5m]))"),
        panel("Runs told for the topic audit", "ops", "{{pod}}", "rate(millrace_whisk_runs_told_total[5m])"),
        panel("Delivered by dispatch", "ops", "{{pod}}", "sum by (pod) (rate(millrace_dispatch_delivered_total[5m]))"),
        panel("Tries again of dispatch", "ops", "{{reason}}", "sum by (reason) (rate(millrace_dispatch_retries_total[5m])) or 0 * sum(up{app_kubernetes_io_name=\"dispatch\"})"),
        panel("Dead letters of dispatch", "ops", "{{pod}}", "sum by (pod) (rate(millrace_dispatch_dead_letters_total[5m]))"),
        panel("Records behind dispatch", "short", "{{pod}}", "sum by (pod) (millrace_dispatch_lag_records)"),
        panel("From the record to the success of its action, 95 of 100", "s", "dispatch", "histogram_quantile(0.95, sum by (le) (rate(millrace_dispatch_record_to_success_seconds_bucket[5m])))"),
    ] },
];
