//! What each topic becomes, and what its records say. Pure.

use jiff::Timestamp;
use millrace_contract::materialize::MaterializeConfig;
use millrace_contract::{Alert, Invalid, codec};

use super::document::{ALERTS, DELIVERIES, DRIVERS, HIRES, Said, VEHICLES};
use crate::connect::Record;

/// What a topic becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The collection.
    pub collection: &'static str,
    /// Whether it leads to persons, and lies in a database of its own therefore.
    pub identity: bool,
}

/// The topics that are read, with what each becomes.
#[must_use]
pub fn sources(config: &MaterializeConfig) -> Vec<(String, Target)> {
    let topics = &config.topics;
    let all = [
        (&topics.vehicles, VEHICLES, false),
        (&topics.alerts, ALERTS, false),
        (&topics.deliveries, DELIVERIES, false),
        (&topics.hires, HIRES, true),
        (&topics.drivers, DRIVERS, true),
    ];
    let named = all.into_iter().filter(|(topic, ..)| !topic.is_empty());
    let target = |collection, identity| Target {
        collection,
        identity,
    };
    named
        .map(|(topic, collection, identity)| (topic.clone(), target(collection, identity)))
        .collect()
}

/// Reads what a record of a collection's topic says, and of which document. None for the mark that a key is gone where
/// what Kafka forgets stays here as long as the configuration says.
///
/// # Errors
/// It cannot be read.
pub fn read(collection: &'static str, record: &Record) -> Result<Option<(String, Said)>, Invalid> {
    let wrong = |field: &str, value: &str, problem: String| {
        Invalid::new(field, value, problem, "correct who writes this topic")
    };
    let key = || {
        let key = record.key_text().filter(|key| !key.is_empty());
        key.map(str::to_owned)
            .ok_or_else(|| wrong("key", "", "is empty or no text".to_owned()))
    };
    let Some(payload) = &record.payload else {
        let forgets = [HIRES, DRIVERS].contains(&collection);
        return Ok(if forgets {
            Some((key()?, Said::Removed))
        } else {
            None
        });
    };
    // What it holds is not shown: it may be about a person.
    let unreadable = |error: serde_json::Error| {
        let problem = format!("is not what topic {} holds: {error}", record.topic);
        wrong("value", "(not shown)", problem)
    };
    Ok(Some(match collection {
        VEHICLES => {
            let telemetry = codec::decode(payload)?;
            let vehicle = telemetry.vehicle.clone();
            (vehicle, Said::Measured(Box::new(telemetry)))
        }
        ALERTS => {
            let alert: Alert = serde_json::from_slice(payload).map_err(unreadable)?;
            (alert.id.clone(), Said::Raised(Box::new(alert)))
        }
        HIRES => {
            let hire = serde_json::from_slice(payload).map_err(unreadable)?;
            (key()?, Said::Hired(hire))
        }
        DRIVERS => {
            let profile = serde_json::from_slice(payload).map_err(unreadable)?;
            let at = record.timestamp_ms.unwrap_or_default();
            let at = Timestamp::from_millisecond(at).unwrap_or_default();
            (key()?, Said::Known(profile, at))
        }
        _ => {
            let notified = serde_json::from_slice(payload).map_err(unreadable)?;
            (key()?, Said::Notified(notified))
        }
    }))
}
