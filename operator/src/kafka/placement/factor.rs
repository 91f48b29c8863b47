//! More or fewer replicas of a partition.

use super::{Brokers, Counts, Partition, Targets, TooFew, best, rack};

/// The replicas of partitions that are to have `factor` of them. More go to the best brokers; of fewer, the preferred
/// leader stays, and those go first that share a rack or sit on the fullest brokers. `all` are the partitions that
/// brokers are judged by.
///
/// # Errors
/// There are fewer brokers than that.
pub fn with_factor(
    partitions: &[Partition],
    all: &[Partition],
    brokers: &Brokers,
    factor: usize,
) -> Result<Targets, TooFew> {
    let mut counts = Counts::of(all);
    let mut targets = Targets::new();
    for partition in partitions {
        let topic = partition.at.topic.as_str();
        let mut replicas = partition.replicas.clone();
        while replicas.len() < factor {
            let Some(to) = best(brokers, &counts, topic, &replicas) else {
                return Err(TooFew {
                    at: partition.at.clone(),
                    factor,
                    brokers: brokers.len(),
                });
            };
            counts.add(topic, to);
            replicas.push(to);
        }
        while replicas.len() > factor.max(1) {
            let Some(place) = most_dispensable(&replicas, brokers, &counts) else {
                break;
            };
            let from = replicas.remove(place);
            counts.remove(topic, from);
        }
        if replicas != partition.replicas {
            targets.insert(partition.at.clone(), replicas);
        }
    }
    Ok(targets)
}

fn most_dispensable(replicas: &[i32], brokers: &Brokers, counts: &Counts<'_>) -> Option<usize> {
    (1..replicas.len()).max_by_key(|place| {
        let id = replicas[*place];
        let shares = replicas.iter().any(|other| {
            *other != id
                && rack(brokers, id).is_some()
                && rack(brokers, *other) == rack(brokers, id)
        });
        (!brokers.contains_key(&id), shares, counts.total(id), id)
    })
}
