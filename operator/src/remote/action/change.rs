//! What has to change to make an action as it is asked for. Pure. No change holds the value of a parameter:
//! parameters carry secrets, and changes are printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::remote::openwhisk::{
    ActionRecord, Difference, Limits, annotation_text, parameter_differences,
};
use crate::remote::pipeline::Plan;

/// The annotation with the SHA-256 of the code, in hexadecimal.
pub const DIGEST_ANNOTATION: &str = "millrace.dev/code-sha256";
/// The annotation with the keys of the annotations that are ours, so that one that is asked for no more is removed.
pub const KEYS_ANNOTATION: &str = "millrace.dev/annotations";

/// An action as it is asked for.
#[derive(Clone, PartialEq)]
pub struct WantedAction {
    /// Its name in OpenWhisk.
    pub name: String,
    /// What it runs.
    pub body: Body,
    /// Bound parameters; none for a sequence.
    pub parameters: BTreeMap<String, Value>,
    /// Annotations that are ours.
    pub annotations: BTreeMap<String, Value>,
    /// Limits; a sequence has none of its own.
    pub limits: Limits,
}

/// What an action runs.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// Code of its own.
    Code {
        /// Runtime kind; `KIND:default` is whatever version of it the server has.
        kind: String,
        /// Entry point.
        main: String,
        /// The archive, base64; `None` while nobody has had to fetch it, for it is pinned by its digest.
        zip: Option<String>,
        /// SHA-256 of the archive in hexadecimal.
        digest: String,
    },
    /// An image with all in it.
    Image {
        /// Its name, with its digest.
        image: String,
        /// Entry point.
        main: String,
    },
    /// Other actions, one after the other.
    Sequence(Vec<String>),
}

impl Body {
    /// SHA-256 of the code, of the image's name, or of the list of components.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Body::Code { digest, .. } => digest.clone(),
            Body::Image { image, .. } => sha256(image.as_bytes()),
            Body::Sequence(names) => sha256(names.join("\n").as_bytes()),
        }
    }
}

impl ActionChange {
    /// Whether the code itself has to be sent.
    #[must_use]
    pub fn sends_code(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Run { .. })
    }
}

impl WantedAction {
    /// Whether these changes need code that nobody has fetched yet.
    #[must_use]
    pub fn lacks_code(&self, changes: &[ActionChange]) -> bool {
        matches!(self.body, Body::Code { zip: None, .. })
            && changes.iter().any(ActionChange::sends_code)
    }

    /// Gives it its code.
    pub fn bring_code(&mut self, code: String) {
        if let Body::Code { zip, .. } = &mut self.body {
            *zip = Some(code);
        }
    }
}

/// An action as it is, with the digest of its code.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedAction {
    /// What the server tells, without code.
    pub record: ActionRecord,
    /// SHA-256 of the code that is installed; `None` when it cannot be told.
    pub digest: Option<String>,
}

/// One change of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionChange {
    /// There is none of that name.
    Create {
        /// The action.
        action: String,
        /// What it will run, in words.
        runs: String,
    },
    /// It runs something else: other code, kind, entry point or components.
    Run {
        /// The action.
        action: String,
        /// What it runs, in words.
        from: String,
        /// What it shall run.
        to: String,
    },
    /// A bound parameter differs.
    Parameter {
        /// The action.
        action: String,
        /// The parameter.
        key: String,
        /// How.
        difference: Difference,
    },
    /// An annotation differs.
    Annotation {
        /// The action.
        action: String,
        /// The annotation.
        key: String,
        /// The value it has.
        from: Option<String>,
        /// The value it shall have; none to remove it.
        to: Option<String>,
    },
    /// The limits differ.
    Limits {
        /// The action.
        action: String,
        /// What they are.
        from: Limits,
        /// What they shall be.
        to: Limits,
    },
}

impl fmt::Display for ActionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActionChange::Create { action, runs } => write!(f, "create action {action}: {runs}"),
            ActionChange::Run { action, from, to } => write!(f, "action {action}: {from} → {to}"),
            ActionChange::Parameter {
                action,
                key,
                difference,
            } => {
                write!(f, "action {action}: parameter {key} is {difference}")
            }
            ActionChange::Annotation {
                action,
                key,
                from,
                to,
            } => {
                let [from, to] = [from, to].map(|value| value.as_deref().unwrap_or("(none)"));
                write!(f, "action {action}: annotation {key}: {from} → {to}")
            }
            ActionChange::Limits { action, from, to } => {
                write!(
                    f,
                    "action {action}: limits: {} → {}",
                    limits_text(from),
                    limits_text(to)
                )
            }
        }
    }
}

fn limits_text(limits: &Limits) -> String {
    format!(
        "{} ms, {} MB, {} MB of logs",
        limits.timeout, limits.memory, limits.logs
    )
}

/// Compares.
#[must_use]
pub fn diff(wanted: &WantedAction, observed: Option<&ObservedAction>) -> Plan<ActionChange> {
    let mut plan = Plan::default();
    let action = wanted.name.clone();
    let Some(observed) = observed else {
        let runs = wanted_text(&wanted.body);
        plan.changes.push(ActionChange::Create { action, runs });
        return plan;
    };
    if !runs_as_wanted(&wanted.body, observed) {
        plan.changes.push(ActionChange::Run {
            action: action.clone(),
            from: observed_text(observed),
            to: wanted_text(&wanted.body),
        });
    }
    if !matches!(wanted.body, Body::Sequence(_)) {
        plan.changes.extend(parameters(wanted, &observed.record));
        if observed.record.limits != wanted.limits {
            plan.changes.push(ActionChange::Limits {
                action,
                from: observed.record.limits,
                to: wanted.limits,
            });
        }
    }
    plan.changes.extend(annotations(wanted, &observed.record));
    plan
}

