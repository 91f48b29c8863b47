//! One topic of one cluster, as the pipeline sees it.

use std::time::Duration;

use millrace_contract::Invalid;
use tokio::time::{Instant, sleep};

use super::change::{ObservedTopic, TopicChange, WantedTopic, diff};
use super::factor::{Mover, copies, set_factor};
use crate::remote::kafka::{ConfigChange, KafkaAdmin, KafkaError, ResponseError};
use crate::remote::pipeline::{Plan, Remote};

/// Brokers learn of a change a moment after the controller has made it.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// A topic together with a client of its cluster.
#[derive(Debug)]
pub struct RemoteTopic<'a> {
    /// The cluster.
    pub admin: &'a KafkaAdmin,
    /// What is asked for.
    pub wanted: &'a WantedTopic,
    /// Who makes and removes copies of its partitions.
    pub mover: Mover,
}

impl Remote for RemoteTopic<'_> {
    type Observed = Option<ObservedTopic>;
    type Change = TopicChange;
    type Error = KafkaError;

    async fn observe(&self) -> Result<Self::Observed, KafkaError> {
        let name = &self.wanted.name;
        let Some(view) = self.admin.topic(name).await? else {
            return Ok(None);
        };
        let looked = async {
            Ok(ObservedTopic {
                copies: copies(self.admin, &view, self.wanted.replication_factor).await?,
                view,
                config: self.admin.topic_config(name).await?,
                holds_records: match self.wanted.rebind {
                    Some(_) => self.admin.holds_records(name).await?,
                    None => false,
                },
            })
        };
        match looked.await {
            Ok(observed) => Ok(Some(observed)),
            // Deleted between the questions.
            Err(error) if KafkaError::is_unknown_topic(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn diff(&self, observed: &Self::Observed) -> Plan<TopicChange> {
        diff(self.wanted, observed.as_ref())
    }

    async fn act(&self, _: &Self::Observed, changes: &[TopicChange]) -> Result<(), KafkaError> {
        let mut config = Vec::new();
        let mut partitions = None;
        let mut factor = None;
        for change in changes {
            match change {
                TopicChange::Create(new) => {
                    match self.admin.create_topic(new).await {
                        // Somebody was faster, or an answer to our own first try was lost: the next look tells.
                        Err(error) if error.is_already_exists() => {}
                        result => drop(result?),
                    }
                    partitions = Some(new.partitions);
                }
                TopicChange::AddPartitions { topic, to, .. } => {
                    self.admin.grow_topic(topic, *to).await?;
                    partitions = Some(*to);
                }
                TopicChange::SetReplicationFactor { to, .. } => factor = Some(*to),
                TopicChange::SetConfig { key, to, .. } => {
                    config.push(ConfigChange::Set(key.clone(), to.clone()));
                }
                TopicChange::UnsetConfig { key, .. } => {
                    config.push(ConfigChange::Unset(key.clone()))
                }
                TopicChange::Bind { .. } => {}
            }
        }
        self.admin
            .change_topic_config(&self.wanted.name, &config)
            .await?;
        if let Some(partitions) = partitions {
            self.wait_for(partitions).await?;
        }
        if let Some(factor) = factor {
            set_factor(self.admin, &self.wanted.name, factor, self.mover).await?;
        }
        Ok(())
    }
}

impl RemoteTopic<'_> {
    async fn wait_for(&self, partitions: i32) -> Result<(), KafkaError> {
        let deadline = Instant::now() + VISIBLE_WITHIN;
        loop {
            let seen = self.admin.topic(&self.wanted.name).await?;
            let count = seen.map_or(0, |view| view.partitions.len());
            if i32::try_from(count).unwrap_or(i32::MAX) >= partitions || Instant::now() >= deadline
            {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Kafka's refusal of a specification, told as field, value and cure; `None` when it is not about the specification.
#[must_use]
pub fn explain(error: &KafkaError, wanted: &WantedTopic) -> Option<Invalid> {
    let KafkaError::Broker { code, message, .. } = error else {
        return None;
    };
    let said = message.clone().unwrap_or_else(|| code.to_string());
    let invalid = match code {
        ResponseError::InvalidConfig => {
            // Kafka names the setting in its message; the longest match wins ("retention.ms" in "delete.retention.ms").
            let named = wanted
                .config
                .iter()
                .filter(|(key, _)| said.contains(key.as_str()))
                .max_by_key(|(key, _)| key.len());
            let (field, value) = match named {
                Some((key, value)) => (format!("spec.config.{key}"), value.clone()),
                None => {
                    let keys: Vec<&str> = wanted.config.keys().map(String::as_str).collect();
                    ("spec.config".to_owned(), keys.join(", "))
                }
            };
            Invalid::new(
                field,
                value,
                format!("Kafka says: {said}"),
                "correct or remove it; see the topic settings in Kafka's documentation",
            )
        }
        ResponseError::InvalidReplicationFactor => Invalid::new(
            "spec.replicationFactor",
            wanted.replication_factor.to_string(),
            format!("Kafka says: {said}"),
            "give at most as many as the cluster has nodes",
        ),
        ResponseError::InvalidPartitions => Invalid::new(
            "spec.partitions",
            wanted.partitions.to_string(),
            format!("Kafka says: {said}"),
            "give at least 1, and not fewer than the topic has",
        ),
        ResponseError::InvalidTopicException => Invalid::new(
            "spec.topicName",
            &wanted.name,
            format!("Kafka says: {said}"),
            "give 1 to 249 letters, digits, '.', '_' or '-'",
        ),
        ResponseError::PolicyViolation => Invalid::new(
            "spec",
            &wanted.name,
            format!("a policy of the cluster forbids it: {said}"),
            "change the specification, or the policy",
        ),
        _ => return None,
    };
    Some(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn wanted() -> WantedTopic {
        WantedTopic {
            name: "alerts".to_owned(),
            partitions: 1,
            replication_factor: 3,
            config: BTreeMap::from([
                ("retention.ms".to_owned(), "5".to_owned()),
                ("delete.retention.ms".to_owned(), "soon".to_owned()),
            ]),
            managed: BTreeSet::new(),
            rebind: None,
        }
    }

    #[test]
    fn a_refused_setting_is_named_with_its_value() {
        let error = KafkaError::check(
            40,
            Some("Invalid value soon for configuration delete.retention.ms: Not a number of type LONG"),
            "create topic alerts",
        )
        .unwrap_err();
        assert_eq!(
            explain(&error, &wanted()).unwrap().to_string(),
            "spec.config.delete.retention.ms: soon: Kafka says: Invalid value soon for configuration delete.retention.ms: Not a number of type LONG; correct or remove it; see the topic settings in Kafka's documentation"
        );
    }

    #[test]
    fn too_few_brokers_point_at_the_replication_factor_and_a_timeout_at_nothing() {
        let error = KafkaError::check(38, None, "create topic alerts").unwrap_err();
        let invalid = explain(&error, &wanted()).unwrap();
        assert_eq!(
            (invalid.field.as_str(), invalid.value.as_str()),
            ("spec.replicationFactor", "3")
        );
        assert!(explain(&KafkaError::check(7, None, "x").unwrap_err(), &wanted()).is_none());
    }
}
