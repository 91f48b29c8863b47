//! A Kafka of its own, and `detect` in this process.

use std::time::Duration;

use millrace_stream::{detect, settings};
use millrace_testkit::Kafka;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bench_support::create_topics;

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
        let topics: Vec<(&str, bool)> = names
            .iter()
            .map(|name| (name.as_str(), name.ends_with("state")))
            .collect();
        create_topics(&self.bootstrap, &topics).await
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
}
