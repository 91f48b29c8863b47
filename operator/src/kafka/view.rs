//! What one look into a running cluster has shown. A reconcile looks once, and everything is decided from that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::placement::Partition;
use crate::remote::kafka::{
    KafkaAdmin, KafkaError, PartitionView, QuorumView, Reassignment, RegisteredBroker,
    TopicPartition, TopicView,
};

/// How many copies in sync a partition must have to take records that all of them have to acknowledge.
const MIN_IN_SYNC: &str = "min.insync.replicas";
/// What was seen longer ago says too little to restart a node.
const FRESH: Duration = Duration::from_secs(5);

/// The inside of a cluster.
#[derive(Clone, Debug)]
pub struct View {
    /// The quorum of controllers.
    pub quorum: QuorumView,
    /// All topics.
    pub topics: Vec<TopicView>,
    /// `min.insync.replicas` of each topic, as it is in force.
    pub min_in_sync: BTreeMap<String, usize>,
    /// The brokers.
    pub registered: Vec<RegisteredBroker>,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// What moves.
    pub reassignments: Vec<Reassignment>,
    /// When it was seen.
    pub at: Instant,
}

impl View {
    /// Looks.
    ///
    /// # Errors
    /// [`KafkaError`] when Kafka does not answer in time.
    pub async fn look(admin: &KafkaAdmin) -> Result<Self, KafkaError> {
        let at = Instant::now();
        let quorum = admin.quorum().await?;
        // Before the topics: what ends in between still counts as moving.
        let reassignments = admin.reassignments().await?;
        let topics = admin.topics().await?;
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let settings = admin.settings_of_topics(&names, &[MIN_IN_SYNC]).await?;
        let min_in_sync = settings.into_iter().filter_map(|(topic, settings)| {
            let value = settings.get(MIN_IN_SYNC)?.value.as_ref()?;
            Some((topic, value.parse().ok()?))
        });
        Ok(Self {
            min_in_sync: min_in_sync.collect(),
            registered: admin.registered_brokers().await?,
            cluster_id: admin.cluster().await?.cluster_id,
            quorum,
            topics,
            reassignments,
            at,
        })
    }

    /// Whether it is fresh enough to restart a node for it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }

    /// All partitions, with their topics.
    pub fn partitions(&self) -> impl Iterator<Item = (&TopicView, &PartitionView)> {
        self.topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)))
    }

    /// `min.insync.replicas` of a topic.
    #[must_use]
    pub fn min_in_sync(&self, topic: &str) -> usize {
        self.min_in_sync.get(topic).copied().unwrap_or(1)
    }

    /// How many copies a broker holds.
    #[must_use]
    pub fn copies_on(&self, id: i32) -> usize {
        self.partitions()
            .filter(|(_, partition)| partition.replicas.contains(&id))
            .count()
    }

    /// Whether a broker is registered and serves.
    #[must_use]
    pub fn serves(&self, id: i32) -> bool {
        self.registered
            .iter()
            .any(|broker| broker.id == id && !broker.fenced)
    }

    /// Partitions with the replicas that they have, or are on their way to have.
    #[must_use]
    pub fn placement(&self) -> Vec<Partition> {
        placement(&self.topics, &self.reassignments)
    }

    /// Whether a partition is led by another than its preferred leader, which could lead.
    #[must_use]
    pub fn wants_election(&self) -> bool {
        self.partitions().any(|(_, partition)| {
            let preferred = partition.replicas.first();
            preferred.is_some_and(|preferred| {
                partition.leader != Some(*preferred)
                    && partition.in_sync.contains(preferred)
                    && self.serves(*preferred)
            })
        })
    }
}

/// Partitions with the replicas that they have, or are on their way to have.
#[must_use]
pub fn placement(topics: &[TopicView], reassignments: &[Reassignment]) -> Vec<Partition> {
    let moving: BTreeMap<&TopicPartition, &Reassignment> = reassignments
        .iter()
        .map(|reassignment| (&reassignment.at, reassignment))
        .collect();
    let partitions = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
    partitions
        .map(|(topic, partition)| {
            let at = TopicPartition {
                topic: topic.name.clone(),
                partition: partition.index,
            };
            let reassignment = moving.get(&at);
            let replicas = match reassignment {
                None => partition.replicas.clone(),
                Some(moving) => {
                    let all = moving.replicas.iter().copied();
                    all.filter(|id| !moving.removing.contains(id)).collect()
                }
            };
            Partition {
                moves: reassignment.is_some(),
                at,
                replicas,
            }
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::remote::kafka::QuorumReplica;
    use uuid::Uuid;

    /// A cluster with these partitions of the topic `t` (replicas, in sync), three voters of whom 0 leads, and brokers 0
    /// to 4.
    pub(in super::super) fn view(partitions: &[(&[i32], &[i32])]) -> View {
        let voter = |id: i32| QuorumReplica {
            id,
            directory: Uuid::from_u128(1),
            log_end_offset: 5000,
            last_fetch_ms: 1_000_000,
            last_caught_up_ms: 1_000_000,
        };
        let partitions = partitions
            .iter()
            .enumerate()
            .map(|(index, (replicas, in_sync))| PartitionView {
                index: index as i32,
                leader: in_sync.first().copied(),
                replicas: replicas.to_vec(),
                in_sync: in_sync.to_vec(),
            })
            .collect();
        View {
            quorum: QuorumView {
                leader: 0,
                epoch: 1,
                high_watermark: 5000,
                voters: vec![voter(0), voter(1), voter(2)],
                observers: Vec::new(),
                endpoints: BTreeMap::new(),
            },
            topics: vec![TopicView {
                name: "t".into(),
                id: Uuid::from_u128(9),
                internal: false,
                partitions,
            }],
            min_in_sync: [("t".to_owned(), 2)].into(),
            registered: (0..5)
                .map(|id| RegisteredBroker {
                    id,
                    address: format!("b{id}:9092"),
                    rack: None,
                    fenced: false,
                })
                .collect(),
            cluster_id: None,
            reassignments: Vec::new(),
            at: Instant::now(),
        }
    }

    pub(in super::super) fn moving(
        partition: i32,
        to: &[i32],
        add: &[i32],
        remove: &[i32],
    ) -> Reassignment {
        Reassignment {
            at: TopicPartition {
                topic: "t".into(),
                partition,
            },
            replicas: to.iter().chain(remove).copied().collect(),
            adding: add.to_vec(),
            removing: remove.to_vec(),
        }
    }

    #[test]
    fn what_moves_counts_where_it_goes() {
        let mut view = view(&[(&[1, 2, 0], &[0, 1, 2]), (&[1, 2], &[1, 2])]);
        view.reassignments = vec![moving(0, &[1, 2], &[1], &[0])];
        let placement = view.placement();
        assert_eq!(placement[0].replicas, [1, 2]);
        assert!(placement[0].moves && !placement[1].moves);
        assert_eq!(view.copies_on(0), 1);
    }

    #[test]
    fn an_election_is_wanted_where_the_preferred_leader_could_lead() {
        assert!(!view(&[(&[1, 2], &[1, 2])]).wants_election());
        assert!(view(&[(&[1, 2], &[2, 1])]).wants_election());
        assert!(!view(&[(&[1, 2], &[2])]).wants_election(), "not in sync");
        let mut down = view(&[(&[1, 2], &[2, 1])]);
        down.registered[1].fenced = true;
        assert!(!down.wants_election());
    }
}
