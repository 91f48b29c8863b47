//! The record of one activation, and how the API shows it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::action::Parameter;

/// How an activation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The action answered.
    #[serde(rename = "success")]
    Success,
    /// The action answered with an error.
    #[serde(rename = "application error")]
    Application,
    /// The action broke: no answer, a wrong one, or too late.
    #[serde(rename = "action developer error")]
    Developer,
    /// The server broke.
    #[serde(rename = "whisk internal error")]
    Internal,
}

impl Status {
    /// The number under which lists show it.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Application => 1,
            Self::Developer => 2,
            Self::Internal => 3,
        }
    }

    /// Its label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Application => "application_error",
            Self::Developer => "developer_error",
            Self::Internal => "internal_error",
        }
    }
}

/// What an activation answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The answer.
    pub result: Value,
    /// Its length in bytes as the action wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How it ended.
    pub status: Status,
    /// Whether that is success.
    pub success: bool,
}

impl Response {
    /// An answer of the given status.
    pub fn new(status: Status, result: Value, size: Option<usize>) -> Self {
        Self {
            result,
            size,
            status,
            success: status == Status::Success,
        }
    }

    /// An error in the server's own words.
    pub fn error(status: Status, text: impl Into<String>) -> Self {
        Self::new(status, json!({ "error": text.into() }), None)
    }

    /// The same with the length that the words would have as an answer.
    #[must_use]
    pub fn sized(mut self) -> Self {
        self.size = Some(self.result.to_string().len() + 1);
        self
    }
}

/// One activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// Its id.
    pub activation_id: String,
    /// Facts: path, kind, limits, waiting time …
    pub annotations: Vec<Parameter>,
    /// The activation that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How long it ran, ms. A trigger does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// When it ended, ms since 1970. A trigger does not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// Lines of log; ids of parts for a sequence; what became of each rule, as JSON, for a trigger.
    pub logs: Vec<String>,
    /// The action's name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Always false here.
    pub publish: bool,
    /// What it answered.
    pub response: Response,
    /// When it began to run, ms since 1970.
    pub start: i64,
    /// Who asked.
    pub subject: String,
    /// The action's version.
    pub version: String,
}

impl Activation {
    /// The whole record.
    pub fn view(&self) -> Value {
        json!(self)
    }

    /// What a blocking call gets: the real server leaves out an action's log there, but not a sequence's parts.
    pub fn blocking_view(&self) -> Value {
        let mut view = self.view();
        if !self.is_composition()
            && let Some(logs) = view.get_mut("logs")
        {
            *logs = json!([]);
        }
        view
    }

    /// The full name of the action: `namespace/package/name`.
    pub fn path(&self) -> Option<&str> {
        self.annotations
            .iter()
            .find(|annotation| annotation.key == "path")
            .and_then(|annotation| annotation.value.as_str())
    }

    /// The name by which lists are filtered: `package/name` for an action in a package.
    pub fn listed_name(&self) -> String {
        self.path()
            .and_then(|path| path.split_once('/'))
            .map_or_else(|| self.name.clone(), |(_, name)| name.to_owned())
    }

    /// When it ended; a trigger is over as soon as it fired.
    pub fn ended(&self) -> i64 {
        self.end.unwrap_or(self.start)
    }

    fn is_composition(&self) -> bool {
        self.annotations.iter().any(|annotation| {
            annotation.key == "kind" && annotation.value == crate::kinds::SEQUENCE
        })
    }

    /// The record as lists show it.
    pub fn summary(&self) -> Map<String, Value> {
        let mut view = Map::new();
        view.insert("activationId".to_owned(), json!(self.activation_id));
        view.insert("annotations".to_owned(), json!(self.annotations));
        if let Some(cause) = &self.cause {
            view.insert("cause".to_owned(), json!(cause));
        }
        for (key, time) in [("duration", self.duration), ("end", self.end)] {
            if let Some(time) = time {
                view.insert(key.to_owned(), json!(time));
            }
        }
        view.insert("name".to_owned(), json!(self.name));
        view.insert("namespace".to_owned(), json!(self.namespace));
        view.insert("publish".to_owned(), json!(self.publish));
        view.insert("start".to_owned(), json!(self.start));
        view.insert("statusCode".to_owned(), json!(self.response.status.code()));
        view.insert("version".to_owned(), json!(self.version));
        view
    }
}

/// An annotation of a record.
pub fn note(key: &str, value: impl Into<Value>) -> Parameter {
    Parameter {
        key: key.to_owned(),
        value: value.into(),
        init: false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record to store.
    pub(crate) fn activation(id: &str, start: i64) -> Activation {
        Activation {
            activation_id: id.to_owned(),
            annotations: vec![note("path", "guest/echo")],
            cause: None,
            duration: Some(1),
            end: Some(start + 1),
            logs: vec!["line".to_owned()],
            name: "echo".to_owned(),
            namespace: "guest".to_owned(),
            publish: false,
            response: Response::new(Status::Success, json!({ "a": 1 }), Some(8)),
            start,
            subject: "guest".to_owned(),
            version: "0.0.1".to_owned(),
        }
    }

    #[test]
    fn views() {
        let record = activation("i", 5);
        assert_eq!(record.blocking_view()["logs"], json!([]));
        assert_eq!(record.view()["logs"], json!(["line"]));
        assert_eq!(record.summary()["statusCode"], json!(0));
        assert!(!record.summary().contains_key("response"));
        let error = Response::error(Status::Developer, "command exited").sized();
        assert_eq!(error.size, Some(27));
    }
}
