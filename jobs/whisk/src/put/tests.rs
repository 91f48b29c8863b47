use super::parse::is_image;
use super::*;
use crate::action::Version;

fn put(body: Value) -> Result<Put, ApiError> {
    let Value::Object(body) = body else {
        panic!("no object")
    };
    Put::parse(&body, "me", &Kinds::default(), &Bounds::default())
}

fn name() -> FullName {
    FullName {
        namespace: "me".to_owned(),
        name: "a".to_owned(),
    }
}

#[test]
fn base64_is_told_by_its_shape() {
    assert!(is_binary("aGVsbG8h"));
    for text in ["", "#!/bin/sh\n", "aGVsbG8", "text"] {
        assert_eq!(is_binary(text), text == "text", "{text:?}");
    }
}

#[test]
fn an_update_keeps_what_it_does_not_name() {
    let first = put(json!({ "exec": { "kind": "rust:default", "code": "x" }, "parameters": [{ "key": "a", "value": 1 }],
        "annotations": [{ "key": "d", "value": "x" }], "limits": { "timeout": 500 } }))
    .unwrap()
    .apply(None, &name(), 10)
    .unwrap();
    assert_eq!(first.version, Version::FIRST);
    let second =
        put(json!({ "annotations": [{ "key": "k", "value": 2 }], "limits": { "memory": 128 } }))
            .unwrap()
            .apply(Some(&first), &name(), 5)
            .unwrap();
    assert_eq!(second.version.to_string(), "0.0.2");
    assert_eq!((second.limits.timeout, second.limits.memory), (500, 128));
    assert_eq!(second.exec, first.exec);
    assert_eq!(second.parameters, first.parameters);
    let keys: Vec<&str> = second
        .annotations
        .iter()
        .map(|annotation| annotation.key.as_str())
        .collect();
    assert_eq!(keys, ["d", "provide-api-key", "exec", "k"]);
    assert!(
        second.updated > first.updated,
        "updates are ordered even when the clock steps back"
    );
}

#[test]
fn a_sequence_shows_its_components_as_a_parameter_and_loses_it_again() {
    let sequence = put(json!({ "exec": { "kind": "sequence", "components": ["/_/x"] } }))
        .unwrap()
        .apply(None, &name(), 0)
        .unwrap();
    assert_eq!(sequence.parameters[0].value, json!(["/me/x"]));
    assert_eq!(sequence.inputs().count(), 0);
    let code = put(json!({ "exec": { "kind": "rust:default", "code": "x" } }))
        .unwrap()
        .apply(Some(&sequence), &name(), 0)
        .unwrap();
    assert!(code.parameters.is_empty());
    assert_eq!(code.annotation("exec"), Some(&json!("rust:default")));
}

#[test]
fn an_unknown_kind_gets_a_cure() {
    let error = put(json!({ "exec": { "kind": "blackbox", "image": "x/y" } })).unwrap_err();
    assert_eq!(error.status, 400);
    assert!(
        error
            .message
            .contains("use 'native:default' or 'rust:default'"),
        "{}",
        error.message
    );
}

#[test]
fn image_names() {
    for good in ["a", "a/b", "registry.example:5000/a/b:1.2", "a@sha256:0f"] {
        assert!(is_image(good), "{good}");
    }
    for bad in ["", "BAD IMAGE!", "a//b", "a/B"] {
        assert!(!is_image(bad), "{bad}");
    }
}
