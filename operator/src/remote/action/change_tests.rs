use super::*;
use crate::remote::openwhisk::{Exec, KeyValue};
use serde_json::json;

const LIMITS: Limits = Limits {
    timeout: 60_000,
    memory: 128,
    logs: 1,
};

fn code() -> WantedAction {
    WantedAction {
        name: "notify".to_owned(),
        body: Body::Code {
            kind: "rust:default".to_owned(),
            main: "main".to_owned(),
            zip: Some("UEsDBA==".to_owned()),
            digest: sha256(b"zip"),
        },
        parameters: BTreeMap::from([
            ("gateway_url".to_owned(), json!("http://gateway")),
            ("notify_token".to_owned(), json!("s3cret")),
        ]),
        annotations: BTreeMap::new(),
        limits: LIMITS,
    }
}

fn pairs(items: &[(&str, Value)]) -> Vec<KeyValue> {
    items
        .iter()
        .map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: value.clone(),
        })
        .collect()
}

/// What a server has after `wanted` was written to it.
fn written(wanted: &WantedAction) -> ObservedAction {
    let exec = match &wanted.body {
        Body::Code { main, .. } => Exec {
            kind: "rust:1.34".to_owned(),
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
            components: Some(names.iter().map(|name| format!("/guest/{name}")).collect()),
            ..Exec::default()
        },
    };
    let mut annotations: Vec<KeyValue> = wanted_annotations(wanted)
        .into_iter()
        .map(|(key, value)| KeyValue { key, value })
        .collect();
    annotations.extend(pairs(&[
        ("provide-api-key", json!(false)),
        ("exec", json!("rust:1.34")),
    ]));
    let mut parameters: Vec<KeyValue> = wanted
        .parameters
        .iter()
        .map(|(key, value)| KeyValue {
            key: key.clone(),
            value: value.clone(),
        })
        .collect();
    if let Some(components) = &exec.components {
        parameters = pairs(&[("_actions", json!(components))]);
    }
    ObservedAction {
        digest: match &wanted.body {
            Body::Code { digest, .. } => Some(digest.clone()),
            Body::Image { .. } | Body::Sequence(_) => None,
        },
        record: ActionRecord {
            name: wanted.name.clone(),
            namespace: "guest".to_owned(),
            version: "0.0.1".to_owned(),
            exec,
            parameters,
            annotations,
            limits: LIMITS,
        },
    }
}

#[test]
fn a_missing_action_is_created() {
    let digest = &sha256(b"zip")[..12];
    assert_eq!(
        diff(&code(), None).to_string(),
        format!("create action notify: code {digest} (rust:default)")
    );
}

#[test]
fn an_action_as_written_needs_nothing() {
    let mut wanted = code();
    wanted
        .annotations
        .insert("description".to_owned(), "x".into());
    assert!(diff(&wanted, Some(&written(&wanted))).is_settled());
    let sequence = WantedAction {
        body: Body::Sequence(vec!["assess".to_owned(), "pkg/notify".to_owned()]),
        parameters: BTreeMap::new(),
        ..code()
    };
    assert!(diff(&sequence, Some(&written(&sequence))).is_settled());
}

#[test]
fn every_difference_is_told_and_no_parameter_value_is() {
    let mut before = code();
    before.parameters = BTreeMap::from([
        ("notify_token".to_owned(), json!("0ld")),
        ("left".to_owned(), json!(1)),
    ]);
    before.annotations = BTreeMap::from([("old".to_owned(), "former".into())]);
    let mut observed = written(&before);
    observed.digest = Some(sha256(b"former"));
    observed.record.limits.memory = 256;
    observed
        .record
        .annotations
        .extend(pairs(&[("foreign", json!({"a": 1}))]));
    let mut wanted = code();
    wanted.annotations = BTreeMap::from([("new".to_owned(), json!({"a": 2}))]);
    let text = diff(&wanted, Some(&observed)).to_string();
    let (old, new) = (&sha256(b"former")[..12], &sha256(b"zip")[..12]);
    assert_eq!(
        text,
        format!(
            "action notify: code {old} (rust:1.34) → code {new} (rust:default)\n\
             action notify: parameter gateway_url is bound\n\
             action notify: parameter notify_token is changed\n\
             action notify: parameter left is removed\n\
             action notify: limits: 60000 ms, 256 MB, 1 MB of logs → 60000 ms, 128 MB, 1 MB of logs\n\
             action notify: annotation millrace.dev/annotations: old → new\n\
             action notify: annotation new: (none) → {{\"a\":2}}\n\
             action notify: annotation old: former → (none)"
        )
    );
    assert!(!text.contains("s3cret") && !text.contains("0ld"));
}

