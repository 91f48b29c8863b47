//! Questions about positions. They take several steps, between which leaders and coordinators may move.

use std::collections::BTreeMap;

use tokio::time::{Instant, sleep};

use super::admin::{FIRST_PAUSE, KafkaAdmin, LONGEST_PAUSE, Target};
use super::error::KafkaError;
use super::message::{self, GroupOffset, TopicView};
use super::offsets::{self, Isolation};

impl KafkaAdmin {
    /// The end of each partition of a topic: the offset its next record will have.
    ///
    /// # Errors
    /// [`KafkaError::is_unknown_topic`]; [`KafkaError::Incomplete`] when a partition has no leader all the time.
    pub async fn end_offsets(
        &self,
        topic: &str,
        isolation: Isolation,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let asked = format!("tell the end of topic {topic}");
        self.until_settled(|| self.end_offsets_once(topic, isolation, &asked))
            .await
    }

    async fn end_offsets_once(
        &self,
        topic: &str,
        isolation: Isolation,
        asked: &str,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let view = self.existing(topic, asked).await?;
        let mut ends = BTreeMap::new();
        for (leader, indexes) in self.by_leader(&view, asked).await? {
            let part = self
                .call(
                    Target::At(&leader),
                    asked,
                    |_| offsets::list_offsets_request(topic, &indexes, isolation),
                    |answer| offsets::read_list_offsets(answer, asked),
                )
                .await?;
            ends.extend(part);
        }
        Ok(ends)
    }

    /// Whether a topic holds a record, or a mark of a transaction: readers would have to pass it.
    ///
    /// # Errors
    /// As [`KafkaAdmin::end_offsets`].
    pub async fn holds_records(&self, topic: &str) -> Result<bool, KafkaError> {
        let asked = format!("tell whether topic {topic} holds records");
        let ends = self.end_offsets(topic, Isolation::ReadUncommitted).await?;
        let starts = self
            .until_settled(|| self.starts_once(topic, &asked))
            .await?;
        Ok(ends
            .iter()
            .any(|(index, end)| starts.get(index).is_none_or(|start| start < end)))
    }

    async fn starts_once(
        &self,
        topic: &str,
        asked: &str,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let view = self.existing(topic, asked).await?;
        let mut starts = BTreeMap::new();
        for (leader, indexes) in self.by_leader(&view, asked).await? {
            starts.extend(self.starts_at(&leader, topic, &indexes, asked).await?);
        }
        Ok(starts)
    }

    /// The first offsets of partitions that one broker leads.
    ///
    /// # Errors
    /// As the broker says.
    pub(super) async fn starts_at(
        &self,
        leader: &str,
        topic: &str,
        indexes: &[i32],
        asked: &str,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        self.call(
            Target::At(leader),
            asked,
            |_| offsets::list_starts_request(topic, indexes),
            |answer| offsets::read_list_offsets(answer, asked),
        )
        .await
    }

    /// The partitions of a topic, by the address of their leader.
    ///
    /// # Errors
    /// [`KafkaError::Incomplete`] when a partition has no leader, or its leader no address.
    pub(super) async fn by_leader(
        &self,
        topic: &TopicView,
        asked: &str,
    ) -> Result<Vec<(String, Vec<i32>)>, KafkaError> {
        let cluster = self.cluster().await?;
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in &topic.partitions {
            let leader = partition.leader.ok_or_else(|| {
                message::lacks(asked, &format!("a leader of partition {}", partition.index))
            })?;
            by_leader.entry(leader).or_default().push(partition.index);
        }
        by_leader
            .into_iter()
            .map(|(leader, indexes)| match cluster.brokers.get(&leader) {
                Some(broker) => Ok((broker.address.clone(), indexes)),
                None => Err(message::lacks(
                    asked,
                    &format!("the address of broker {leader}"),
                )),
            })
            .collect()
    }

    /// What a group has committed in a topic; partitions without a commit are left out.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn group_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<i32, GroupOffset>, KafkaError> {
        let asked = format!("tell what group {group} has committed in topic {topic}");
        self.until_settled(|| self.group_offsets_once(group, topic, &asked))
            .await
    }

    async fn group_offsets_once(
        &self,
        group: &str,
        topic: &str,
        asked: &str,
    ) -> Result<BTreeMap<i32, GroupOffset>, KafkaError> {
        let view = self.existing(topic, asked).await?;
        let indexes: Vec<i32> = view.partitions.iter().map(|p| p.index).collect();
        let coordinator = self
            .call(
                Target::Any,
                asked,
                |version| offsets::find_coordinator_request(group, version >= 4),
                |answer| offsets::read_coordinator(answer, asked),
            )
            .await?;
        self.call(
            Target::At(&coordinator),
            asked,
            |version| offsets::offset_fetch_request(group, topic, &indexes, version >= 8),
            |answer| offsets::read_offset_fetch(answer, asked),
        )
        .await
    }

    /// Questions of several steps are asked again from the first while leaders and coordinators move.
    pub(super) async fn until_settled<T, F: Future<Output = Result<T, KafkaError>>>(
        &self,
        question: impl Fn() -> F,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + self.limits.call;
        let mut pause = FIRST_PAUSE;
        loop {
            match question().await {
                Err(error)
                    if (error.wants_new_metadata()
                        || matches!(error, KafkaError::Incomplete { .. }))
                        && Instant::now() + pause < deadline =>
                {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }
}
