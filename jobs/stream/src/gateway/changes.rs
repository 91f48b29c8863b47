//! Changes of resources in Kubernetes, told by the operator and by the API server's audit webhook, into the topic `audit`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use futures::future::try_join_all;
use jiff::Timestamp;
use millrace_contract::audit::{Action, Change, Entry};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Role, require};
use super::answer::Refused;
use super::drivers::json_body;
use super::{Gateway, audit};

/// The API group of the resources that matter.
const GROUP: &str = "millrace.dev";
const WRITING: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// A change as the operator tells it.
#[derive(Deserialize)]
struct Told {
    time: Timestamp,
    #[serde(flatten)]
    change: Change,
}

/// `POST /v1/changes`: one change of a resource.
pub async fn take(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Audit)?;
    let told: Told = json_body(&gateway, body, "a change of a resource").await?;
    // Who it was only the API server knows.
    let change = Change {
        user: None,
        audit_id: None,
        ..told.change
    };
    let entry = entry(role, told.time, change);
    audit::write(&gateway, &entry).await?;
    Ok(Json(json!({"accepted": 1})))
}

/// `POST /v1/kubernetes-audit`: what the API server sends to an audit webhook (`EventList` of `audit.k8s.io/v1`). Changes of
/// resources of Millrace that succeeded are kept; of their content nothing is.
pub async fn take_events(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Audit)?;
    let list: EventList = json_body(&gateway, body, "an EventList of audit.k8s.io/v1").await?;
    let entries: Vec<Entry> = list
        .items
        .into_iter()
        .filter_map(Event::change)
        .map(|(time, change)| entry(role, time, change))
        .collect();
    try_join_all(entries.iter().map(|entry| audit::write(&gateway, entry))).await?;
    Ok(Json(json!({"accepted": entries.len()})))
}

fn entry(role: Role, time: Timestamp, change: Change) -> Entry {
    Entry {
        time,
        change: Some(change),
        ..Entry::now(role.as_str(), Action::ChangeResource)
    }
}

#[derive(Deserialize)]
struct EventList {
    items: Vec<Event>,
}

/// The part that matters of an event of `audit.k8s.io/v1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    // Absent where nobody was let in: such an event must not keep its batch from being read.
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: Option<String>,
    api_group: String,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Event {
    fn change(self) -> Option<(Timestamp, Change)> {
        let object = self.object_ref?;
        let succeeded = self
            .response_status
            .and_then(|status| status.code)
            .is_some_and(|code| (200..300).contains(&code));
        let matters = object.api_group == GROUP
            // What the operator says of a resource is no change of it.
            && object.subresource.as_deref().is_none_or(|part| part == "scale")
            && self.stage == "ResponseComplete"
            // `millrace plan` and `kubectl diff` change nothing.
            && !self.request_uri.contains("dryRun=")
            && WRITING.contains(&self.verb.as_str());
        if !(matters && succeeded) {
            return None;
        }
        let change = Change {
            resource: object.resource,
            namespace: object.namespace,
            name: object.name,
            operation: self.verb,
            user: Some(self.user.username),
            manager: None,
            generation: None,
            audit_id: Some(self.audit_id),
        };
        Some((self.request_received_timestamp, change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl Fn(&mut Value)) -> Option<Change> {
        // As an API server of Kubernetes 1.36 sends it at level Metadata, shortened.
        let mut event = json!({"level": "Metadata", "auditID": "a-1", "stage": "ResponseComplete",
            "requestURI": "/apis/millrace.dev/v1alpha1/namespaces/m/kafkatopics/t", "verb": "patch",
            "user": {"username": "ada", "groups": ["system:authenticated"]}, "userAgent": "kubectl/v1.36",
            "objectRef": {"resource": "kafkatopics", "namespace": "m", "name": "t", "apiGroup": "millrace.dev", "apiVersion": "v1alpha1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-11-29T14:00:00.123456Z", "stageTimestamp": "2026-11-29T14:00:00.2Z"});
        change(&mut event);
        let event: Event = serde_json::from_value(event).unwrap();
        event.change().map(|(_, change)| change)
    }

    #[test]
    fn changes_that_succeeded_are_kept() {
        let change = of(|_| {}).unwrap();
        assert_eq!(change.user.as_deref(), Some("ada"));
        assert_eq!(
            (change.resource.as_str(), change.operation.as_str()),
            ("kafkatopics", "patch")
        );
        assert_eq!(change.audit_id.as_deref(), Some("a-1"));
        assert!(of(|event| event["objectRef"]["subresource"] = "scale".into()).is_some());
    }

    #[test]
    fn all_else_is_left_out() {
        assert_eq!(of(|event| event["verb"] = "get".into()), None);
        assert_eq!(of(|event| event["stage"] = "RequestReceived".into()), None);
        assert_eq!(
            of(|event| event["responseStatus"]["code"] = 403.into()),
            None
        );
        assert_eq!(
            of(|event| event["objectRef"]["apiGroup"] = "apps".into()),
            None
        );
        assert_eq!(
            of(|event| event["objectRef"]["subresource"] = "status".into()),
            None
        );
        assert_eq!(of(|event| event["objectRef"] = Value::Null), None);
        let tried = "/apis/millrace.dev/v1alpha1/namespaces/m/kafkatopics/t?dryRun=All";
        assert_eq!(of(|event| event["requestURI"] = tried.into()), None);
        // Nobody was let in.
        let refused = |event: &mut Value| {
            event["user"] = json!({});
            event["responseStatus"]["code"] = 401.into();
        };
        assert_eq!(of(refused), None);
    }
}
