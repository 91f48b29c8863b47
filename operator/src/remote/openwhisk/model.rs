//! The shapes of the OpenWhisk REST API that are used here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A key with a value: a parameter or an annotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// Any JSON.
    pub value: Value,
}

/// What an action runs.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// The runtime kind, `sequence`, or `blackbox`. Lists leave it out.
    #[serde(default)]
    pub kind: String,
    /// The code: base64 when binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<String>,
    /// The code is base64 of an archive or executable. The server finds out by itself when not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<bool>,
    /// The image of a `blackbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The actions of a sequence, as `/namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<String>>,
}

impl std::fmt::Debug for Exec {
    /// Code runs to megabytes: only its size is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec")
            .field("kind", &self.kind)
            .field("code_bytes", &self.code.as_ref().map(String::len))
            .field("main", &self.main)
            .field("image", &self.image)
            .field("components", &self.components)
            .finish_non_exhaustive()
    }
}

/// Limits of one activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Milliseconds.
    pub timeout: i64,
    /// Megabytes of memory.
    pub memory: i64,
    /// Megabytes of logs.
    pub logs: i64,
}

/// An action as the server tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ActionRecord {
    /// Its name, without namespace and package.
    pub name: String,
    /// The namespace, followed by `/package` for a packaged action.
    pub namespace: String,
    /// `major.minor.patch`; the patch rises with each update.
    pub version: String,
    /// What it runs.
    pub exec: Exec,
    /// Bound parameters. Lists leave them out.
    #[serde(default)]
    pub parameters: Vec<KeyValue>,
    /// Annotations, the server's own among them.
    #[serde(default)]
    pub annotations: Vec<KeyValue>,
    /// Limits.
    pub limits: Limits,
}

impl ActionRecord {
    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&Value> {
        self.annotations
            .iter()
            .find(|a| a.key == key)
            .map(|a| &a.value)
    }
}

/// What is sent to create or update an action. On an update the server keeps what is not given;
/// annotations that are given are merged into those that are there.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct ActionPut {
    /// What to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// All parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<KeyValue>>,
    /// Annotations to add or replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<KeyValue>>,
    /// Keys of annotations to remove.
    #[serde(rename = "delAnnotations", skip_serializing_if = "Vec::is_empty")]
    pub remove_annotations: Vec<String>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// How to invoke.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invocation {
    /// Wait for the record.
    pub blocking: bool,
    /// How long the server shall wait, in milliseconds (1 to 60000); its own default when absent.
    pub timeout_ms: Option<u32>,
}

/// A finished activation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Activation {
    /// Its id.
    #[serde(rename = "activationId")]
    pub id: String,
    /// What came of it.
    pub response: ActivationResponse,
    /// Lines of log; for a trigger one JSON object for each of its rules.
    #[serde(default)]
    pub logs: Vec<String>,
}

/// What came of an activation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ActivationResponse {
    /// `success`, `application error`, `action developer error` or `whisk internal error`.
    #[serde(default)]
    pub status: String,
    /// Whether it worked.
    pub success: bool,
    /// The result, or `{"error": …}`.
    #[serde(default)]
    pub result: Value,
}

/// A finished activation of an action, or a fire of a trigger, as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListedActivation {
    /// Its id.
    #[serde(rename = "activationId")]
    pub id: String,
    /// When it began, in milliseconds since 1970.
    pub start: i64,
    /// How long it took, in milliseconds; a fire takes none.
    #[serde(default)]
    pub duration: Option<i64>,
    /// 0 for success, else the kind of error: 1 of the action, 2 of its code, 3 of the server.
    #[serde(rename = "statusCode", default)]
    pub status_code: i64,
}

/// A fire of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fire {
    /// Id of its activation.
    #[serde(rename = "activationId")]
    pub id: String,
    /// When, in milliseconds since 1970.
    pub start: i64,
    /// None: with one it is an activation of an action of the same name.
    #[serde(default)]
    pub duration: Option<i64>,
    /// One JSON object for each rule of the trigger.
    #[serde(default)]
    pub logs: Vec<String>,
}

/// The answer to an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Invoked {
    /// It ended, in success or not.
    Finished(Activation),
    /// It goes on, or nobody waited: its id.
    Started(String),
}

/// A trigger as the server tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TriggerRecord {
    /// Its name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// `major.minor.patch`; the patch rises with each update.
    pub version: String,
    /// Parameters.
    #[serde(default)]
    pub parameters: Vec<KeyValue>,
    /// Annotations.
    #[serde(default)]
    pub annotations: Vec<KeyValue>,
}

/// What is sent to create or update a trigger. On an update the server keeps what is not given, and replaces what is.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct TriggerPut {
    /// All parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<KeyValue>>,
    /// All annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<KeyValue>>,
}

/// The name of another entity.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its namespace, followed by `/package` for a packaged one.
    pub path: String,
}

impl Reference {
    /// The name within the namespace `own`; with its namespace in front when it is another one.
    #[must_use]
    pub fn within(&self, own: &str) -> String {
        match self.path.strip_prefix(own) {
            Some("") => self.name.clone(),
            Some(package) if package.starts_with('/') => {
                format!("{}/{}", package.trim_start_matches('/'), self.name)
            }
            _ => format!("/{}/{}", self.path, self.name),
        }
    }
}

/// A rule as the server tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RuleRecord {
    /// Its name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// `major.minor.patch`; the patch rises with each update.
    pub version: String,
    /// The trigger that it listens to.
    pub trigger: Reference,
    /// The action that it runs.
    pub action: Reference,
    /// `active` or `inactive`.
    pub status: String,
}

/// What is sent to create or update a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RulePut {
    /// The trigger, as `/_/name`.
    pub trigger: String,
    /// The action, as `/_/name`.
    pub action: String,
}
