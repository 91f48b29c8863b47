//! Settings of topics, and those that all brokers take while they run. The upper half is pure.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::text;

/// The resource type "topic" of the configuration requests.
const TOPIC: i8 = 2;
/// The resource type "broker". The empty name stands for all brokers.
const BROKER: i8 = 4;
/// So many topics are asked for in one request.
const AT_ONCE: usize = 500;

/// Where the value of a configuration key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic itself.
    Topic,
    /// Set on a broker, at run time or in its file.
    Broker,
    /// Kafka's default.
    Default,
    /// Anything else.
    Other(i8),
}

impl From<i8> for ConfigSource {
    fn from(code: i8) -> Self {
        match code {
            1 => ConfigSource::Topic,
            2..=4 => ConfigSource::Broker,
            5 => ConfigSource::Default,
            other => ConfigSource::Other(other),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The value in force; `None` when it is sensitive.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// A change of one configuration key; keys not named stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set on the topic.
    Set(String, String),
    /// Remove from the topic, so that the broker's default is in force again.
    Unset(String),
}

/// Settings by topic and key.
pub type TopicSettings = BTreeMap<String, BTreeMap<String, ConfigEntry>>;

/// Asks for these settings, or for all.
fn describe(kind: i8, names: &[&str], keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let resources = names.iter().map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
    });
    DescribeConfigsRequest::default().with_resources(resources.collect())
}

fn read(response: &DescribeConfigsResponse, asked: &str) -> Result<TopicSettings, KafkaError> {
    let mut settings = TopicSettings::new();
    for result in &response.results {
        if is_gone(result.error_code) {
            continue;
        }
        KafkaError::check(result.error_code, result.error_message.as_deref(), asked)?;
        let entries = result.configs.iter().map(|config| {
            let entry = ConfigEntry {
                value: config.value.as_ref().map(ToString::to_string),
                source: ConfigSource::from(config.config_source),
            };
            (config.name.to_string(), entry)
        });
        settings.insert(result.resource_name.to_string(), entries.collect());
    }
    Ok(settings)
}

/// A topic may have been deleted since it was listed.
fn is_gone(code: i16) -> bool {
    ResponseError::try_from_code(code) == Some(ResponseError::UnknownTopicOrPartition)
}

fn alter(
    kind: i8,
    changes: &BTreeMap<String, Vec<ConfigChange>>,
) -> IncrementalAlterConfigsRequest {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let config = |change: &ConfigChange| match change {
        ConfigChange::Set(key, value) => AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(SET)
            .with_value(Some(text(value))),
        ConfigChange::Unset(key) => AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(DELETE)
            .with_value(None),
    };
    let resources = changes.iter().map(|(name, changes)| {
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(config).collect())
    });
    IncrementalAlterConfigsRequest::default().with_resources(resources.collect())
}

/// Whether all was changed. `pass_over` says whether topics that are gone are no error.
fn read_alter(
    response: &IncrementalAlterConfigsResponse,
    asked: &str,
    pass_over: bool,
) -> Result<(), KafkaError> {
    response
        .responses
        .iter()
        .filter(|result| !(pass_over && is_gone(result.error_code)))
        .try_for_each(|result| {
            KafkaError::check(result.error_code, result.error_message.as_deref(), asked)
        })
}

impl KafkaAdmin {
    /// All settings of a topic by key, with where each value comes from.
    ///
    /// # Errors
    /// [`KafkaError::is_unknown_topic`] when there is no such topic.
    pub async fn topic_config(
        &self,
        topic: &str,
    ) -> Result<BTreeMap<String, ConfigEntry>, KafkaError> {
        let asked = format!("describe the configuration of topic {topic}");
        let mut all = self
            .call(
                Target::Any,
                &asked,
                |_| describe(TOPIC, &[topic], None),
                |answer| read(answer, &asked),
            )
            .await?;
        let settings = all.remove(topic);
        settings.ok_or_else(|| KafkaError::unknown_topic(&asked))
    }

    /// Sets and unsets settings of a topic; keys not named keep their values. All or none are changed.
    ///
    /// # Errors
    /// [`KafkaError::is_invalid_request`] when a key or value is wrong.
    pub async fn change_topic_config(
        &self,
        topic: &str,
        changes: &[ConfigChange],
    ) -> Result<(), KafkaError> {
        if changes.is_empty() {
            return Ok(());
        }
        let asked = format!("change the configuration of topic {topic}");
        let changes = BTreeMap::from([(topic.to_owned(), changes.to_vec())]);
        self.call(
            Target::Controller,
            &asked,
            |_| alter(TOPIC, &changes),
            |answer| read_alter(answer, &asked, false),
        )
        .await
    }

