//! Who did what: the records of the topic `audit`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use millrace_contract::cloudevent::{CONTENT_TYPE, SPEC_VERSION};
use millrace_contract::topics;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Gateway;
use super::access::Role;
use super::answer::Refused;
use super::ingest::SOURCE;

/// `ce_type` of an audit record.
pub const TYPE: &str = "dev.millrace.audit.v1";
const PATIENCE: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A vehicle got its first token.
    Enrol,
    /// A vehicle got a new token.
    Rotate,
    /// A vehicle lost its tokens.
    Revoke,
    /// A dead letter was put back where it came from.
    Redrive,
    /// That did not succeed after it had been recorded.
    RedriveFailed,
    /// What a driver has agreed to, or how to reach them, was changed.
    SetProfile,
    /// The hires of a driver were looked up, to erase them.
    LookUpHires,
    /// What led to a driver was removed.
    Erase,
}

/// One record of the topic `audit`, keyed by the vehicle, the dead letter or the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// Who: the role of the token.
    pub role: String,
    /// What.
    pub action: Action,
    /// Which vehicle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
    /// Which dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// Which driver, by their key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Until when the former token works, after a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<Timestamp>,
}

impl Entry {
    /// Something done now by a role to a vehicle.
    #[must_use]
    pub fn of_vehicle(role: Role, action: Action, vehicle: &str) -> Self {
        Self {
            time: Timestamp::now(),
            role: role.as_str().to_owned(),
            action,
            vehicle: Some(vehicle.to_owned()),
            dead_letter: None,
            driver: None,
            grace_until: None,
        }
    }

    /// Something done now by a role to what is known of a driver.
    #[must_use]
    pub fn of_driver(role: Role, action: Action, driver: &str) -> Self {
        Self {
            time: Timestamp::now(),
            role: role.as_str().to_owned(),
            action,
            vehicle: None,
            dead_letter: None,
            driver: Some(driver.to_owned()),
            grace_until: None,
        }
    }

    /// Something done now by a role to a dead letter, of this vehicle where one is known.
    #[must_use]
    pub fn of_letter(role: Role, action: Action, id: &str, vehicle: Option<&str>) -> Self {
        Self {
            time: Timestamp::now(),
            role: role.as_str().to_owned(),
            action,
            vehicle: vehicle.map(str::to_owned),
            dead_letter: Some(id.to_owned()),
            driver: None,
            grace_until: None,
        }
    }

    fn key(&self) -> &str {
        let letter = self.dead_letter.as_deref();
        let named = letter.or(self.vehicle.as_deref());
        named.or(self.driver.as_deref()).unwrap_or_default()
    }

    fn headers(&self) -> Vec<(String, String)> {
        let id = Uuid::new_v4().to_string();
        let time = self.time.to_string();
        [
            ("ce_specversion", SPEC_VERSION),
            ("ce_id", &id),
            ("ce_source", SOURCE),
            ("ce_type", TYPE),
            ("ce_time", &time),
            ("ce_subject", self.key()),
            ("content-type", CONTENT_TYPE),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// Writes a record, and waits until this replica has read it back. Called before the thing is done, so that
/// nothing is done without a record.
///
/// # Errors
/// Kafka does not acknowledge.
pub async fn write(gateway: &Gateway, entry: &Entry) -> Result<(), Refused> {
    let unavailable = |e: String| Refused::Unavailable(format!("topic {}: {e}", topics::AUDIT));
    let payload = serde_json::to_vec(entry).map_err(|e| unavailable(e.to_string()))?;
    let written = async {
        let (partition, offset) = gateway
            .producer
            .send(topics::AUDIT, entry.key(), &entry.headers(), &payload, None)
            .await
            .map_err(|e| unavailable(e.to_string()))?;
        gateway.followed.audit.reached(partition, offset).await;
        Ok(())
    };
    tokio::time::timeout(PATIENCE, written)
        .await
        .unwrap_or_else(|_| Err(unavailable("no acknowledgement in 10 s".to_owned())))
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
            | Action::Erase => {}
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
    fn the_shape_of_a_record() {
        let entry = Entry::of_vehicle(Role::Vehicles, Action::Enrol, "car-1");
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(json["action"], "enrol");
        assert_eq!(
            (&json["role"], &json["vehicle"]),
            (&"vehicles".into(), &"car-1".into())
        );
        assert!(json.get("dead_letter").is_none());
        let headers = entry.headers();
        assert!(headers.contains(&("ce_subject".to_owned(), "car-1".to_owned())));
    }

    #[test]
    fn redriven_until_it_failed() {
        let redriven = Redriven::default();
        let apply = |action| {
            let entry = Entry::of_letter(Role::Admin, action, "0-1", None);
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
