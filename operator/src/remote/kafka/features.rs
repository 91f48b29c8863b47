//! Features of a cluster, such as the format of its metadata. The upper half is pure.

use std::collections::BTreeMap;

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, UpdateFeaturesRequest};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::text;

/// The feature that the format of the metadata log depends on.
pub const METADATA_VERSION: &str = "metadata.version";
/// Upgrades that lose nothing, in the terms of UpdateFeatures.
const UPGRADE: i8 = 1;

/// A feature of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureLevel {
    /// The level in force; `None` while it is off.
    pub finalized: Option<i16>,
    /// The lowest level that the asked broker knows.
    pub min: i16,
    /// The highest one.
    pub max: i16,
}

fn read_features(response: &ApiVersionsResponse) -> BTreeMap<String, FeatureLevel> {
    let finalized: BTreeMap<String, i16> = response
        .finalized_features
        .iter()
        .map(|feature| (feature.name.to_string(), feature.max_version_level))
        .collect();
    response
        .supported_features
        .iter()
        .map(|feature| {
            let name = feature.name.to_string();
            let level = FeatureLevel {
                finalized: finalized.get(&name).copied(),
                min: feature.min_version,
                max: feature.max_version,
            };
            (name, level)
        })
        .collect()
}

impl KafkaAdmin {
    /// The features that one broker knows, with the level in force.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn features(&self) -> Result<BTreeMap<String, FeatureLevel>, KafkaError> {
        self.features_of(Target::Any).await
    }

    /// The same of the broker at an address, `host:port`.
    ///
    /// # Errors
    /// [`KafkaError`]; the broker has to be reachable itself.
    pub async fn features_at(
        &self,
        address: &str,
    ) -> Result<BTreeMap<String, FeatureLevel>, KafkaError> {
        self.features_of(Target::At(address)).await
    }

    async fn features_of(
        &self,
        target: Target<'_>,
    ) -> Result<BTreeMap<String, FeatureLevel>, KafkaError> {
        let asked = "tell its features";
        self.call(
            target,
            asked,
            |_| {
                ApiVersionsRequest::default()
                    .with_client_software_name(text(super::frame::CLIENT_ID))
                    .with_client_software_version(text(env!("CARGO_PKG_VERSION")))
            },
            |answer| {
                KafkaError::check(answer.error_code, None, asked)?;
                Ok(read_features(answer))
            },
        )
        .await
    }

    /// Raises a feature to a level. It cannot be lowered this way.
    ///
    /// # Errors
    /// [`KafkaError`]; the controllers refuse a level that a node does not know.
    pub async fn raise_feature(&self, feature: &str, level: i16) -> Result<(), KafkaError> {
        let asked = format!("raise feature {feature} to {level}");
        self.call(
            Target::Controller,
            &asked,
            |_| {
                UpdateFeaturesRequest::default()
                    .with_timeout_ms(self.request_ms())
                    .with_feature_updates(vec![
                        FeatureUpdateKey::default()
                            .with_feature(text(feature))
                            .with_max_version_level(level)
                            .with_upgrade_type(UPGRADE),
                    ])
            },
            |answer| {
                KafkaError::check(answer.error_code, answer.error_message.as_deref(), &asked)?;
                answer.results.iter().try_for_each(|result| {
                    KafkaError::check(result.error_code, result.error_message.as_deref(), &asked)
                })
            },
        )
        .await
    }
}
