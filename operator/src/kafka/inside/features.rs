//! Raises the version of the metadata after an upgrade.

use std::collections::BTreeMap;

use crate::kafka::metadata_version::{self, Step};
use crate::kafka::validate::ValidatedKafka;
use crate::kafka::view::View;
use crate::remote::kafka::{KafkaAdmin, KafkaError, METADATA_VERSION};

/// What was seen of the version of the metadata, and done about it.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// The version in force.
    pub finalized: Option<String>,
    /// What goes on.
    pub told: Option<String>,
    /// Why it cannot be as it is asked for.
    pub refused: Option<String>,
}

/// Raises it if it is to be raised. `all_run` says whether all nodes run what the spec asks for.
pub(super) async fn step(
    admin: &KafkaAdmin,
    kafka: &ValidatedKafka,
    view: &View,
    all_run: bool,
) -> Version {
    match try_step(admin, kafka, view, all_run).await {
        Ok(version) => version,
        Err(error) => {
            tracing::info!(cluster = kafka.owner.name, %error, "the version of the metadata was not raised");
            Version::default()
        }
    }
}

async fn try_step(
    admin: &KafkaAdmin,
    kafka: &ValidatedKafka,
    view: &View,
    all_run: bool,
) -> Result<Version, KafkaError> {
    let mut version = Version::default();
    let mut brokers = BTreeMap::new();
    let one = admin.features().await?.remove(METADATA_VERSION);
    let Some(one) = one else {
        return Ok(version);
    };
    let Some(finalized) = one.finalized else {
        return Ok(version);
    };
    version.finalized = Some(metadata_version::name(finalized));
    brokers.insert(-1, one);
    let asked = kafka.metadata_version.as_deref();
    if let Step::Raise(_) = metadata_version::step(asked, finalized, &brokers, all_run) {
        // The one that was asked would; all have to.
        brokers.clear();
        for broker in &view.registered {
            let features = admin.features_at(&broker.address).await?;
            if let Some(level) = features.get(METADATA_VERSION) {
                brokers.insert(broker.id, *level);
            }
        }
    }
    match metadata_version::step(asked, finalized, &brokers, all_run) {
        Step::Keep => {}
        Step::Wait(told) => version.told = Some(told),
        Step::Refused(told) => version.refused = Some(told),
        Step::Raise(level) => {
            admin.raise_feature(METADATA_VERSION, level).await?;
            let to = metadata_version::name(level);
            tracing::info!(
                cluster = kafka.owner.name,
                to,
                "the version of the metadata was raised"
            );
            version.told = Some(format!("the metadata goes to {to}"));
        }
    }
    Ok(version)
}
