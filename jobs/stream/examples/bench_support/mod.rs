//! What the benchmarks of this folder share: topics, a bare member of a group, and how figures are printed.
// Each benchmark is a program of its own and uses a part.
#![allow(dead_code)]

use std::time::Duration;

use millrace_stream::connect::{GroupEvents, GroupSettings, Member, Producer};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 4;

/// Prints the name, our figure, the peer's, and ours divided by the peer's.
pub fn line(name: &str, ours: f64, peer: f64) {
    println!("{name} {ours:.2} {peer:.2} {:.3}", ours / peer);
}

/// So many a second.
#[allow(clippy::cast_precision_loss)] // a benchmark's numbers are far below 2^52
pub fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The nearest rank, in milliseconds; `part` is 0.99 for the 99th percentile.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // some hundred thousand samples
pub fn percentile(samples: &[Duration], part: f64) -> anyhow::Result<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    let sample = sorted.get(rank.saturating_sub(1));
    let sample = sample.ok_or_else(|| anyhow::anyhow!("nothing was measured"))?;
    Ok(sample.as_secs_f64() * 1_000.0)
}

/// Makes topics, each with whether it is compacted.
pub async fn create_topics(bootstrap: &str, topics: &[(&str, bool)]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|(name, compacted)| {
            let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
            if *compacted {
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

/// A member of a group that starts at once.
pub fn group(bootstrap: &str, group: &str, topic: &str) -> GroupSettings {
    GroupSettings {
        access: bootstrap.into(),
        client_id: group.to_owned(),
        group: group.to_owned(),
        topic: topic.to_owned(),
        session_timeout: Duration::from_secs(10),
        hold: false,
        since: None,
        tell_end: false,
    }
}

/// Puts a record into the queue, and waits where it is full.
pub async fn enqueue(
    producer: &Producer,
    topic: &str,
    key: &str,
    headers: &[(String, String)],
    value: &[u8],
) -> anyhow::Result<()> {
    loop {
        match producer.enqueue(topic, key, headers, Some(value), None) {
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
