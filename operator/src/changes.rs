//! Who changed which resource, into the topic `audit` of the Platforms beside it.
//!
//! A reconcile that takes up another generation notes it. Shortly after, the resource is read with its managed fields, which say
//! by which client its spec was written last, and the gateways of the Platforms in its namespace are told. Kubernetes keeps no
//! user there: only the API server's audit webhook knows (docs/gateway.md).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::{Api, Client};
use millrace_contract::audit::Change;
use serde_json::Value;

use crate::context::{MANAGER, PAUSER};
use crate::flow::{GatewayAt, GatewayClient};

/// Between two looks at what is to be told.
const EVERY: Duration = Duration::from_secs(5);
/// A change that nobody took for so long is told no more.
const GIVEN_UP: Duration = Duration::from_secs(600);
/// So many wait at most; of more the first are forgotten. Where a namespace has no Platform, none is ever told.
const MOST: usize = 256;
/// What the operator itself makes is written by it again and again: a client's entry counts when it is that new.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

#[derive(Clone, Debug)]
struct Noted {
    resource: ApiResource,
    namespace: String,
    name: String,
    at: Instant,
    /// Who has been told already.
    told: Vec<GatewayAt>,
}

#[derive(Debug, Default)]
struct Known {
    /// By namespace and Platform.
    gateways: BTreeMap<(String, String), GatewayAt>,
    noted: VecDeque<Noted>,
}

/// What is to be told, and to whom.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Known>);

/// What managed fields say of the last change of a spec.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    time: Timestamp,
    manager: String,
    operation: String,
}

impl Changes {
    /// A panic elsewhere leaves a list behind that is still usable.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway of a Platform, or none while it has none that could be told.
    pub fn gateway(&self, namespace: &str, platform: &str, at: Option<&GatewayAt>) {
        let key = (namespace.to_owned(), platform.to_owned());
        let mut known = self.known();
        match at {
            Some(at) if known.gateways.get(&key) == Some(at) => {}
            Some(at) => drop(known.gateways.insert(key, at.clone())),
            None => drop(known.gateways.remove(&key)),
        }
    }

    /// The spec of a resource is another one than before.
    pub fn note(&self, resource: ApiResource, namespace: &str, name: &str) {
        let mut known = self.known();
        let same = |noted: &Noted| {
            noted.resource.kind == resource.kind
                && noted.namespace == namespace
                && noted.name == name
        };
        if known.noted.iter().any(same) {
            return;
        }
        if known.noted.len() == MOST {
            known.noted.pop_front();
        }
        known.noted.push_back(Noted {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            at: Instant::now(),
            told: Vec::new(),
        });
    }

    /// Those that somebody can be told of now, with the gateways to tell; what waits for too long is given up.
    fn take(&self, now: Instant) -> Vec<(Noted, Vec<GatewayAt>)> {
        let mut known = self.known();
        let Known { gateways, noted } = &mut *known;
        let (mut ready, mut waiting) = (Vec::new(), VecDeque::new());
        for one in noted.drain(..) {
            let of_it = gateways
                .iter()
                .filter(|((namespace, _), _)| *namespace == one.namespace);
            let of_it: Vec<GatewayAt> = of_it.map(|(_, at)| at.clone()).collect();
            if !of_it.is_empty() {
                ready.push((one, of_it));
            } else if now.saturating_duration_since(one.at) < GIVEN_UP {
                waiting.push_back(one);
            }
        }
        *noted = waiting;
        ready
    }

    fn put_back(&self, noted: Noted) {
        let mut known = self.known();
        if known.noted.len() < MOST {
            known.noted.push_back(noted);
        }
    }

    /// Tells what is noted, until it is dropped.
    pub async fn tell(&self, client: &Client) {
        let gateways = match GatewayClient::new() {
            Ok(gateways) => gateways,
            Err(error) => {
                tracing::warn!(%error, "changes of resources are not told");
                return;
            }
        };
        loop {
            tokio::time::sleep(EVERY).await;
            for (mut noted, to) in self.take(Instant::now()) {
                if let Err(problem) = tell_one(client, &gateways, &mut noted, &to).await {
                    let (kind, name) = (&noted.resource.kind, &noted.name);
                    if noted.at.elapsed() < GIVEN_UP {
                        tracing::debug!(kind, name, problem, "a change could not be told yet");
                        self.put_back(noted);
                    } else {
                        tracing::warn!(kind, name, problem, "a change was not told");
                    }
                }
            }
        }
    }
}

