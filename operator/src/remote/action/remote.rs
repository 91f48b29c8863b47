//! One action of one OpenWhisk, as the pipeline sees it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::change::{
    ActionChange, Body, DIGEST_ANNOTATION, ObservedAction, WantedAction, diff,
    obsolete_annotations, sha256, wanted_annotations,
};
use crate::remote::openwhisk::{
    ActionPut, ActionRecord, Exec, WhiskClient, WhiskError, key_values,
};
use crate::remote::pipeline::{Plan, Remote};

/// An action together with a client of its OpenWhisk.
pub struct RemoteAction<'a> {
    /// The server.
    pub client: &'a WhiskClient,
    /// What is asked for.
    pub wanted: &'a WantedAction,
    /// The version that the server gave at our last write. While it is still that, nobody has touched the action and
    /// its annotation tells the code; otherwise the code itself is read and hashed.
    pub known_version: Option<&'a str>,
}

impl std::fmt::Debug for RemoteAction<'_> {
    /// What is asked for holds secrets: only the name is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteAction")
            .field("name", &self.wanted.name)
            .finish_non_exhaustive()
    }
}

impl Remote for RemoteAction<'_> {
    type Observed = Option<ObservedAction>;
    type Change = ActionChange;
    type Error = WhiskError;

    async fn observe(&self) -> Result<Self::Observed, WhiskError> {
        let name = &self.wanted.name;
        let Some(record) = self.client.action(name, false).await? else {
            return Ok(None);
        };
        let untouched = self.known_version == Some(record.version.as_str());
        if untouched || record.exec.components.is_some() {
            let digest = noted_digest(&record);
            return Ok(Some(ObservedAction { record, digest }));
        }
        let Some(mut record) = self.client.action(name, true).await? else {
            return Ok(None);
        };
        let digest = record.exec.code.take().map(|code| code_digest(&code));
        Ok(Some(ObservedAction { record, digest }))
    }

    fn diff(&self, observed: &Self::Observed) -> Plan<ActionChange> {
        diff(self.wanted, observed.as_ref())
    }

    async fn act(
        &self,
        observed: &Self::Observed,
        changes: &[ActionChange],
    ) -> Result<(), WhiskError> {
        let put = put_for(self.wanted, observed.as_ref(), changes);
        self.client
            .put_action(&self.wanted.name, &put, true)
            .await
            .map(drop)
    }
}

fn noted_digest(record: &ActionRecord) -> Option<String> {
    record
        .annotation(DIGEST_ANNOTATION)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// SHA-256 of code as the server gives it back: base64 of an archive, or plain text.
fn code_digest(code: &str) -> String {
    match STANDARD.decode(code) {
        Ok(bytes) => sha256(&bytes),
        Err(_) => sha256(code.as_bytes()),
    }
}

/// One request that makes all changes: only what differs is sent, the server keeps the rest.
#[must_use]
pub fn put_for(
    wanted: &WantedAction,
    observed: Option<&ObservedAction>,
    changes: &[ActionChange],
) -> ActionPut {
    let mut put = ActionPut::default();
    for change in changes {
        match change {
            ActionChange::Create { .. } => {
                put.exec = Some(exec(&wanted.body));
                put.annotations = Some(key_values(wanted_annotations(wanted)));
                if !matches!(wanted.body, Body::Sequence(_)) {
                    put.parameters = Some(key_values(wanted.parameters.clone()));
                    put.limits = Some(wanted.limits);
                }
            }
            ActionChange::Run { .. } => {
                put.exec = Some(exec(&wanted.body));
                // The digest goes with the code.
                put.annotations = Some(key_values(wanted_annotations(wanted)));
                if !matches!(wanted.body, Body::Sequence(_)) {
                    // What a sequence had as parameters is none of the code's.
                    put.parameters = Some(key_values(wanted.parameters.clone()));
                }
            }
            ActionChange::Parameter { .. } => {
                put.parameters = Some(key_values(wanted.parameters.clone()));
            }
            ActionChange::Annotation { .. } => {
                put.annotations = Some(key_values(wanted_annotations(wanted)));
                if let Some(observed) = observed {
                    put.remove_annotations = obsolete_annotations(wanted, &observed.record)
                        .into_iter()
                        .collect();
                }
            }
            ActionChange::Limits { .. } => put.limits = Some(wanted.limits),
        }
    }
    put
}

fn exec(body: &Body) -> Exec {
    match body {
        Body::Code {
            kind, main, zip, ..
        } => Exec {
            kind: kind.clone(),
            code: zip.clone(),
            main: Some(main.clone()),
            binary: Some(true),
            ..Exec::default()
        },
        Body::Image { image, main } => Exec {
            kind: "blackbox".to_owned(),
            main: Some(main.clone()),
            image: Some(image.clone()),
            ..Exec::default()
        },
        Body::Sequence(names) => Exec {
            kind: "sequence".to_owned(),
            components: Some(names.iter().map(|name| qualified(name)).collect()),
            ..Exec::default()
        },
    }
}

/// The server wants a component with its namespace.
fn qualified(name: &str) -> String {
    if name.starts_with('/') {
        name.to_owned()
    } else {
        format!("/_/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::openwhisk::Limits;
    use std::collections::BTreeMap;

    fn wanted(body: Body) -> WantedAction {
        WantedAction {
            name: "a".to_owned(),
            body,
            parameters: BTreeMap::from([("p".to_owned(), Value::from(1))]),
            annotations: BTreeMap::new(),
            limits: Limits {
                timeout: 1000,
                memory: 128,
                logs: 1,
            },
        }
    }

    #[test]
    fn code_goes_over_the_wire_only_when_it_changed() {
        let body = Body::Code {
            kind: "rust:default".to_owned(),
            main: "main".to_owned(),
            zip: Some("UEs=".to_owned()),
            digest: "d".to_owned(),
        };
        let wanted = wanted(body);
        let limits = ActionChange::Limits {
            action: "a".to_owned(),
            from: wanted.limits,
            to: wanted.limits,
        };
        let put = put_for(&wanted, None, &[limits]);
        assert_eq!(
            serde_json::to_value(&put).unwrap(),
            serde_json::json!({"limits": {"timeout": 1000, "memory": 128, "logs": 1}})
        );
        let create = diff(&wanted, None).changes;
        let put = serde_json::to_value(put_for(&wanted, None, &create)).unwrap();
        assert_eq!(put["exec"]["code"], "UEs=");
        assert_eq!(
            put["parameters"],
            serde_json::json!([{"key": "p", "value": 1}])
        );
        assert_eq!(
            put["annotations"],
            serde_json::json!([{"key": "millrace.dev/code-sha256", "value": "d"}])
        );
    }

    #[test]
    fn a_sequence_is_sent_without_parameters_and_limits() {
        let wanted = wanted(Body::Sequence(vec!["x".to_owned(), "pkg/y".to_owned()]));
        let create = diff(&wanted, None).changes;
        let put = serde_json::to_value(put_for(&wanted, None, &create)).unwrap();
        assert_eq!(
            put,
            serde_json::json!({
                "exec": {"kind": "sequence", "components": ["/_/x", "/_/pkg/y"]},
                "annotations": []
            })
        );
    }

    #[test]
    fn digests_are_of_the_archive_not_of_its_encoding() {
        assert_eq!(code_digest(&STANDARD.encode(b"zip")), sha256(b"zip"));
        assert_eq!(code_digest("fn main() {}"), sha256(b"fn main() {}"));
    }
}
