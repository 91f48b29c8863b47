//! `millrace action`: from an empty folder to an action in an OpenWhisk and in an image; and the example, which is built as a user would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod whisk_support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use millrace_contract::Alert;
use millrace_operator::remote::openwhisk::{Invocation, Invoked, WhiskClient};
use millrace_testkit::repository_root;
use serde_json::{Value, json};
use whisk_support::{KEY, USER, start, start_proxy};

/// `millrace action …`. What actions depend on is compiled once for all of them, and kept.
fn millrace(arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_millrace"));
    Command::new(program)
        .arg("action")
        .args(arguments)
        .env("CARGO_TARGET_DIR", program.with_file_name("own-actions"))
        .output()
        .unwrap()
}

/// What it wrote; it must have succeeded.
fn told(arguments: &[&str]) -> String {
    let output = millrace(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
    text
}

fn json_told(arguments: &[&str]) -> Value {
    let with_output = [arguments, &["--output", "json"]].concat();
    serde_json::from_str(&told(&with_output)).unwrap()
}

/// A file with the server's key, and the options that name both.
fn to(uri: &str, directory: &Path) -> Vec<String> {
    let auth = directory.join("auth");
    std::fs::write(&auth, format!("{USER}:{KEY}\n")).unwrap();
    let auth = auth.display().to_string();
    ["--api-host", uri, "--auth-file", &auth]
        .map(str::to_owned)
        .to_vec()
}

async fn result(client: &WhiskClient, name: &str, input: &Value) -> Value {
    let how = Invocation {
        blocking: true,
        timeout_ms: None,
    };
    match client.invoke(name, input, how).await.unwrap() {
        Invoked::Finished(record) => record.response.result,
        Invoked::Started(id) => panic!("{id} goes on"),
    }
}

/// Gives an image for actions its code, as OpenWhisk does.
async fn init(uri: &str, zip: &Path) {
    let code = STANDARD.encode(std::fs::read(zip).unwrap());
    let body = json!({"value": {"name": "greeter", "main": "main", "binary": true, "code": code, "env": {}}});
    assert_eq!(post(uri, "init", &body).await, json!({ "ok": true }));
}

/// What an image for actions answers to an activation.
async fn run(uri: &str, input: &Value) -> Value {
    let deadline = Timestamp::now() + SignedDuration::from_secs(60);
    let body = json!({"value": input, "namespace": "guest", "action_name": "/guest/greeter", "action_version": "0.0.1",
        "activation_id": "0123456789abcdef0123456789abcdef", "transaction_id": "t",
        "deadline": deadline.as_millisecond().to_string()});
    post(uri, "run", &body).await
}

async fn post(uri: &str, path: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().post(format!("{uri}/{path}"));
    let answer = request.json(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status.as_u16(), 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_new_action_is_built_tried_and_deployed() {
    let Some(whisk) = start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("greeter");
    let dir = place.to_str().unwrap();
    told(&["new", "greeter", "--dir", dir]);

    let built = json_told(&["build", dir, "--locked"]);
    assert_eq!(built["name"], "greeter");
    let zip = PathBuf::from(built["zip"].as_str().unwrap());
    assert_eq!(std::fs::read(&zip).unwrap().len() as u64, built["bytes"]);
    let again = json_told(&["build", dir, "--locked"]);
    assert_eq!(again["sha256"], built["sha256"]);

    let tried = json_told(&["test", dir, "--params", r#"{"name":"Ada"}"#]);
    assert_eq!(tried["result"], json!({ "greeting": "Hello, Ada" }));
    assert_eq!(tried["sha256"], built["sha256"]);
    let log = tried["logs"][0].as_str().unwrap();
    assert!(log.ends_with("stdout: greeting Ada"), "{log}");
    // A zip is run as it is, and a failure is one of the command too.
    let output = millrace(&["test", zip.to_str().unwrap(), "--params", r#"{"name":" "}"#]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("name: empty; give a name"), "{text}");
    assert!(text.contains("application error"), "{text}");

    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    let mut deploy = vec!["deploy".to_owned(), dir.to_owned()];
    deploy.extend(to(&whisk.uri, directory.path()));
    deploy.extend(["--params", r#"{"name":"Grace"}"#].map(str::to_owned));
    let deploy: Vec<&str> = deploy.iter().map(String::as_str).collect();
    let text = told(&deploy);
    assert!(text.contains("greeter: created, version 0.0.1"), "{text}");
    assert!(text.contains(built["sha256"].as_str().unwrap()), "{text}");
    assert_eq!(
        result(&client, "greeter", &json!({})).await,
        json!({ "greeting": "Hello, Grace" })
    );
    let text = told(&deploy);
    assert!(text.contains("greeter: changed, version 0.0.2"), "{text}");

    // The same zip in an image that speaks OpenWhisk's protocol answers the same: results and failures.
    let Some(image) = start_proxy() else { return };
    init(&image.uri, &zip).await;
    for input in [
        json!({ "name": "Ada" }),
        json!({ "name": " " }),
        json!({ "name": 7 }),
    ] {
        let by_child = result(&client, "greeter", &input).await;
        assert_eq!(run(&image.uri, &input).await, by_child, "{input}");
    }

    // What Kubernetes would get: an Action, and the very zip.
    let text = told(&["deploy", dir, "--openwhisk", "dev-whisk", "--print"]);
    let objects: Vec<Value> = text
        .split("---\n")
        .filter(|part| !part.is_empty())
        .map(|part| serde_yaml_ng::from_str(part).unwrap())
        .collect();
    assert_eq!(objects.len(), 2, "{text}");
    assert_eq!(objects[1]["spec"]["openwhisk"], "dev-whisk");
    assert_eq!(
        objects[0]["metadata"]["annotations"]["millrace.dev/code-sha256"],
        built["sha256"]
    );
}

#[tokio::test]
#[ignore = "systems tier"]
async fn the_example_does_what_it_says() {
    let Some(whisk) = start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let example = repository_root().join("examples/workshop-note");
    let example = example.to_str().unwrap();
    // As `dispatch` sends it.
    let alert: Alert = serde_json::from_value(json!({
        "id": "car-1/check-engine/e1/critical", "vehicle": "car-1", "rule": "check-engine", "severity": "critical",
        "episode": "e1", "event_time": "2026-03-01T08:00:00Z", "detected_at": "2026-03-01T08:00:01Z",
        "signal": "trouble_codes", "value": 1.0, "unit": "1", "threshold": 0.0, "text": "Engine: P0301",
        "codes": ["P0301"],
    }))
    .unwrap();
    let input = json!({ "alert": alert, "cloudevent": { "type": "alert" } });
    let note = json!({
        "id": "car-1/check-engine/e1/critical", "vehicle": "car-1", "priority": "today",
        "look_at": ["trouble code P0301", "engine control unit"], "text": "Engine: P0301",
    });
    let tried = json_told(&["test", example, "--locked", "--params", &input.to_string()]);
    assert_eq!(tried["result"], note);

    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    let mut deploy = vec![
        "deploy".to_owned(),
        example.to_owned(),
        "--locked".to_owned(),
    ];
    deploy.extend(to(&whisk.uri, directory.path()));
    let deploy: Vec<&str> = deploy.iter().map(String::as_str).collect();
    told(&deploy);
    assert_eq!(result(&client, "workshop-note", &input).await, note);
    let zone = json!({ "alert": { "id": "z", "vehicle": "car-1", "rule": "border", "severity": "warning", "text": "" } });
    let refused = result(&client, "workshop-note", &zone).await;
    let told = refused["error"].as_str().unwrap();
    assert!(told.starts_with("alert.rule: border: "), "{told}");
}
