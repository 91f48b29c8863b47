//! An action as it is kept, and how the API shows it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kinds::{BLACKBOX, SEQUENCE};
use crate::name::FullName;

/// A named value bound to an action, or a remark about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name.
    pub key: String,
    /// Value, any JSON.
    pub value: Value,
    /// Whether it goes into the action's environment instead of its input.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
}

/// What an action may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Activations at once in one child.
    pub concurrency: u64,
    /// Children at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u64>,
    /// Kept log of one activation, MiB.
    pub logs: u64,
    /// Memory of one child, MiB.
    pub memory: u64,
    /// Time for the start, and again for each activation, ms.
    pub timeout: u64,
}

impl Default for Limits {
    /// The real server's defaults.
    fn default() -> Self {
        Self {
            concurrency: 1,
            instances: None,
            logs: 10,
            memory: 256,
            timeout: 60_000,
        }
    }
}

impl Limits {
    /// Kept log of one activation, bytes.
    pub fn log_bytes(&self) -> usize {
        usize::try_from(self.logs).unwrap_or(0) * 1024 * 1024
    }
}

/// Code, kept by the digest of its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code {
    /// SHA-256 of the text, hexadecimal.
    pub digest: String,
    /// Whether the text is base64 of an executable or an archive.
    pub binary: bool,
    /// Length of the text.
    pub length: usize,
    /// By which the store sees whether somebody still needs the text.
    #[serde(skip)]
    pub hold: Hold,
}

/// Something that is shared by all copies of a value, so that it can be told whether there are any. Equal to any other: it is no
/// part of what the value says.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<()>);

impl Hold {
    /// Whether there is no other copy.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether both are copies of one.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hold {}

impl Hash for Hold {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What an action runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Exec {
    /// Code of a kind.
    Code {
        /// The kind, like `rust:default`.
        kind: String,
        /// The code.
        code: Code,
        /// The entry point, where the kind has one.
        main: Option<String>,
    },
    /// An image.
    Image {
        /// Its name.
        image: String,
        /// Code for it.
        code: Option<Code>,
        /// The entry point.
        main: Option<String>,
    },
    /// Other actions, one after the other.
    Sequence {
        /// Their full names, `/namespace/name`.
        components: Vec<String>,
    },
}

impl Exec {
    /// The kind's name.
    pub fn kind(&self) -> &str {
        match self {
            Self::Code { kind, .. } => kind,
            Self::Image { .. } => BLACKBOX,
            Self::Sequence { .. } => SEQUENCE,
        }
    }

    /// The code, where there is any.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::Code { code, .. } => Some(code),
            Self::Image { code, .. } => code.as_ref(),
            Self::Sequence { .. } => None,
        }
    }
}

/// A version of three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The version of a new action.
    pub const FIRST: Self = Self(0, 0, 1);

    /// The version after a change.
    pub fn next(self) -> Self {
        Self(self.0, self.1, self.2.saturating_add(1))
    }

    /// Reads `1.2.3`; missing parts are 0.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        let version = Self(
            parts.next()??,
            parts.next().unwrap_or(Some(0))?,
            parts.next().unwrap_or(Some(0))?,
        );
        (parts.next().is_none() && version != Self(0, 0, 0)).then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text}: no version"))
    }
}

/// An action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version; its last number rises with each change.
    pub version: Version,
    /// Shared with everybody; kept, without an effect here.
    pub publish: bool,
    /// Bound parameters.
    pub parameters: Vec<Parameter>,
    /// Annotations.
    pub annotations: Vec<Parameter>,
    /// Limits.
    pub limits: Limits,
    /// What runs.
    pub exec: Exec,
    /// The binding through which it was found; never kept.
    #[serde(skip)]
    pub binding: Option<FullName>,
    /// Time of the last change, ms since 1970.
    pub updated: i64,
}

/// The parameter in which a sequence shows its components to old clients; never given to an action.
pub const COMPONENTS_PARAMETER: &str = "_actions";

