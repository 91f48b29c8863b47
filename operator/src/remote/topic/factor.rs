//! More or fewer copies of a topic's partitions.

use crate::kafka::placement::{Brokers, Partition, with_factor};
use crate::kafka::view::placement;
use crate::remote::kafka::{Factor, KafkaAdmin, KafkaError, Moves, ResponseError};

/// Gives each partition of a topic `factor` copies; Kafka makes them in the background. What moves already goes on from
/// where it is to arrive.
///
/// # Errors
/// [`KafkaError`]; as Kafka itself does, `InvalidReplicationFactor` where there are fewer brokers than that.
pub(super) async fn set_factor(
    admin: &KafkaAdmin,
    topic: &str,
    factor: i32,
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
    let moves: Moves = targets
        .into_iter()
        .map(|(at, replicas)| (at, Some(replicas)))
        .collect();
    admin.reassign(&moves, Factor::Changed).await
}