fn wanted_text(body: &Body) -> String {
    match body {
        Body::Code {
            kind, main, digest, ..
        } => code_text(kind, Some(main), Some(digest)),
        Body::Image { image, .. } => image_text(image),
        Body::Sequence(names) => format!("sequence {}", names.join(", ")),
    }
}

fn observed_text(observed: &ObservedAction) -> String {
    let exec = &observed.record.exec;
    match (&exec.components, &exec.image) {
        (Some(_), _) => format!("sequence {}", components(&observed.record).join(", ")),
        (None, Some(image)) => image_text(image),
        (None, None) => code_text(&exec.kind, exec.main.as_deref(), observed.digest.as_deref()),
    }
}

fn image_text(image: &str) -> String {
    format!("image {image}")
}

fn code_text(kind: &str, main: Option<&str>, digest: Option<&str>) -> String {
    let digest = digest.map_or("unknown", |d| d.get(..12).unwrap_or(d));
    let main = main
        .filter(|main| *main != "main")
        .map(|main| format!(" {main}"));
    format!("code {digest} ({kind}{})", main.unwrap_or_default())
}

fn runs_as_wanted(body: &Body, observed: &ObservedAction) -> bool {
    let exec = &observed.record.exec;
    match body {
        Body::Code {
            kind, main, digest, ..
        } => {
            same_kind(kind, &exec.kind)
                && exec.main.as_deref().unwrap_or("main") == main
                && observed.digest.as_ref() == Some(digest)
        }
        Body::Image { image, main } => {
            exec.image.as_ref() == Some(image)
                && exec.main.as_deref().unwrap_or("main") == main
                && observed.digest.is_none()
        }
        Body::Sequence(names) => {
            exec.kind == "sequence"
                && components(&observed.record) == names.iter().map(|n| bare(n)).collect::<Vec<_>>()
        }
    }
}

/// The server resolves `rust:default` to one of its versions and tells only that.
fn same_kind(wanted: &str, has: &str) -> bool {
    match wanted.strip_suffix(":default") {
        Some(family) => has.split(':').next() == Some(family),
        None => wanted == has,
    }
}

/// The components of a sequence without the server's namespace.
fn components(record: &ActionRecord) -> Vec<String> {
    let own = record.namespace.split('/').next().unwrap_or_default();
    record
        .exec
        .components
        .iter()
        .flatten()
        .map(|component| {
            let component = component.strip_prefix('/').unwrap_or(component);
            match component.split_once('/') {
                Some((namespace, rest)) if namespace == own || namespace == "_" => rest.to_owned(),
                _ => component.to_owned(),
            }
        })
        .collect()
}

/// The name of a component without the sign for the own namespace.
pub(super) fn bare(name: &str) -> &str {
    name.strip_prefix("/_/").unwrap_or(name)
}

fn parameters(wanted: &WantedAction, record: &ActionRecord) -> Vec<ActionChange> {
    parameter_differences(&wanted.parameters, &record.parameters)
        .into_iter()
        .map(|(key, difference)| ActionChange::Parameter {
            action: wanted.name.clone(),
            key,
            difference,
        })
        .collect()
}

fn annotations(wanted: &WantedAction, record: &ActionRecord) -> Vec<ActionChange> {
    let change = |key: &str, to: Option<&Value>| ActionChange::Annotation {
        action: wanted.name.clone(),
        key: key.to_owned(),
        from: record.annotation(key).map(annotation_text),
        to: to.map(annotation_text),
    };
    let all = wanted_annotations(wanted);
    let mut changes: Vec<ActionChange> = all
        .iter()
        .filter(|(key, value)| record.annotation(key) != Some(*value))
        // Told as a change of what it runs.
        .filter(|(key, _)| key.as_str() != DIGEST_ANNOTATION)
        .map(|(key, value)| change(key, Some(value)))
        .collect();
    changes.extend(
        obsolete_annotations(wanted, record)
            .iter()
            .map(|key| change(key, None)),
    );
    changes
}

/// All annotations to be written: those asked for, and those by which the state is known again.
#[must_use]
pub fn wanted_annotations(wanted: &WantedAction) -> BTreeMap<String, Value> {
    let mut all = wanted.annotations.clone();
    if let Body::Code { digest, .. } = &wanted.body {
        all.insert(DIGEST_ANNOTATION.to_owned(), digest.as_str().into());
    }
    if !wanted.annotations.is_empty() {
        let keys: Vec<&str> = wanted.annotations.keys().map(String::as_str).collect();
        all.insert(KEYS_ANNOTATION.to_owned(), keys.join("\n").into());
    }
    all
}

/// Annotations that were ours and are asked for no more.
#[must_use]
pub fn obsolete_annotations(wanted: &WantedAction, record: &ActionRecord) -> BTreeSet<String> {
    let before = record
        .annotation(KEYS_ANNOTATION)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wanted = wanted_annotations(wanted);
    before
        .split('\n')
        .filter(|key| !key.is_empty())
        .chain([KEYS_ANNOTATION, DIGEST_ANNOTATION])
        .filter(|key| !wanted.contains_key(*key) && record.annotation(key).is_some())
        .map(str::to_owned)
        .collect()
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
