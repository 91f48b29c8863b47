//! The loop over any pair of streams: one answer an activation, whatever happens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test; one action panics on purpose"
)]

use std::time::{Duration, UNIX_EPOCH};

use millrace_harness::{Context, serve_lines};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Number {
    number: i64,
}

fn double(input: Number, context: &Context) -> Result<Value, String> {
    match input.number {
        0 => panic!("zero"),
        n if n < 0 => Err(format!("number: {n}: is negative; give 1 or more")),
        n => Ok(json!({ "double": n * 2, "id": context.activation_id })),
    }
}

fn answers<I: serde::de::DeserializeOwned>(
    action: impl Fn(I, &Context) -> Result<Value, String>,
    input: &str,
    acknowledge: bool,
) -> Vec<String> {
    let mut out = Vec::new();
    serve_lines(&action, input.as_bytes(), &mut out, acknowledge).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn answers_one_line_per_activation_whatever_happens() {
    let input = concat!(
        "{\"value\":{\"number\":2},\"activation_id\":\"a\"}\n",
        "{\"value\":{\"number\":-1}}\n",
        "{\"value\":{\"number\":0}}\n",
        "\n",
        "{\"value\":{\"other\":0}}\n",
        "garbage\n",
        "{\"value\":{\"number\":3}}\n",
    );
    let answers = answers(double, input, false);
    assert_eq!(answers.len(), 6, "{answers:?}");
    assert_eq!(answers[0], r#"{"double":4,"id":"a"}"#);
    assert_eq!(
        answers[1],
        r#"{"error":"number: -1: is negative; give 1 or more"}"#
    );
    assert!(answers[2].contains("panicked: zero"), "{}", answers[2]);
    let third = &answers[3];
    assert!(third.contains("missing field `number`"), "{third}");
    let fourth = &answers[4];
    assert!(fourth.starts_with(r#"{"error":"input: "#), "{fourth}");
    assert_eq!(answers[5], r#"{"double":6,"id":""}"#);
}

#[test]
fn acknowledges_first_when_asked() {
    let answers = answers(double, "{\"value\":{\"number\":1}}\n", true);
    assert_eq!(answers, [r#"{"ok":true}"#, r#"{"double":2,"id":""}"#]);
}

#[test]
fn reads_the_deadline_as_text_or_number() {
    let remaining = |_: Value, context: &Context| {
        let left = |at| context.remaining(UNIX_EPOCH + Duration::from_millis(at));
        let milliseconds = |left: Option<Duration>| left.map(|left| left.as_millis());
        Ok(json!([milliseconds(left(1000)), milliseconds(left(9000))]))
    };
    let input = "{\"deadline\":\"1500\"}\n{\"deadline\":1500}\n{}\n{\"deadline\":\"soon\"}\n";
    let answers = answers(remaining, input, false);
    assert_eq!(
        answers,
        ["[500,0]", "[500,0]", "[null,null]", "[null,null]"]
    );
}
