//! How fast `detect` goes from Kafka to committed alerts, beside a bare consumer of the same records on the
//! same machine: only the ratio says something.
//!
//! `cargo run --release -p millrace-stream --example bench_detect -- [EVENTS] [VEHICLES]`

use std::time::{Duration, Instant};

use anyhow::Context as _;
use millrace_contract::{Telemetry, codec};
use millrace_stream::connect::{
    GroupConsumer, GroupEvents, GroupSettings, Lookup, Member, Producer,
};
use millrace_stream::{detect, settings};
use millrace_testkit::Kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use tokio_util::sync::CancellationToken;

struct Ignored;

impl GroupEvents for Ignored {
    fn assigned(&self, _: &[i32]) {}
    fn revoked(&self, _: &Member<'_>, _: &[i32], _: bool) {}
    fn lag(&self, _: i32, _: i64) {}
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers.next().transpose()?.unwrap_or(500_000);
    let vehicles = numbers.next().transpose()?.unwrap_or(500);
    let Some(kafka) = Kafka::start()? else {
        return Ok(());
    };
    let bootstrap = kafka.bootstrap();
    topics(&bootstrap).await?;
    let bytes = fill(&bootstrap, events, vehicles).await?;
    println!(
        "{events} events of {vehicles} vehicles, {} bytes each",
        bytes / events
    );

    let server = bootstrap.clone();
    let bare = tokio::task::spawn_blocking(move || bare(&server, events)).await??;
    println!("bare consumer: {:.0} events/s", rate(events, bare));
    let detected = detected(&bootstrap).await?;
    println!("detect:        {:.0} events/s", rate(events, detected));
    println!(
        "ratio:         {:.3}",
        bare.as_secs_f64() / detected.as_secs_f64()
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // a benchmark's numbers are far below 2^52
fn rate(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}

async fn topics(bootstrap: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let one = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let wanted = [
        one("telemetry", 4),
        one("detect-state", 4).set("cleanup.policy", "compact"),
        one("alerts", 4),
        one("dead-letters", 1),
    ];
    admin.create_topics(&wanted, &AdminOptions::new()).await?;
    Ok(())
}

async fn fill(bootstrap: &str, events: u64, vehicles: u64) -> anyhow::Result<u64> {
    let producer = Producer::new(bootstrap, "bench")?;
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let mut bytes = 0;
    for n in 0..events {
        let (vehicle, sequence) = (format!("car-{:05}", n % vehicles), n / vehicles);
        let time = start + jiff::SignedDuration::from_secs(i64::try_from(sequence)?);
        let mut event = Telemetry::new(&vehicle, sequence, time);
        event.speed = Some(50.0);
        event.engine_speed = Some(2100.0);
        event.coolant_temperature = Some(if sequence % 20 < 10 { 88.5 } else { 87.5 });
        let value = codec::encode(&event);
        bytes += value.len() as u64;
        loop {
            match producer.enqueue("telemetry", &vehicle, &[], Some(&value), None) {
                Ok(_) => break,
                Err(e) if e.is_queue_full() => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(e) => return Err(e.into()),
            }
        }
    }
    producer.flush(Duration::from_secs(60)).await?;
    Ok(bytes)
}

fn bare(bootstrap: &str, events: u64) -> anyhow::Result<Duration> {
    let settings = GroupSettings {
        bootstrap: bootstrap.to_owned(),
        client_id: "bench".to_owned(),
        group: "bare".to_owned(),
        topic: "telemetry".to_owned(),
        session_timeout: Duration::from_secs(10),
        hold: false,
    };
    let consumer = GroupConsumer::join(&settings, Ignored)?;
    let (mut seen, mut started) = (0, None);
    while seen < events {
        if consumer.poll(Duration::from_millis(100))?.is_some() {
            started.get_or_insert_with(Instant::now);
            seen += 1;
        }
    }
    Ok(started.context("nothing was read")?.elapsed())
}

async fn detected(bootstrap: &str) -> anyhow::Result<Duration> {
    let stop = CancellationToken::new();
    let args = detect::Args {
        common: settings::Common {
            config: None,
            service_binding_root: None,
            bootstrap_servers: Some(bootstrap.to_owned()),
            metrics: "127.0.0.1:0".parse()?,
        },
        instance: Some("bench".to_owned()),
    };
    let job = tokio::spawn(detect::run(args, stop.clone()));
    let lookup = Lookup::new(bootstrap, "bench")?;
    let mut started = None;
    loop {
        let committed = lookup.committed("detect", "telemetry").await?;
        let mut left = 0;
        for (partition, offset) in &committed {
            left += lookup.watermarks("telemetry", *partition).await?.1 - offset.unwrap_or(0);
        }
        if committed.iter().any(|(_, offset)| offset.is_some()) {
            started.get_or_insert_with(Instant::now);
        }
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    job.await??;
    Ok(started.context("nothing was committed")?.elapsed())
}
