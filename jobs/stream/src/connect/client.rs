//! Settings that every client shares.

use std::time::Duration;

use rdkafka::ClientConfig;

/// How long a question to the cluster may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// The largest record that is sent. A topic may take less: then the broker refuses it.
pub(super) const LARGEST_RECORD: &str = "2097152";

/// A group name for clients that never join one: the library wants one before it lets partitions be assigned.
const NO_GROUP: &str = "millrace-reader";

pub(super) fn base(bootstrap: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", client_id)
        .set("socket.keepalive.enable", "true")
        .set("log.connection.close", "false")
        // A restarted broker is found again within two seconds, not ten.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// A consumer that reads committed records only and never commits on its own.
pub(super) fn consumer(bootstrap: &str, client_id: &str, group: Option<&str>) -> ClientConfig {
    let mut config = base(bootstrap, client_id);
    config
        .set("group.id", group.unwrap_or(NO_GROUP))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        // The default of 64 MiB is more than a small pod's whole share.
        .set("queued.max.messages.kbytes", "16384");
    config
}

/// A consumer without a group that tells when the end of a partition is reached.
pub(super) fn reader(bootstrap: &str, client_id: &str) -> ClientConfig {
    let mut config = consumer(bootstrap, client_id, None);
    config.set("enable.partition.eof", "true");
    config
}

pub(super) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}
