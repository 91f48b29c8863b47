//! The number of copies of a topic's partitions.

use std::collections::BTreeSet;

use crate::kafka::placement::{Brokers, Partition, with_factor};
use crate::kafka::view::placement;
use crate::remote::kafka::{Factor, KafkaAdmin, KafkaError, Moves, ResponseError, TopicView};

/// Who makes and removes copies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mover {
    /// The reconciler of the KafkaCluster, which throttles all that moves. It is asked by the status of the topic.
    Cluster,
    /// The reconciler of the topic: the Kafka is somebody else's, and so are its throttles.
    Topic,
}

/// How many copies partitions have, or are on their way to have.
pub(super) async fn copies(
    admin: &KafkaAdmin,
    view: &TopicView,
    wanted: i32,
) -> Result<BTreeSet<i32>, KafkaError> {
    let count = |ids: &[i32]| i32::try_from(ids.len()).unwrap_or(i32::MAX);
    let there = view.partitions.iter().map(|p| count(&p.replicas));
    let there: BTreeSet<i32> = there.collect();
    if there.iter().all(|copies| *copies == wanted) {
        return Ok(there);
    }
    // While it moves, a partition has those that come and those that go.
    let reassignments = admin.reassignments().await?;
    let arriving = placement(std::slice::from_ref(view), &reassignments);
    Ok(arriving.iter().map(|p| count(&p.replicas)).collect())
}

/// Gives each partition of a topic `factor` copies, or only finds out whether it can have them where another one moves.
/// Kafka makes them in the background. What moves already goes on from where it is to arrive.
///
/// # Errors
/// [`KafkaError`]; as Kafka itself does, `InvalidReplicationFactor` where there are fewer brokers than that.
pub(super) async fn set_factor(
    admin: &KafkaAdmin,
    topic: &str,
    factor: i32,
    mover: Mover,
) -> Result<(), KafkaError> {
    let reassignments = admin.reassignments().await?;
    let all = placement(&admin.topics().await?, &reassignments);
    let brokers: Brokers = admin
        .registered_brokers()
        .await?
        .into_iter()
        .filter(|broker| !broker.fenced)
        .map(|broker| (broker.id, broker.rack))
        .collect();
    let of_topic = all.iter().filter(|partition| partition.at.topic == topic);
    let of_topic: Vec<Partition> = of_topic.cloned().collect();
    let count = usize::try_from(factor).unwrap_or(1);
    let targets =
        with_factor(&of_topic, &all, &brokers, count).map_err(|too_few| KafkaError::Broker {
            asked: format!("give topic {topic} {factor} copies of each partition"),
            code: ResponseError::InvalidReplicationFactor,
            message: Some(format!("there are {} brokers", too_few.brokers)),
        })?;
    if mover == Mover::Cluster {
        return Ok(());
    }
    let moves: Moves = targets
        .into_iter()
        .map(|(at, replicas)| (at, Some(replicas)))
        .collect();
    admin.reassign(&moves, Factor::Changed).await
}
