//! How many events a second the gateway acknowledges over HTTP, beside a bare producer of the same records on
//! the same machine: only the ratio says something.
//!
//! `cargo run --release -p millrace-stream --example bench_gateway -- [EVENTS] [BATCH]`

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, codec, topics};
use millrace_stream::connect::Producer;
use millrace_stream::gateway;
use millrace_stream::settings::Common;
use millrace_testkit::Kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const ADMIN: &str = "admin-token-of-the-benchmark";
const VEHICLES: u64 = 16;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers.next().transpose()?.unwrap_or(200_000);
    let batch = numbers.next().transpose()?.unwrap_or(200).max(1);
    let Some(kafka) = Kafka::start()? else {
        return Ok(());
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await?;
    let per_vehicle = events / VEHICLES;
    let trips: Vec<Vec<Telemetry>> = (0..VEHICLES).map(|v| trip(v, per_vehicle)).collect();
    let total = per_vehicle * VEHICLES;

    let bare = bare(&bootstrap, &trips).await?;
    println!("bare producer: {:.0} events/s", rate(total, bare));
    let accepted = accepted(&bootstrap, &trips, batch).await?;
    println!(
        "gateway:       {:.0} events/s in batches of {batch}",
        rate(total, accepted)
    );
    println!(
        "ratio:         {:.3}",
        bare.as_secs_f64() / accepted.as_secs_f64()
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // a benchmark's numbers are far below 2^52
fn rate(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}

async fn create_topics(bootstrap: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let wanted: Vec<NewTopic<'_>> = topics::ALL
        .iter()
        .map(|(name, compacted)| {
            let topic = NewTopic::new(name, 4, TopicReplication::Fixed(1));
            if *compacted {
                topic.set("cleanup.policy", "compact")
            } else {
                topic
            }
        })
        .collect();
    for result in admin.create_topics(&wanted, &AdminOptions::new()).await? {
        if let Err((name, code)) = result {
            anyhow::bail!("topic {name}: {code}");
        }
    }
    Ok(())
}

fn trip(vehicle: u64, events: u64) -> Vec<Telemetry> {
    let now = jiff::Timestamp::now();
    (0..events)
        .map(|sequence| Telemetry {
            speed: Some(50.0),
            engine_speed: Some(2100.0),
            coolant_temperature: Some(91.0),
            ..Telemetry::new(format!("bench-{vehicle}"), sequence, now)
        })
        .collect()
}

/// The same records without a gateway: encoded, keyed, acknowledged.
async fn bare(bootstrap: &str, trips: &[Vec<Telemetry>]) -> anyhow::Result<Duration> {
    let producer = Producer::new(bootstrap, "bench-bare")?;
    let begin = Instant::now();
    for chunk in (0..trips[0].len()).collect::<Vec<_>>().chunks(1000) {
        let mut deliveries = Vec::new();
        for t in trips
            .iter()
            .flat_map(|trip| chunk.iter().filter_map(|n| trip.get(*n)))
        {
            let headers = CloudEvent::of_telemetry(t, "/bench").headers();
            let payload = codec::encode(t);
            deliveries.push(producer.enqueue(
                topics::TELEMETRY,
                &t.vehicle,
                &headers,
                Some(&payload),
                None,
            )?);
        }
        try_join_all(deliveries.into_iter().map(|d| d.acknowledged())).await?;
    }
    Ok(begin.elapsed())
}

async fn accepted(
    bootstrap: &str,
    trips: &[Vec<Telemetry>],
    batch: u64,
) -> anyhow::Result<Duration> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("gateway");
    std::fs::create_dir(&folder)?;
    for (name, value) in [
        ("type", "millrace-gateway"),
        ("admin-token", ADMIN),
        ("notify-token", ADMIN),
        ("pseudonym-key", "pseudonym-key-of-the-benchmark-012345"),
        ("seal-key", "seal-key-of-the-benchmark-0123456789"),
    ] {
        std::fs::write(folder.join(name), value)?;
    }
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let args = gateway::Args {
        common: Common {
            config: None,
            service_binding_root: Some(directory.path().to_path_buf()),
            bootstrap_servers: Some(bootstrap.to_owned()),
            metrics: free,
        },
        http: free,
        mqtt: free,
    };
    let running = gateway::start(args, CancellationToken::new())
        .await?
        .context("the gateway was stopped")?;
    let base = format!("http://{}/v1/vehicles", running.http);
    let client = reqwest::Client::new();
    let mut senders = Vec::new();
    for trip in trips {
        let vehicle = &trip.first().context("an empty trip")?.vehicle;
        let url = format!("{base}/{vehicle}");
        let answer: Value = client
            .put(&url)
            .bearer_auth(ADMIN)
            .send()
            .await?
            .json()
            .await?;
        let token = answer["token"].as_str().context("no token")?.to_owned();
        let bodies: Vec<Vec<u8>> = trip
            .chunks(usize::try_from(batch)?)
            .map(serde_json::to_vec)
            .collect::<Result<_, _>>()?;
        senders.push((format!("{url}/telemetry"), token, bodies));
    }
    let begin = Instant::now();
    try_join_all(senders.into_iter().map(|(url, token, bodies)| {
        let client = client.clone();
        async move {
            for body in bodies {
                let status = client
                    .post(&url)
                    .bearer_auth(&token)
                    .body(body)
                    .send()
                    .await?
                    .status();
                ensure!(status.is_success(), "{status}");
            }
            Ok(())
        }
    }))
    .await?;
    let elapsed = begin.elapsed();
    running.finish().await?;
    Ok(elapsed)
}
