//! A Kafka of its own, and `detect` in this process.

use std::time::Duration;

use millrace_stream::connect::{GroupEvents, GroupSettings, Member, Producer};
use millrace_stream::{detect, settings};
use millrace_testkit::Kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 4;

/// `flushInterval` and `flushEvents` of `detect`, for both sides.
pub const FLUSH: (Duration, usize) = (Duration::from_millis(200), 5_000);

/// Where everything happens.
pub struct Place {
    _kafka: Kafka,
    /// host:port of the broker.
    pub bootstrap: String,
    directory: tempfile::TempDir,
}

/// A `detect` that runs.
pub struct Running {
    stop: CancellationToken,
    job: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Ends it in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.job.await?
    }
}

impl Place {
    /// Starts Kafka, where there is one.
    pub fn new() -> anyhow::Result<Option<Self>> {
        let Some(kafka) = Kafka::start()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            bootstrap: kafka.bootstrap(),
            _kafka: kafka,
            directory: tempfile::tempdir()?,
        }))
    }

    /// Makes topics; those whose name ends in `state` are compacted.
    pub async fn topics(&self, names: &[String]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()?;
        let wanted: Vec<NewTopic> = names
            .iter()
            .map(|name| {
                let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
                if name.ends_with("state") {
                    topic.set("cleanup.policy", "compact")
                } else {
                    topic
                }
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        for result in admin.create_topics(&wanted, &options).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Starts `detect` as a group of that name, from `telemetry` to `NAME-alerts`, with the state in
    /// `NAME-state`.
    pub fn detect(&self, name: &str, telemetry: &str) -> anyhow::Result<Running> {
        let config = self.directory.path().join(format!("{name}.yaml"));
        let (interval, events) = FLUSH;
        std::fs::write(
            &config,
            format!(
                "{{group: {name}, telemetryTopic: {telemetry}, alertsTopic: {name}-alerts, stateTopic: {name}-state, \
                 deadLettersTopic: {name}-dead, flushInterval: {}ms, flushEvents: {events}}}",
                interval.as_millis()
            ),
        )?;
        let stop = CancellationToken::new();
        let args = detect::Args {
            common: settings::Common {
                config: Some(config),
                service_binding_root: None,
                bootstrap_servers: Some(self.bootstrap.clone()),
                metrics: "127.0.0.1:0".parse()?,
            },
            instance: Some("bench".to_owned()),
        };
        let job = tokio::spawn(detect::run(args, stop.clone()));
        Ok(Running { stop, job })
    }

    /// The names of the topics that [`Place::detect`] needs besides the telemetry.
    pub fn detect_topics(name: &str) -> Vec<String> {
        ["alerts", "state", "dead"]
            .map(|kind| format!("{name}-{kind}"))
            .into()
    }

    /// A member of a group that starts at once.
    pub fn group(&self, group: &str, topic: &str) -> GroupSettings {
        GroupSettings {
            bootstrap: self.bootstrap.clone(),
            client_id: group.to_owned(),
            group: group.to_owned(),
            topic: topic.to_owned(),
            session_timeout: Duration::from_secs(10),
            hold: false,
            since: None,
            tell_end: false,
        }
    }
}

/// Puts a record into the queue, and waits where it is full.
pub async fn enqueue(
    producer: &Producer,
    topic: &str,
    key: &str,
    value: &[u8],
) -> anyhow::Result<()> {
    loop {
        match producer.enqueue(topic, key, &[], Some(value), None) {
            Ok(_) => return Ok(()),
            Err(e) if e.is_queue_full() => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(e) => return Err(e.into()),
        }
    }
}

/// Takes no notice of the group's events.
pub struct Ignored;

impl GroupEvents for Ignored {
    fn assigned(&self, _: &[i32]) {}
    fn revoked(&self, _: &Member<'_>, _: &[i32], _: bool) {}
    fn lag(&self, _: i32, _: i64) {}
}