impl Action {
    /// Namespace and name.
    pub fn full_name(&self) -> FullName {
        FullName {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&Value> {
        self.annotations
            .iter()
            .find(|annotation| annotation.key == key)
            .map(|annotation| &annotation.value)
    }

    /// Whether an annotation is set to true.
    pub fn is(&self, key: &str) -> bool {
        self.annotation(key) == Some(&Value::Bool(true))
    }

    /// Whether an annotation is set to anything but false, null, 0 and an empty text.
    pub fn is_truthy(&self, key: &str) -> bool {
        match self.annotation(key) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is)) => *is,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(_) | Value::Object(_)) => true,
        }
    }

    /// The names of the parameters that no caller may give: of a `final` action all that have a value.
    pub fn immutable(&self) -> impl Iterator<Item = &str> {
        self.parameters
            .iter()
            .filter(|parameter| self.is("final") && !parameter.value.is_null())
            .map(|parameter| parameter.key.as_str())
    }

    /// The parameters that go into the input.
    pub fn inputs(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters
            .iter()
            .filter(|parameter| !parameter.init && parameter.key != COMPONENTS_PARAMETER)
    }

    /// The action as a client sees it; `code` is the code's text, when it is wanted.
    pub fn view(&self, code: Option<&str>) -> Value {
        let mut view = self.summary();
        view.insert("parameters".to_owned(), json!(self.parameters));
        view.insert("exec".to_owned(), self.exec_view(code));
        Value::Object(view)
    }

    /// The action as lists show it.
    pub fn summary(&self) -> Map<String, Value> {
        let binary = self.exec.code().is_some_and(|code| code.binary);
        let mut view = Map::new();
        view.insert("annotations".to_owned(), json!(self.annotations));
        view.insert("exec".to_owned(), json!({ "binary": binary }));
        view.insert("limits".to_owned(), json!(self.limits));
        let name = self.full_name();
        view.insert("name".to_owned(), json!(name.leaf()));
        view.insert("namespace".to_owned(), json!(name.path()));
        view.insert("publish".to_owned(), json!(self.publish));
        view.insert("updated".to_owned(), json!(self.updated));
        view.insert("version".to_owned(), json!(self.version));
        view
    }

    fn exec_view(&self, text: Option<&str>) -> Value {
        let mut view = Map::new();
        view.insert("kind".to_owned(), json!(self.exec.kind()));
        let (code, main) = match &self.exec {
            Exec::Code { code, main, .. } => (Some(code), main),
            Exec::Image { image, code, main } => {
                view.insert("image".to_owned(), json!(image));
                (code.as_ref(), main)
            }
            Exec::Sequence { components } => {
                view.insert("components".to_owned(), json!(components));
                return Value::Object(view);
            }
        };
        view.insert(
            "binary".to_owned(),
            json!(code.is_some_and(|code| code.binary)),
        );
        if let Some(main) = main {
            view.insert("main".to_owned(), json!(main));
        }
        if let (Some(_), Some(text)) = (code, text) {
            view.insert("code".to_owned(), json!(text));
        }
        Value::Object(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(annotations: &[(&str, Value)], parameters: &[(&str, Value)]) -> Action {
        let list = |pairs: &[(&str, Value)]| {
            let one = |(key, value): &(&str, Value)| Parameter {
                key: (*key).to_owned(),
                value: value.clone(),
                init: false,
            };
            pairs.iter().map(one).collect()
        };
        Action {
            namespace: "me".to_owned(),
            name: "a".to_owned(),
            version: Version::FIRST,
            publish: false,
            parameters: list(parameters),
            annotations: list(annotations),
            limits: Limits::default(),
            exec: Exec::Sequence {
                components: Vec::new(),
            },
            binding: None,
            updated: 0,
        }
    }

    #[test]
    fn truth_of_annotations() {
        for (value, is) in [
            (json!(true), true),
            (json!(1), true),
            (json!("no"), true),
            (json!({}), true),
            (json!(false), false),
            (json!(0), false),
            (json!(""), false),
            (Value::Null, false),
        ] {
            let told = value.to_string();
            assert_eq!(action(&[("c", value)], &[]).is_truthy("c"), is, "{told}");
        }
        assert!(!action(&[], &[]).is_truthy("c"));
    }

    #[test]
    fn a_final_action_leaves_only_what_has_no_value_to_the_caller() {
        let parameters = [("a", json!("")), ("b", Value::Null)];
        let all = |annotation: Value| {
            let action = action(&[("final", annotation)], &parameters);
            action.immutable().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(all(json!(true)), ["a"]);
        assert!(all(json!(false)).is_empty());
    }

    #[test]
    fn versions() {
        assert_eq!(
            Version::parse("9.9.9").map(Version::next),
            Some(Version(9, 9, 10))
        );
        assert_eq!(Version::parse("1.2"), Some(Version(1, 2, 0)));
        for bad in ["", "x", "1.2.3.4", "0.0.0", "1.-2.3"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
        assert_eq!(Version::FIRST.to_string(), "0.0.1");
    }
}
