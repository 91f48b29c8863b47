//! OpenWhisk's refusals, told as field, value and cure.

use millrace_contract::Invalid;

use super::change::{Body, WantedAction};
use crate::remote::openwhisk::{Class, WhiskError};

/// The refusal of a specification; `None` when the error is not about the specification.
#[must_use]
pub fn explain(error: &WhiskError, wanted: &WantedAction) -> Option<Invalid> {
    let WhiskError::Refused {
        class: Class::Invalid | Class::TooLarge,
        message,
        ..
    } = error
    else {
        return None;
    };
    let (field, value, cure) = place(message, wanted);
    Some(Invalid::new(
        field,
        value,
        format!("OpenWhisk says: {message}"),
        cure,
    ))
}

/// The field that a message speaks of, by the words that the server uses for it.
fn place(message: &str, wanted: &WantedAction) -> (&'static str, String, &'static str) {
    let (kind, sequence) = match &wanted.body {
        Body::Code { kind, .. } => (kind.clone(), String::new()),
        Body::Image { .. } => (String::new(), String::new()),
        Body::Sequence(names) => ("sequence".to_owned(), names.join(", ")),
    };
    let limits = &wanted.limits;
    let has = |word: &str| message.contains(word);
    if has("memory size") {
        (
            "spec.limits.memoryMegabytes",
            limits.memory.to_string(),
            "give a value that the server allows",
        )
    } else if has("duration") {
        (
            "spec.limits.timeoutMilliseconds",
            limits.timeout.to_string(),
            "give a value that the server allows",
        )
    } else if has("log size") {
        (
            "spec.limits.logsMegabytes",
            limits.logs.to_string(),
            "give a value that the server allows",
        )
    } else if has("runtime") {
        match &wanted.body {
            Body::Image { image, .. } => (
                "spec.code.image",
                image.clone(),
                "let the OpenWhisk run images (its spec.imageActions), or bring code",
            ),
            _ => ("spec.kind", kind, "give a kind that the server has"),
        }
    } else if has("equence") || has("component") {
        (
            "spec.sequence",
            sequence,
            "name actions that exist, at least one, and not the sequence itself",
        )
    } else if has("name of the entity") || has("Name seg") {
        (
            "spec.actionName",
            wanted.name.clone(),
            "use letters, digits, '_', '-', '.', '@' and blanks",
        )
    } else if has("exec larger") {
        (
            "spec.code",
            "too large".to_owned(),
            "make the archive smaller",
        )
    } else if has("parameters larger") || has("parameters malformed") {
        let keys: Vec<&str> = wanted.parameters.keys().map(String::as_str).collect();
        (
            "spec.parameters",
            keys.join(", "),
            "give less, or read it in the action",
        )
    } else if has("annotations larger") || has("annotations malformed") {
        let keys: Vec<&str> = wanted.annotations.keys().map(String::as_str).collect();
        ("spec.annotations", keys.join(", "), "give less")
    } else {
        ("spec", wanted.name.clone(), "correct the specification")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::openwhisk::Limits;
    use std::collections::BTreeMap;

    /// The messages are the real server's.
    #[test]
    fn the_server_s_words_lead_to_a_field() {
        let wanted = WantedAction {
            name: "a".to_owned(),
            body: Body::Code {
                kind: "cobol:1".to_owned(),
                main: "main".to_owned(),
                zip: Some(String::new()),
                digest: String::new(),
            },
            parameters: BTreeMap::new(),
            annotations: BTreeMap::from([("web-export".to_owned(), true.into())]),
            limits: Limits {
                timeout: 300_001,
                memory: 64,
                logs: 11,
            },
        };
        for (said, field, value) in [
            (
                "requirement failed: memory size 64 MB below allowed threshold of 128 MB",
                "spec.limits.memoryMegabytes",
                "64",
            ),
            (
                "requirement failed: duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds",
                "spec.limits.timeoutMilliseconds",
                "300001",
            ),
            (
                "requirement failed: log size 11 MB exceeds allowed threshold of 10 MB",
                "spec.limits.logsMegabytes",
                "11",
            ),
            (
                "The request content was malformed:\nThe specified runtime 'cobol:1' is not supported by this platform.",
                "spec.kind",
                "cobol:1",
            ),
            (
                "annotations larger than allowed: 2097152 > 1048576 bytes.",
                "spec.annotations",
                "web-export",
            ),
            ("Sequence component does not exist.", "spec.sequence", ""),
            (
                "The name of the entity contains illegal characters.",
                "spec.actionName",
                "a",
            ),
            ("anything else", "spec", "a"),
        ] {
            let body = serde_json::json!({"error": said, "code": "x"}).to_string();
            let error = WhiskError::refused("write action a", 400, body.as_bytes());
            let invalid = explain(&error, &wanted).unwrap();
            assert_eq!(
                (invalid.field.as_str(), invalid.value.as_str()),
                (field, value),
                "{said}"
            );
        }
        assert!(explain(&WhiskError::refused("x", 503, b""), &wanted).is_none());
        // A server without images does not know their kind.
        let said = "The specified runtime 'blackbox' is not supported by this platform.";
        let body = serde_json::json!({ "error": said }).to_string();
        let error = WhiskError::refused("write action a", 400, body.as_bytes());
        let wanted = WantedAction {
            body: Body::Image {
                image: "r.io/a@sha256:0".to_owned(),
                main: "main".to_owned(),
            },
            ..wanted
        };
        let told = explain(&error, &wanted).unwrap().to_string();
        assert!(
            told.starts_with("spec.code.image: r.io/a@sha256:0: "),
            "{told}"
        );
    }
}
