//! Who did what: the records of the topic `audit`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millrace_contract::audit::{Action, Entry, TYPE};
use millrace_contract::cloudevent::{CONTENT_TYPE, SPEC_VERSION};
use millrace_contract::topics;
use uuid::Uuid;

use super::Gateway;
use super::access::Role;
use super::answer::Refused;
use super::ingest::SOURCE;

const PATIENCE: Duration = Duration::from_secs(10);

/// Something done now by a role to a vehicle.
#[must_use]
pub fn of_vehicle(role: Role, action: Action, vehicle: &str) -> Entry {
    Entry {
        vehicle: Some(vehicle.to_owned()),
        ..Entry::now(role.as_str(), action)
    }
}

/// Something done now by a role to what is known of a driver.
#[must_use]
pub fn of_driver(role: Role, action: Action, driver: &str) -> Entry {
    Entry {
        driver: Some(driver.to_owned()),
        ..Entry::now(role.as_str(), action)
    }
}

/// Something done now by a role to a dead letter, of this vehicle where one is known.
#[must_use]
pub fn of_letter(role: Role, action: Action, id: &str, vehicle: Option<&str>) -> Entry {
    Entry {
        vehicle: vehicle.map(str::to_owned),
        dead_letter: Some(id.to_owned()),
        ..Entry::now(role.as_str(), action)
    }
}

fn headers(entry: &Entry) -> Vec<(String, String)> {
    let id = Uuid::new_v4().to_string();
    let (time, key) = (entry.time.to_string(), entry.key());
    [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", &id),
        ("ce_source", SOURCE),
        ("ce_type", TYPE),
        ("ce_time", &time),
        ("ce_subject", &key),
        ("content-type", CONTENT_TYPE),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Writes a record, and waits until this replica has read it back. Called before the thing is done, so that
/// nothing is done without a record.
///
/// # Errors
/// Kafka does not acknowledge.
pub async fn write(gateway: &Gateway, entry: &Entry) -> Result<(), Refused> {
    let written = async {
        let (partition, offset) = send(gateway, entry).await?;
        gateway.followed.audit.reached(partition, offset).await;
        Ok(())
    };
    tokio::time::timeout(PATIENCE, written)
        .await
        .unwrap_or_else(|_| Err(unavailable("no acknowledgement in 10 s")))
}

/// Writes a record of something that was done already: nobody waits until it is read back.
///
/// # Errors
/// Kafka does not acknowledge.
pub async fn append(gateway: &Gateway, entry: &Entry) -> Result<(), Refused> {
    send(gateway, entry).await.map(drop)
}

async fn send(gateway: &Gateway, entry: &Entry) -> Result<(i32, i64), Refused> {
    let payload = serde_json::to_vec(entry).map_err(|e| unavailable(&e.to_string()))?;
    gateway
        .producer
        .send(topics::AUDIT, &entry.key(), &headers(entry), &payload, None)
        .await
        .map_err(|e| unavailable(&e.to_string()))
}

fn unavailable(why: &str) -> Refused {
    Refused::Unavailable(format!("topic {}: {why}", topics::AUDIT))
}

/// Which dead letters were redriven, as read from the topic.
#[derive(Debug, Default)]
pub struct Redriven(Mutex<HashSet<String>>);

impl Redriven {
    /// Takes a record of the topic.
    pub fn apply(&self, record: &[u8]) {
        // Records of other things, or of a later version, say nothing here.
        let Ok(entry) = serde_json::from_slice::<Entry>(record) else {
            return;
        };
        let Some(id) = entry.dead_letter else {
            return;
        };
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match entry.action {
            Action::Redrive => {
                ids.insert(id);
            }
            Action::RedriveFailed => {
                ids.remove(&id);
            }
            Action::Enrol
            | Action::Rotate
            | Action::Revoke
            | Action::SetProfile
            | Action::LookUpHires
            | Action::Erase
            | Action::ChangeResource
            | Action::RunAction => {}
        }
    }

    /// Whether the dead letter was redriven.
    pub fn contains(&self, id: &str) -> bool {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_the_key() {
        let entry = of_vehicle(Role::Vehicles, Action::Enrol, "car-1");
        let headers = headers(&entry);
        assert!(headers.contains(&("ce_subject".to_owned(), "car-1".to_owned())));
    }

    #[test]
    fn redriven_until_it_failed() {
        let redriven = Redriven::default();
        let apply = |action| {
            let entry = of_letter(Role::Admin, action, "0-1", None);
            redriven.apply(&serde_json::to_vec(&entry).unwrap());
        };
        redriven.apply(b"{}");
        assert!(!redriven.contains("0-1"));
        apply(Action::Redrive);
        assert!(redriven.contains("0-1") && !redriven.contains("0-2"));
        apply(Action::RedriveFailed);
        assert!(!redriven.contains("0-1"));
    }
}
