//! Who did what: the records of the topic `audit`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `ce_type` of an audit record.
pub const TYPE: &str = "dev.millrace.audit.v1";

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
    /// A resource of Millrace in Kubernetes was made, changed or removed.
    ChangeResource,
    /// An action ran.
    RunAction,
}

/// What was done to a resource in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The plural of its kind, in lower case: `kafkatopics`.
    pub resource: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name; absent where Kubernetes is asked to make one up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `create`, `update`, `patch`, `delete`, … by the API server; `Apply` or `Update` by the operator, as managed fields have it.
    pub operation: String,
    /// Who, as the API server knew them. Only its audit webhook tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The field manager, which a client chooses for itself: `kubectl-client-side-apply`, `helm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// The generation of the spec that it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// By which the API server's own log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
}

/// A run of an action: who, what and how it ended. What it was given and what it answered are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Who: the subject of the key by which the action was invoked; of a web action that of its namespace.
    pub subject: String,
    /// The action: `namespace/name`, `namespace/package/name`.
    pub action_name: String,
    /// The id of the activation, by which OpenWhisk has the rest.
    pub activation: String,
    /// How it ended: `success`, `application_error`, `developer_error` or `internal_error`.
    pub status: String,
    /// The trace of the event that it ran for, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// One record of the topic `audit`, keyed by the vehicle, the dead letter, the driver, the resource or the action.
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
    /// Which resource, and by whom.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Which action ran, and for whom.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

impl Entry {
    /// Something done now by a role.
    #[must_use]
    pub fn now(role: &str, action: Action) -> Self {
        Self {
            time: Timestamp::now(),
            role: role.to_owned(),
            action,
            vehicle: None,
            dead_letter: None,
            driver: None,
            grace_until: None,
            change: None,
            run: None,
        }
    }

    /// The key of the record.
    #[must_use]
    pub fn key(&self) -> String {
        let letter = self.dead_letter.as_ref();
        let named = letter.or(self.vehicle.as_ref()).or(self.driver.as_ref());
        let of_change = |change: &Change| {
            let name = change.name.as_deref().unwrap_or_default();
            format!("{}/{}/{name}", change.resource, change.namespace)
        };
        named
            .cloned()
            .or_else(|| self.change.as_ref().map(of_change))
            .or_else(|| self.run.as_ref().map(|run| run.action_name.clone()))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_record() {
        let mut entry = Entry::now("vehicles", Action::Enrol);
        entry.vehicle = Some("car-1".into());
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(
            (&json["action"], &json["role"], &json["vehicle"]),
            (&"enrol".into(), &"vehicles".into(), &"car-1".into())
        );
        assert!(json.get("dead_letter").is_none() && json.get("resource").is_none());
        assert_eq!(entry.key(), "car-1");
        assert_eq!(serde_json::from_value::<Entry>(json).unwrap(), entry);
    }

    #[test]
    fn a_change_stands_beside_the_rest() {
        let mut entry = Entry::now("operations", Action::ChangeResource);
        entry.change = Some(Change {
            resource: "kafkatopics".into(),
            namespace: "m".into(),
            name: Some("t".into()),
            operation: "patch".into(),
            user: Some("ada".into()),
            manager: None,
            generation: None,
            audit_id: None,
        });
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(
            (&json["action"], &json["resource"], &json["user"]),
            (
                &"change-resource".into(),
                &"kafkatopics".into(),
                &"ada".into()
            )
        );
        assert_eq!(entry.key(), "kafkatopics/m/t");
        assert_eq!(serde_json::from_value::<Entry>(json).unwrap(), entry);
    }

    #[test]
    fn a_run_stands_beside_the_rest_and_is_no_change() {
        let mut entry = Entry::now("activations", Action::RunAction);
        entry.run = Some(Run {
            subject: "millrace".into(),
            action_name: "millrace/assess-vehicle".into(),
            activation: "a1".into(),
            status: "success".into(),
            trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        });
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(
            (&json["action"], &json["subject"], &json["activation"]),
            (&"run-action".into(), &"millrace".into(), &"a1".into())
        );
        assert_eq!(entry.key(), "millrace/assess-vehicle");
        assert_eq!(serde_json::from_value::<Entry>(json).unwrap(), entry);
    }
}
