//! Topics in a real Kafka: by the operator, and by a bare client that asks the API server and Kafka for the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams, PostParams};
use millrace_operator::remote::kafka::{KafkaAdmin, NewTopic, Timeouts};
use millrace_operator::topic::crd::KafkaTopic;
use millrace_testkit::Kafka;
use serde_json::{Value, json};

use crate::ours::Operator;
use crate::world::{NAMESPACE, World};

/// Requests under way at once, of the user and of the bare client.
const AT_ONCE: usize = 16;
const SECRET: &str = "kafka";

fn name(number: usize) -> String {
    format!("topic-{number:05}")
}

fn topic(number: usize) -> anyhow::Result<KafkaTopic> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": {"name": name(number), "namespace": NAMESPACE},
        "spec": {"binding": SECRET, "partitions": 1, "schema": "alert", "config": {"retention.ms": "60000"}},
    }))?)
}

async fn place() -> anyhow::Result<(World, Kafka)> {
    let (Some(world), Some(kafka)) = (World::start().await?, Kafka::start()?) else {
        anyhow::bail!(
            "no API server or no Kafka: run `cargo xtask test --tier systems` once, which fetches them"
        );
    };
    let secret: Secret = serde_json::from_value(json!({"metadata": {"name": SECRET},
        "stringData": {"type": "kafka", "bootstrap-servers": kafka.bootstrap()}}))?;
    Api::<Secret>::namespaced(world.client.clone(), NAMESPACE)
        .create(&PostParams::default(), &secret)
        .await?;
    Ok((world, kafka))
}

/// From the first topic created until all are available.
pub async fn by_the_operator(count: usize, limit: Duration) -> anyhow::Result<Duration> {
    let (world, _kafka) = place().await?;
    let mut operator = Operator::start(&world)?;
    operator.ready().await?;
    let started = Instant::now();
    let api: Api<KafkaTopic> = Api::namespaced(world.client.clone(), NAMESPACE);
    stream::iter(0..count)
        .map(|number| {
            let api = &api;
            async move {
                let made = api.create(&PostParams::default(), &topic(number)?).await;
                made.map_err(anyhow::Error::from)
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    world
        .wait_available::<KafkaTopic>(count, started, limit)
        .await
}

/// The same: the resource, its label, the topic, a look at what came of it, and the status.
pub async fn by_a_bare_client(count: usize, limit: Duration) -> anyhow::Result<Duration> {
    let (world, kafka) = place().await?;
    let admin = KafkaAdmin::new(&kafka.bootstrap(), Timeouts::default())?;
    let started = Instant::now();
    let writing = stream::iter(0..count)
        .map(|number| one(&world, &admin, number))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>();
    tokio::time::timeout(limit, writing).await??;
    world
        .wait_available::<KafkaTopic>(count, started, limit)
        .await
}

async fn one(world: &World, admin: &KafkaAdmin, number: usize) -> anyhow::Result<()> {
    let (api, name) = (
        Api::<KafkaTopic>::namespaced(world.client.clone(), NAMESPACE),
        name(number),
    );
    api.create(&PostParams::default(), &topic(number)?).await?;
    let merge = |body: Value| Patch::Merge(body);
    let label = merge(json!({"metadata": {"labels": {"bench/claim": name}}}));
    api.patch(&name, &PatchParams::default(), &label).await?;
    anyhow::ensure!(
        admin.topic(&name).await?.is_none(),
        "{name} is there already"
    );
    let new = NewTopic {
        name: name.clone(),
        partitions: 1,
        replication_factor: 1,
        config: BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]),
    };
    admin.create_topic(&new).await?;
    while admin.topic(&name).await?.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    admin.topic_config(&name).await?;
    let status = merge(
        json!({"status": {"topicName": name, "partitions": 1, "replicationFactor": 1,
        "conditions": [{"type": "Available", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
            "reason": "TopicThere", "message": "the topic has 1 partitions and replication factor 1"}]}}),
    );
    api.patch_status(&name, &PatchParams::default(), &status)
        .await?;
    Ok(())
}
