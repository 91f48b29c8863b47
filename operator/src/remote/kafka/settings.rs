//! Settings of many topics at once, and those that all brokers take while they run.

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
use super::message::{ConfigChange, ConfigEntry, ConfigSource, text};

/// The resource type "topic" of the configuration requests.
const TOPIC: i8 = 2;
/// The resource type "broker". The empty name stands for all brokers.
const BROKER: i8 = 4;
/// So many topics are asked for in one request.
const AT_ONCE: usize = 500;

/// Settings by topic and key.
pub type TopicSettings = BTreeMap<String, BTreeMap<String, ConfigEntry>>;

fn describe(kind: i8, names: &[&str], keys: &[&str]) -> DescribeConfigsRequest {
    let resources = names.iter().map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(Some(keys.iter().map(|key| text(key)).collect()))
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

fn read_alter(response: &IncrementalAlterConfigsResponse, asked: &str) -> Result<(), KafkaError> {
    response
        .responses
        .iter()
        .filter(|result| !is_gone(result.error_code))
        .try_for_each(|result| {
            KafkaError::check(result.error_code, result.error_message.as_deref(), asked)
        })
}

impl KafkaAdmin {
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
                    |_| describe(TOPIC, some, keys),
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
            |answer| read_alter(answer, &asked),
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
                |_| describe(BROKER, &[""], keys),
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
            |answer| read_alter(answer, asked),
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;

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
}
