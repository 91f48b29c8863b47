//! What a workload notes of how it was made: the build and the intent, and the template that was sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::types::is_false;

/// On what is applied: its [`Mark`].
pub(super) const MARK: &str = "millrace.dev/restart-mark";
/// On workloads: the pod template that was sent.
pub(super) const TEMPLATE: &str = "millrace.dev/sent-template";

/// What an object was last built from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    /// The operator that built it.
    pub(super) build: String,
    /// What its user had asked for when what was sent was built.
    pub(super) intent: String,
    /// The revision that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<String>,
    /// The operator that had built what was sent, while something waits; empty where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sent_by: Option<String>,
    /// Whether a maintenance window let go what was sent, and nobody has asked for it or approved it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) window: bool,
    /// Why it waits, where the template that runs was found and not sent: it cannot be compared with ours again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl Mark {
    /// The operator that had built what was sent; empty where nobody knows.
    pub(super) fn sender(&self) -> &str {
        match (&self.sent_by, &self.pending) {
            (Some(by), _) => by,
            // Of an operator that did not note it.
            (None, Some(_)) => "",
            (None, None) => &self.build,
        }
    }
}

/// The operator build that an object with these annotations was last built by, if it tells.
#[must_use]
pub fn build_of(annotations: &BTreeMap<String, String>) -> Option<String> {
    let mark = mark_in(annotations)?;
    let build = mark.build.split('/').next()?;
    (!build.is_empty()).then(|| build.to_owned())
}

/// What an object with these annotations was last built from.
pub(super) fn mark_in(annotations: &BTreeMap<String, String>) -> Option<Mark> {
    serde_json::from_str(annotations.get(MARK)?).ok()
}

/// What a workload was last built from, and the template that was sent.
pub(super) fn marks(live: &Value) -> Option<(Mark, Value)> {
    let sent = serde_json::from_str(annotation(live, TEMPLATE)?).ok()?;
    Some((mark_of(live)?, sent))
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

fn mark_of(object: &Value) -> Option<Mark> {
    serde_json::from_str(annotation(object, MARK)?).ok()
}

/// Sets an annotation of an object that is to be applied.
pub(super) fn annotate(object: &mut Value, name: &str, value: String) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    annotations[name] = value.into();
}

/// Whether what was built differs from what was sent, and another operator had built that.
pub(super) fn is_foreign(before: &Mark, sent: &str, built: &str, now: &Mark) -> bool {
    built != sent && before.sender() != now.build
}