    /// These settings of these topics, with the values in force. Topics that are gone are left out.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn settings_of_topics(
        &self,
        topics: &[&str],
        keys: &[&str],
    ) -> Result<TopicSettings, KafkaError> {
        let asked = "describe settings of its topics";
        let mut all = TopicSettings::new();
        for some in topics.chunks(AT_ONCE) {
            let settings = self
                .call(
                    Target::Any,
                    asked,
                    |_| describe(TOPIC, some, Some(keys)),
                    |answer| read(answer, asked),
                )
                .await?;
            all.extend(settings);
        }
        Ok(all)
    }

    /// Sets and unsets settings of several topics. Topics that are gone are passed over.
    ///
    /// # Errors
    /// [`KafkaError`] of the first topic that refuses; others may have been changed.
    pub async fn change_topics(
        &self,
        changes: &BTreeMap<String, Vec<ConfigChange>>,
    ) -> Result<(), KafkaError> {
        if changes.is_empty() {
            return Ok(());
        }
        let asked = format!("change settings of {} topics", changes.len());
        self.call(
            Target::Controller,
            &asked,
            |_| alter(TOPIC, changes),
            |answer| read_alter(answer, &asked, true),
        )
        .await
    }

    /// These settings as they were set for all brokers while they run; those that were not set are absent.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn settings_of_all_brokers(
        &self,
        keys: &[&str],
    ) -> Result<BTreeMap<String, ConfigEntry>, KafkaError> {
        let asked = "describe the settings of all brokers";
        let mut all = self
            .call(
                Target::Any,
                asked,
                |_| describe(BROKER, &[""], Some(keys)),
                |answer| read(answer, asked),
            )
            .await?;
        Ok(all.remove("").unwrap_or_default())
    }

    /// Sets and unsets settings that all brokers take while they run, those that come later too.
    ///
    /// # Errors
    /// [`KafkaError::is_invalid_request`] when a key or value is wrong.
    pub async fn change_all_brokers(&self, changes: &[ConfigChange]) -> Result<(), KafkaError> {
        let asked = "change the settings of all brokers";
        let changes = BTreeMap::from([(String::new(), changes.to_vec())]);
        self.call(
            Target::Controller,
            asked,
            |_| alter(BROKER, &changes),
            |answer| read_alter(answer, asked, false),
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::describe_configs_response::{
        DescribeConfigsResourceResult, DescribeConfigsResult,
    };
    use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
    use kafka_protocol::protocol::{Decodable, Encodable};

    #[test]
    fn topics_that_are_gone_are_left_out_and_other_errors_are_told() {
        let result = |name: &str, code: i16| {
            DescribeConfigsResult::default()
                .with_resource_name(text(name))
                .with_error_code(code)
        };
        let answer = |code| {
            DescribeConfigsResponse::default().with_results(vec![result("a", 0), result("b", code)])
        };
        let gone = ResponseError::UnknownTopicOrPartition.code();
        let settings = read(&answer(gone), "x").unwrap();
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["a"]);
        let refused = ResponseError::ClusterAuthorizationFailed.code();
        assert!(read(&answer(refused), "x").is_err());
    }

    #[test]
    fn settings_of_all_brokers_have_no_name() {
        let changes = [("".to_owned(), vec![ConfigChange::Unset("x".into())])].into();
        let request = alter(BROKER, &changes);
        assert_eq!(request.resources[0].resource_name.as_str(), "");
        assert_eq!(request.resources[0].configs[0].config_operation, 1);
    }

    #[test]
    fn changes_encode_in_every_version_and_read_back_the_same() {
        let set = ConfigChange::Set("retention.ms".to_owned(), "1000".to_owned());
        let unset = ConfigChange::Unset("segment.ms".to_owned());
        let changes = [("telemetry".to_owned(), vec![set, unset])].into();
        for version in 0..=1 {
            let mut buffer = bytes::BytesMut::new();
            let request = alter(TOPIC, &changes);
            request.encode(&mut buffer, version).unwrap();
            let read =
                IncrementalAlterConfigsRequest::decode(&mut buffer.freeze(), version).unwrap();
            assert_eq!(read, request);
            let operations: Vec<(i8, Option<&str>)> = read.resources[0]
                .configs
                .iter()
                .map(|c: &AlterableConfig| (c.config_operation, c.value.as_deref()))
                .collect();
            assert_eq!(operations, vec![(0, Some("1000")), (1, None)]);
        }
    }

    #[test]
    fn configuration_says_where_each_value_comes_from() {
        let entry = |name: &str, value: &str, source| {
            DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_config_source(source)
        };
        let response = DescribeConfigsResponse::default().with_results(vec![
            DescribeConfigsResult::default()
                .with_resource_name(text("t"))
                .with_configs(vec![
                    entry("retention.ms", "1000", 1),
                    entry("segment.bytes", "1", 4),
                    entry("cleanup.policy", "delete", 5),
                ]),
        ]);
        let config = read(&response, "x").unwrap().remove("t").unwrap();
        assert_eq!(config["retention.ms"].source, ConfigSource::Topic);
        assert_eq!(config["segment.bytes"].source, ConfigSource::Broker);
        assert_eq!(config["cleanup.policy"].source, ConfigSource::Default);
    }

    #[test]
    fn a_topic_that_is_gone_is_passed_over_only_among_others() {
        let gone = AlterConfigsResourceResponse::default()
            .with_error_code(ResponseError::UnknownTopicOrPartition.code());
        let answer = IncrementalAlterConfigsResponse::default().with_responses(vec![gone]);
        assert!(read_alter(&answer, "x", true).is_ok());
        assert!(
            read_alter(&answer, "x", false)
                .unwrap_err()
                .is_unknown_topic()
        );
    }
}
