//! What a node tells Prometheus of itself. The names are those that others who export Kafka's numbers have, too.

use millrace_contract::metric::MetricKind::{Counter, Gauge};

use crate::pods::exporter::Exported;

/// The metrics of a node. Controllers have those of the controller, brokers all others.
#[rustfmt::skip]
pub const METRICS: &[Exported] = &[
    Exported::new("kafka_controller_kafkacontroller_activecontrollercount", Gauge, "Whether this controller is the active one", &["kafka.controller:type=KafkaController,name=ActiveControllerCount"], "Value"),
    Exported::new("kafka_controller_kafkacontroller_activebrokercount", Gauge, "Brokers that serve, as this controller sees them", &["kafka.controller:type=KafkaController,name=ActiveBrokerCount"], "Value"),
    Exported::new("kafka_controller_kafkacontroller_fencedbrokercount", Gauge, "Brokers that are away, as this controller sees them", &["kafka.controller:type=KafkaController,name=FencedBrokerCount"], "Value"),
    Exported::new("kafka_controller_kafkacontroller_globalpartitioncount", Gauge, "Partitions of the cluster", &["kafka.controller:type=KafkaController,name=GlobalPartitionCount"], "Value"),
    Exported::new("kafka_controller_kafkacontroller_offlinepartitionscount", Gauge, "Partitions without a leader: nobody reads or writes them", &["kafka.controller:type=KafkaController,name=OfflinePartitionsCount"], "Value"),
    Exported::new("kafka_log_logmanager_offlinelogdirectorycount", Gauge, "Volumes that the broker gave up after an error", &["kafka.log:type=LogManager,name=OfflineLogDirectoryCount"], "Value"),
    // Not RequestHandlerAvgIdlePercent: on a combined node that counts the controller's handlers too, which are idle.
    Exported::new("kafka_server_kafkarequesthandlerpool_brokerrequesthandleravgidlepercent", Gauge, "Part of the last minute in which request handlers of the broker had nothing to do, 0 to 1", &["kafka.server:type=KafkaRequestHandlerPool,name=BrokerRequestHandlerAvgIdlePercent"], "OneMinuteRate"),
    Exported::new("kafka_server_replicamanager_underreplicatedpartitions", Gauge, "Partitions led here of which copies are behind or away", &["kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions"], "Value"),
    Exported::new("kafka_server_replicamanager_underminisrpartitioncount", Gauge, "Partitions led here with fewer copies in sync than min.insync.replicas: who writes with acks=all is refused", &["kafka.server:type=ReplicaManager,name=UnderMinIsrPartitionCount"], "Value"),
    Exported::new("kafka_server_replicamanager_partitioncount", Gauge, "Copies of partitions that are here", &["kafka.server:type=ReplicaManager,name=PartitionCount"], "Value"),
    Exported::new("kafka_server_replicamanager_leadercount", Gauge, "Partitions led here", &["kafka.server:type=ReplicaManager,name=LeaderCount"], "Value"),
    Exported::new("kafka_server_replicamanager_isrshrinks", Counter, "Times that a copy fell out of sync", &["kafka.server:type=ReplicaManager,name=IsrShrinksPerSec"], "Count"),
    Exported::new("kafka_server_replicamanager_isrexpands", Counter, "Times that a copy came into sync again", &["kafka.server:type=ReplicaManager,name=IsrExpandsPerSec"], "Count"),
    Exported::new("kafka_server_brokertopicmetrics_messagesin", Counter, "Records written", &["kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec"], "Count"),
    Exported::new("kafka_server_brokertopicmetrics_bytesin", Counter, "Bytes written by clients", &["kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec"], "Count").unit("bytes"),
    Exported::new("kafka_server_brokertopicmetrics_bytesout", Counter, "Bytes read by clients", &["kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec"], "Count").unit("bytes"),
    Exported::new("kafka_server_brokertopicmetrics_replicationbytesin", Counter, "Bytes copied from other brokers", &["kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesInPerSec"], "Count").unit("bytes"),
    Exported::new("kafka_server_brokertopicmetrics_failedproducerequests", Counter, "Writes that failed", &["kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec"], "Count"),
    Exported::new("kafka_server_brokertopicmetrics_failedfetchrequests", Counter, "Reads that failed", &["kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec"], "Count"),
    Exported::new("kafka_network_requestmetrics_totaltime_99th_seconds", Gauge, "Time of a request, 99 of 100", &["kafka.network:type=RequestMetrics,name=TotalTimeMs,request=FetchConsumer", "kafka.network:type=RequestMetrics,name=TotalTimeMs,request=Produce"], "99thPercentile").unit("seconds").labels(&["request"]).times(0.001),
];