async fn tell_one(
    client: &Client,
    gateways: &GatewayClient,
    noted: &mut Noted,
    to: &[GatewayAt],
) -> Result<(), String> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &noted.namespace, &noted.resource);
    let object = api.get_opt(&noted.name).await.map_err(|e| e.to_string())?;
    // One that is gone was removed since, which only the API server's audit tells.
    let Some(object) = object else {
        return Ok(());
    };
    let Some(written) = written(&object, Timestamp::now()) else {
        return Ok(());
    };
    let change = Change {
        resource: noted.resource.plural.clone(),
        namespace: noted.namespace.clone(),
        name: Some(noted.name.clone()),
        operation: written.operation,
        user: None,
        manager: Some(written.manager),
        generation: object.metadata.generation,
        audit_id: None,
    };
    let mut problem = None;
    for at in to {
        if noted.told.contains(at) {
            continue;
        }
        match gateways.change(at, written.time, &change).await {
            Ok(()) => noted.told.push(at.clone()),
            Err(error) => problem = Some(error.to_string()),
        }
    }
    problem.map_or(Ok(()), Err)
}

/// By which client the spec was written last; nothing when that is the operator.
fn written(object: &DynamicObject, now: Timestamp) -> Option<Written> {
    let mut owners = object.metadata.owner_references.iter().flatten();
    let made_by_us = owners.any(|owner| owner.controller == Some(true));
    let entries = object.metadata.managed_fields.iter().flatten();
    let of_spec = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let has_spec =
            fields.is_some_and(|fields| fields.get("f:spec").is_some_and(Value::is_object));
        let part = entry.subresource.as_deref().unwrap_or_default();
        matches!(part, "" | "scale") && has_spec
    });
    let written = of_spec.filter_map(|entry| {
        Some(Written {
            time: entry.time.as_ref()?.0,
            manager: entry.manager.clone()?,
            operation: entry.operation.clone().unwrap_or_default(),
        })
    });
    let last = written
        .filter(|written| ![MANAGER, PAUSER].contains(&written.manager.as_str()))
        .max_by_key(|written| written.time)?;
    let is_new = now.duration_since(last.time) < RECENT;
    (is_new || !made_by_us).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Token;
    use serde_json::json;

    fn entry(manager: &str, second: u8, more: Value) -> Value {
        let mut entry = json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "time": format!("2026-01-01T00:00:{second:02}Z"), "fieldsV1": {"f:spec": {"f:a": {}}}});
        entry
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        entry
    }

    fn of(entries: Value, owned: bool, now: &str) -> Option<String> {
        let owners = json!([{"apiVersion": "v1", "kind": "Platform", "name": "p", "uid": "u", "controller": true}]);
        let object = json!({"apiVersion": "v1", "kind": "T", "metadata": {"name": "t", "managedFields": entries,
            "ownerReferences": if owned { owners } else { json!([]) }}});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        written(&object, now.parse().unwrap()).map(|written| written.manager)
    }

    #[test]
    fn the_last_client_that_wrote_the_spec() {
        let label = json!({"fieldsV1": {"f:metadata": {"f:labels": {}}}});
        let status = json!({"subresource": "status"});
        let entries = json!([
            entry("helm", 1, json!({})),
            entry("kubectl-edit", 5, json!({})),
            entry("kubectl-label", 9, label),
            entry("somebody", 9, status),
            entry(MANAGER, 9, json!({})),
            entry(PAUSER, 9, json!({})),
        ]);
        let later = "2026-03-01T00:00:00Z";
        assert_eq!(
            of(entries.clone(), false, later).as_deref(),
            Some("kubectl-edit")
        );
        // What belongs to a Platform was changed by that, long after somebody else did.
        assert_eq!(of(entries.clone(), true, later), None);
        let soon = "2026-01-01T00:00:30Z";
        assert_eq!(of(entries, true, soon).as_deref(), Some("kubectl-edit"));
        assert_eq!(of(json!([entry(MANAGER, 1, json!({}))]), false, soon), None);
        assert_eq!(of(json!([]), false, soon), None);
    }

    #[test]
    fn a_change_waits_for_a_gateway_and_is_given_up_in_the_end() {
        let changes = Changes::default();
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let note = |namespace: &str, name: &str| changes.note(resource.clone(), namespace, name);
        note("a", "x");
        note("a", "x");
        note("b", "x");
        let now = Instant::now();
        assert!(changes.take(now).is_empty());
        let at = GatewayAt {
            url: "http://g".into(),
            token: Token("t".into()),
            admin_token: None,
        };
        changes.gateway("a", "p", Some(&at));
        let taken = changes.take(now);
        assert_eq!(taken.len(), 1, "once, and not that of the other namespace");
        assert_eq!(
            (taken[0].0.namespace.as_str(), &taken[0].1),
            ("a", &vec![at])
        );
        changes.gateway("a", "p", None);
        changes.put_back(taken[0].0.clone());
        assert!(changes.take(now + GIVEN_UP).is_empty());
        assert!(changes.known().noted.is_empty());
        for n in 0..=MOST {
            note("c", &n.to_string());
        }
        assert_eq!(changes.known().noted.len(), MOST);
        assert_eq!(changes.known().noted[0].name, "1");
    }
}