#[test]
fn annotations_are_compared_as_json() {
    let mut wanted = code();
    wanted.annotations = BTreeMap::from([
        ("web-export".to_owned(), json!(true)),
        ("require-whisk-auth".to_owned(), json!("s")),
    ]);
    let mut observed = written(&wanted);
    assert!(diff(&wanted, Some(&observed)).is_settled());
    // A text is no switch, which the server asks for.
    for annotation in &mut observed.record.annotations {
        if annotation.key == "web-export" {
            annotation.value = json!("true");
        }
    }
    assert_eq!(
        diff(&wanted, Some(&observed)).to_string(),
        "action notify: annotation web-export: \"true\" → true"
    );
    wanted.annotations.remove("web-export");
    let text = diff(&wanted, Some(&observed)).to_string();
    assert!(
        text.contains("annotation web-export: \"true\" → (none)"),
        "{text}"
    );
}

#[test]
fn code_of_unknown_digest_is_written_again() {
    let mut observed = written(&code());
    observed.digest = None;
    let text = diff(&code(), Some(&observed)).to_string();
    assert!(
        text.starts_with("action notify: code unknown (rust:1.34) → "),
        "{text}"
    );
}

#[test]
fn kinds_and_entry_points_are_compared() {
    for (wanted, has, same) in [
        ("rust:default", "rust:1.34", true),
        ("rust:default", "rust:default", true),
        ("rust:default", "go:1.20", false),
        ("rust:1.34", "rust:1.34", true),
        ("rust:1.34", "rust:1.40", false),
    ] {
        assert_eq!(same_kind(wanted, has), same, "{wanted} {has}");
    }
    let mut observed = written(&code());
    observed.record.exec.main = None;
    assert!(diff(&code(), Some(&observed)).is_settled());
    observed.record.exec.main = Some("other".to_owned());
    assert_eq!(diff(&code(), Some(&observed)).changes.len(), 1);
}

#[test]
fn a_sequence_that_became_code_and_back_is_rewritten() {
    let sequence = WantedAction {
        body: Body::Sequence(vec!["a".to_owned(), "b".to_owned()]),
        ..code()
    };
    let text = diff(&sequence, Some(&written(&code()))).to_string();
    assert!(text.contains("→ sequence a, b"), "{text}");
    // The digest of the former code says nothing of a sequence.
    assert!(
        text.contains("annotation millrace.dev/code-sha256"),
        "{text}"
    );
    let other_order = WantedAction {
        body: Body::Sequence(vec!["b".to_owned(), "a".to_owned()]),
        ..code()
    };
    assert_eq!(
        diff(&other_order, Some(&written(&sequence))).to_string(),
        "action notify: sequence a, b → sequence b, a"
    );
}

#[test]
fn pinned_code_is_fetched_only_when_it_has_to_be_sent() {
    let mut wanted = code();
    let Body::Code { zip, .. } = &mut wanted.body else {
        panic!("a sequence");
    };
    *zip = None;
    let create = diff(&wanted, None).changes;
    assert!(wanted.lacks_code(&create));
    let limits = ActionChange::Limits {
        action: "a".into(),
        from: wanted.limits,
        to: wanted.limits,
    };
    assert!(!wanted.lacks_code(&[limits]));
    wanted.bring_code("UEsDBA==".into());
    assert!(!wanted.lacks_code(&create));
}

#[test]
fn an_image_is_known_by_its_name() {
    let image = |digit: &str| format!("registry.example/team/a@sha256:{}", digit.repeat(64));
    let body = |digit: &str| Body::Image {
        image: image(digit),
        main: "main".to_owned(),
    };
    let mut wanted = code();
    let before = written(&wanted);
    wanted.body = body("a");
    assert_eq!(
        diff(&wanted, None).changes[0].to_string(),
        format!("create action notify: image {}", image("a"))
    );
    // From code to an image, and the annotation that told the code goes.
    let plan = diff(&wanted, Some(&before)).to_string();
    assert!(plan.contains(&format!("→ image {}", image("a"))), "{plan}");
    assert!(plan.contains("millrace.dev/code-sha256"), "{plan}");
    let there = written(&wanted);
    assert!(diff(&wanted, Some(&there)).changes.is_empty());
    wanted.body = body("b");
    let plan = diff(&wanted, Some(&there)).to_string();
    assert!(
        plan.contains(&image("a")) && plan.contains(&image("b")),
        "{plan}"
    );
    assert_ne!(wanted.body.digest(), body("a").digest());
}
