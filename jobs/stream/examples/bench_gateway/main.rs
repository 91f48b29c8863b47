//! The gateway over HTTP beside bare peers on the same machine: batches beside a bare producer that writes the
//! same records with the same acknowledgements, single events beside a handler that does nothing. Only the
//! ratios say something; each is a line `name ours peer ratio`.
//!
//! `cargo run --release -p millrace-stream --example bench_gateway -- [EVENTS] [BATCH] [SINGLES]`

#[path = "../bench_support/mod.rs"]
mod bench_support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::routing::post;
use bench_support::{create_topics, line, percentile, rate};
use futures::future::try_join_all;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, codec, topics};
use millrace_stream::gateway;
use millrace_stream::settings::Common;
use millrace_testkit::Kafka;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const ADMIN: &str = "admin-token-of-the-benchmark";
const VEHICLES: u64 = 16;
const LONGEST: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let events = numbers.next().transpose()?.unwrap_or(200_000);
    let batch = numbers.next().transpose()?.unwrap_or(200).max(1);
    let singles = numbers.next().transpose()?.unwrap_or(16_000);
    let Some(kafka) = Kafka::start()? else {
        return Ok(());
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap, topics::ALL).await?;
    let per_vehicle = (events / VEHICLES).max(1);
    let trips: Vec<Vec<Telemetry>> = (0..VEHICLES).map(|v| trip(v, per_vehicle)).collect();
    let total = per_vehicle * VEHICLES;

    let records = records(&trips);
    let server = bootstrap.clone();
    let bare = tokio::task::spawn_blocking(move || bare(&server, &records)).await??;
    let (running, _directory) = start(&bootstrap).await?;
    let vehicles = enrol(&running, &trips).await?;

    let batch = usize::try_from(batch)?;
    post_all(&vehicles, bodies(&trips, batch)?).await?;
    let (elapsed, _) = post_all(&vehicles, bodies(&trips, batch)?).await?;
    line(
        "gateway_batch_events_per_second",
        rate(total, elapsed),
        rate(total, bare),
    );

    let count = usize::try_from((singles / VEHICLES).max(1))?;
    let single: Vec<Vec<Telemetry>> = trips.iter().map(|t| repeat(t, count)).collect();
    let idle = idle().await?;
    let idle_vehicles: Vec<(String, String)> = vehicles
        .iter()
        .map(|(_, token)| (idle.clone(), token.clone()))
        .collect();
    let requests = u64::try_from(count)? * VEHICLES;
    let (ours, ours_took) = post_all(&vehicles, bodies(&single, 1)?).await?;
    let (peer, peer_took) = post_all(&idle_vehicles, bodies(&single, 1)?).await?;
    line(
        "gateway_single_posts_per_second",
        rate(requests, ours),
        rate(requests, peer),
    );
    for (name, part) in [("p50", 0.50), ("p99", 0.99)] {
        line(
            &format!("gateway_single_post_{name}_ms"),
            percentile(&ours_took, part)?,
            percentile(&peer_took, part)?,
        );
    }
    running.finish().await?;
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

fn repeat(trip: &[Telemetry], count: usize) -> Vec<Telemetry> {
    trip.iter().cycle().take(count).cloned().collect()
}

/// A record as the gateway writes it.
struct Record {
    key: String,
    headers: OwnedHeaders,
    payload: Vec<u8>,
}

fn records(trips: &[Vec<Telemetry>]) -> Vec<Record> {
    let longest = trips.iter().map(Vec::len).max().unwrap_or_default();
    (0..longest)
        .flat_map(|n| trips.iter().filter_map(move |trip| trip.get(n)))
        .map(|event| Record {
            key: event.vehicle.clone(),
            headers: CloudEvent::of_telemetry(event, "/bench")
                .headers()
                .iter()
                .fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(Header {
                        key,
                        value: Some(value),
                    })
                }),
            payload: codec::encode(event),
        })
        .collect()
}

/// The same records, ready made, with the same settings and nothing else.
fn bare(bootstrap: &str, records: &[Record]) -> anyhow::Result<Duration> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "1")
        .create()?;
    // A connection that is new, and a broker that is cold, are no part of it.
    write(&producer, records)?;
    let begin = Instant::now();
    write(&producer, records)?;
    Ok(begin.elapsed())
}

fn write(producer: &BaseProducer, records: &[Record]) -> anyhow::Result<()> {
    let begin = Instant::now();
    for record in records {
        let mut next = BaseRecord::to(topics::TELEMETRY)
            .key(&record.key)
            .headers(record.headers.clone())
            .payload(&record.payload);
        loop {
            match producer.send(next) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    ensure!(begin.elapsed() < LONGEST, "the bare producer is stuck");
                    next = back;
                    producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(LONGEST)?;
    Ok(())
}

/// A server whose handler does nothing.
async fn idle() -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/", post(async || ()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}/"))
}

async fn start(bootstrap: &str) -> anyhow::Result<(gateway::Running, tempfile::TempDir)> {
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
        https: free,
        mqtts: free,
        tls_directory: None,
        ingest_directory: "/nonexistent".into(),
    };
    let running = gateway::start(args, CancellationToken::new())
        .await?
        .context("the gateway was stopped")?;
    Ok((running, directory))
}

/// Where each vehicle posts, and its token.
async fn enrol(
    running: &gateway::Running,
    trips: &[Vec<Telemetry>],
) -> anyhow::Result<Vec<(String, String)>> {
    let client = reqwest::Client::new();
    let mut vehicles = Vec::new();
    for trip in trips {
        let vehicle = &trip.first().context("an empty trip")?.vehicle;
        let url = format!("http://{}/v1/vehicles/{vehicle}", running.http);
        let request = client.put(&url).bearer_auth(ADMIN);
        let answer: Value = request.send().await?.json().await?;
        let token = answer["token"].as_str().context("no token")?.to_owned();
        vehicles.push((format!("{url}/telemetry"), token));
    }
    Ok(vehicles)
}

fn bodies(trips: &[Vec<Telemetry>], batch: usize) -> anyhow::Result<Vec<Vec<Vec<u8>>>> {
    let of = |trip: &Vec<Telemetry>| trip.chunks(batch).map(serde_json::to_vec).collect();
    Ok(trips.iter().map(of).collect::<Result<_, _>>()?)
}

/// Each vehicle posts its bodies one after the other, all vehicles at once. Gives how long all of it took, and
/// each post.
async fn post_all(
    vehicles: &[(String, String)],
    bodies: Vec<Vec<Vec<u8>>>,
) -> anyhow::Result<(Duration, Vec<Duration>)> {
    let client = reqwest::Client::new();
    let begin = Instant::now();
    let senders = vehicles.iter().zip(bodies).map(|((url, token), bodies)| {
        let client = client.clone();
        async move {
            let mut took = Vec::with_capacity(bodies.len());
            for body in bodies {
                let since = Instant::now();
                let request = client.post(url).bearer_auth(token).body(body);
                let status = request.send().await?.status();
                ensure!(status.is_success(), "{status}");
                took.push(since.elapsed());
            }
            Ok(took)
        }
    });
    let all = tokio::time::timeout(LONGEST, try_join_all(senders)).await??;
    let elapsed = begin.elapsed();
    Ok((elapsed, all.into_iter().flatten().collect()))
}
