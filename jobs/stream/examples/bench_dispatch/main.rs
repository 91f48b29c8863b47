//! How fast `dispatch` brings alerts to an action, beside a bare consumer that posts the same alerts with as many
//! requests under way, to the same platform on the same machine, in the same run. The platform is a double that
//! answers at once, so that only the way to it is measured. Only the ratios say something.
//!
//! `cargo run --release -p millrace-stream --example bench_dispatch -- [ALERTS] [VEHICLES] [SECONDS]`
//!
//! - `dispatch_alerts_per_second`: a backlog of ALERTS (20,000) of VEHICLES (500); the median of three turns each.
//! - `alert_to_action_p50_ms`, `alert_to_action_p99_ms`: from sending an alert to its arrival at the platform, at
//!   half of that load for SECONDS (20).
//!
//! One line each: name, ours, the peer's, ours divided by the peer's.

mod bare;
#[path = "../bench_support/mod.rs"]
mod bench_support;
mod platform;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench_support::{create_topics, enqueue, line, median, percentile, rate};
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Alert, AlertDetails, Severity};
use millrace_stream::connect::Producer;
use millrace_stream::{dispatch, settings};
use millrace_testkit::Kafka;
use platform::Platform;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TURNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(180);
/// `maxInFlight` of `dispatch`, for both sides.
const IN_FLIGHT: usize = 16;
const SLICE: Duration = Duration::from_millis(10);

/// Where alerts are, and where they are to go.
struct Place {
    bootstrap: String,
    platform: Platform,
    directory: tempfile::TempDir,
}

/// One of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Peer,
}

/// A program that runs.
struct Running {
    stop: CancellationToken,
    job: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.job.await?
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let alerts = numbers.next().transpose()?.unwrap_or(20_000).max(1_000);
    let vehicles = numbers.next().transpose()?.unwrap_or(500).clamp(1, alerts);
    let seconds = numbers.next().transpose()?.unwrap_or(20).clamp(5, 120);
    let Some(kafka) = Kafka::start()? else {
        return Ok(());
    };
    let place = Place {
        bootstrap: kafka.bootstrap(),
        platform: Platform::start().await?,
        directory: tempfile::tempdir()?,
    };

    create_topics(&place.bootstrap, &[("backlog", false)]).await?;
    let producer = Producer::new(&place.bootstrap, "bench")?;
    for n in 0..alerts {
        send(&producer, "backlog", n, vehicles).await?;
    }
    producer.flush(Duration::from_secs(60)).await?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        for (side, rates) in [(Side::Peer, &mut peer), (Side::Ours, &mut ours)] {
            place.platform.forget();
            let running = place.start(side, &format!("{side:?}-{turn}"), "backlog")?;
            let (first, last) = place.platform.wait_for(alerts, LIMIT).await?;
            rates.push(rate(alerts - 1, last - first));
            running.stop().await?;
        }
    }
    let (ours, peer) = (median(ours), median(peer));
    line("dispatch_alerts_per_second", ours, peer);

    let load = ours.min(peer) / 2.0;
    let ours = place.live(Side::Ours, load, seconds, vehicles).await?;
    let peer = place.live(Side::Peer, load, seconds, vehicles).await?;
    for (name, part) in [("p50", 0.50), ("p99", 0.99)] {
        line(
            &format!("alert_to_action_{name}_ms"),
            percentile(&ours, part)?,
            percentile(&peer, part)?,
        );
    }
    Ok(())
}

impl Place {
    fn start(&self, side: Side, group: &str, topic: &str) -> anyhow::Result<Running> {
        let stop = CancellationToken::new();
        let job = match side {
            Side::Ours => tokio::spawn(dispatch::run(self.args(group, topic)?, stop.clone())),
            Side::Peer => {
                let settings = bench_support::group(&self.bootstrap, group, topic);
                let (url, stop) = (self.platform.action(), stop.clone());
                let runtime = tokio::runtime::Handle::current();
                tokio::task::spawn_blocking(move || bare::run(&settings, &url, &runtime, &stop))
            }
        };
        Ok(Running { stop, job })
    }

    fn args(&self, group: &str, topic: &str) -> anyhow::Result<dispatch::Args> {
        let file = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = self.directory.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let config = format!(
            "{{topic: {topic}, group: {group}, action: {}, maxInFlight: {IN_FLIGHT}}}",
            platform::ACTION
        );
        Ok(dispatch::Args {
            common: settings::Common {
                config: Some(file(&format!("{group}.yaml"), &config)?),
                service_binding_root: None,
                bootstrap_servers: Some(self.bootstrap.clone()),
                metrics: "127.0.0.1:0".parse()?,
            },
            openwhisk_uri: Some(self.platform.uri()),
            openwhisk_ca_file: None,
            openwhisk_auth_file: Some(file("auth", "user:key")?),
        })
    }

    /// How long each alert was under way when so many a second were sent.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // some thousand
    async fn live(
        &self,
        side: Side,
        load: f64,
        seconds: u64,
        vehicles: u64,
    ) -> anyhow::Result<Vec<Duration>> {
        let topic = format!("live-{side:?}").to_lowercase();
        create_topics(&self.bootstrap, &[(&topic, false)]).await?;
        self.platform.forget();
        let running = self.start(side, &topic, &topic)?;
        let producer = Producer::new(&self.bootstrap, "bench")?;
        // It is under way before it begins.
        send(&producer, &topic, 0, vehicles).await?;
        self.platform.wait_for(1, LIMIT).await?;
        self.platform.forget();

        let total = (load * seconds as f64) as u64;
        let (begun, mut sent) = (Instant::now(), Vec::new());
        while (sent.len() as u64) < total {
            let due = ((begun.elapsed().as_secs_f64() * load) as u64).min(total);
            for n in sent.len() as u64..due {
                sent.push(Instant::now());
                send(&producer, &topic, n, vehicles).await?;
            }
            tokio::time::sleep(SLICE).await;
        }
        self.platform.wait_for(total, LIMIT).await?;
        running.stop().await?;
        let arrived = self.platform.arrivals();
        anyhow::ensure!(
            arrived.len() == sent.len(),
            "{side:?}: {} of {total} alerts arrived",
            arrived.len()
        );
        let times = sent.iter().enumerate();
        Ok(times
            .filter_map(|(n, then)| Some(*arrived.get(&(n as u64))? - *then))
            .collect())
    }
}

async fn send(producer: &Producer, topic: &str, n: u64, vehicles: u64) -> anyhow::Result<()> {
    let vehicle = format!("car-{:05}", n % vehicles);
    let time = jiff::Timestamp::now();
    let alert = Alert {
        id: n.to_string(),
        vehicle: vehicle.clone(),
        hire: None,
        model: None,
        rule: "overheating".to_owned(),
        severity: Severity::Warning,
        episode: n.to_string(),
        event_time: time,
        detected_at: time,
        signal: "coolant_temperature".to_owned(),
        value: 108.0,
        unit: "Cel".to_owned(),
        threshold: 107.0,
        trend_per_minute: None,
        seconds_to_limit: None,
        text: "The engine is too hot.".to_owned(),
        details: AlertDetails::default(),
    };
    // `dispatch` calls it an alert by its headers.
    let headers = CloudEvent::of_alert(&alert, "/millrace/bench").headers();
    let value = serde_json::to_vec(&alert)?;
    enqueue(producer, topic, &vehicle, &headers, &value).await
}
