//! What is open to another namespace, for as long as it is; and the names of one namespace.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use common::{Caller, KEY, can_isolate, settings};
use millrace_whisk::auth::{Subject, Subjects};
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// The key of the namespace `other`.
const OTHER: &str = "0f1e2d3c-0000-4000-8000-000000000002:zyxwvutsrqponmlkjihgfedcba";

/// Runs the action that its input names, and ends with what it is told.
const CONDUCTOR: &str = r#"#!/bin/sh
take() { v=${line#*\"$1\":\"}; v=${v%%\"*}; }
while read -r line; do
  case $line in
    *'"error":"'*) take error; echo "{\"params\":{\"told\":\"$v\"}}" >&3 ;;
    *'"next":"'*) take next; echo "{\"action\":\"$v\"}" >&3 ;;
    *) echo '{"params":{"ran":true}}' >&3 ;;
  esac
done
"#;

async fn put(caller: &Caller, path: &str, body: Value) {
    let path = format!("{path}?overwrite=true");
    let (status, answer) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{path}: {answer}");
}

fn sequence(component: &str) -> Value {
    json!({ "exec": { "kind": "sequence", "components": [component] } })
}

fn rule(action: &str) -> Value {
    json!({ "trigger": "/_/t", "action": action })
}

fn denied(what: &str) -> Value {
    json!(format!(
        "The supplied authentication is not authorized to access '{what}'."
    ))
}

/// Fires, and reads for each rule whether it started its action, or why not.
async fn fire(caller: &Caller) -> Vec<Value> {
    let (status, answer) = caller
        .call(Method::POST, "triggers/t", Some(json!({})))
        .await;
    assert_eq!(status, 202, "{answer}");
    let id = answer["activationId"].as_str().unwrap();
    let (_, record) = caller.get(&format!("activations/{id}")).await;
    let lines = record["logs"].as_array().unwrap();
    lines
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line.as_str().unwrap()).unwrap();
            line.get("error").unwrap_or(&line["success"]).clone()
        })
        .collect()
}

/// What a namespace has made of a package that another one publishes: each way to run an action in it.
async fn use_it(me: &Caller) {
    let bound = json!({ "binding": { "namespace": "other", "name": "x" } });
    put(me, "packages/b", bound).await;
    put(me, "actions/direct", sequence("/other/x/a")).await;
    put(me, "actions/bound", sequence("/_/b/a")).await;
    put(me, "actions/outer", sequence("/_/direct")).await;
    let conductor = json!({ "exec": { "kind": "native:default", "code": CONDUCTOR },
        "limits": { "memory": 128 }, "annotations": [{ "key": "conductor", "value": true }] });
    put(me, "actions/cond", conductor).await;
    put(me, "triggers/t", json!({})).await;
    put(me, "rules/r1", rule("/other/x/a")).await;
    put(me, "rules/r2", rule("/_/b/a")).await;
}

async fn all_runs(me: &Caller) {
    for path in ["/other/actions/x/a", "actions/b/a"] {
        let path = format!("{path}?blocking=true&result=true");
        let answer = me.call(Method::POST, &path, Some(json!({}))).await;
        assert_eq!(answer, (200, json!({ "ok": true })), "{path}");
    }
    for name in ["direct", "bound", "outer"] {
        let result = me.result(name, json!({})).await;
        assert_eq!(result, json!({ "ok": true }), "{name}");
    }
    for next in ["/other/x/a", "b/a"] {
        let result = me.result("cond", json!({ "next": next })).await;
        assert_eq!(result, json!({ "ran": true }), "{next}");
    }
    assert_eq!(fire(me).await, [true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_is_open_as_long_as_it_is() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    settings.subjects = Subjects::new(vec![
        Subject::new("me", KEY).unwrap(),
        Subject::new("other", OTHER).unwrap(),
    ]);
    let server = Server::start(settings).await.unwrap();
    let me = Caller::of(&server);
    let other = Caller::of(&server).with_key(OTHER);
    put(&other, "packages/x", json!({ "publish": true })).await;
    other.put("x/a", json!({ "memory": 128 })).await;
    other.put("y", json!({ "memory": 128 })).await;
    use_it(&me).await;
    all_runs(&me).await;

    // A package that is published opens no action outside it, of whatever name.
    for name in ["x", "y"] {
        let what = format!("other/{name}");
        for (path, body) in [
            ("actions/none", sequence(&format!("/{what}"))),
            ("rules/none", rule(&format!("/{what}"))),
        ] {
            let (status, told) = me.call(Method::PUT, path, Some(body)).await;
            assert_eq!((status, &told["error"]), (403, &denied(&what)), "{path}");
        }
        let told = me
            .result("cond", json!({ "next": format!("/{what}") }))
            .await;
        let words =
            format!("Failed entitlement check for action with name '{what}' during composition.");
        assert_eq!(told, json!({ "told": words }));
    }

    put(&other, "packages/x", json!({ "publish": false })).await;
    for (method, path, what) in [
        (Method::POST, "/other/actions/x/a", "other/x/a"),
        (Method::GET, "/other/packages/x", "other/x"),
        (Method::GET, "packages/b", "me/b"),
        (Method::GET, "actions/b/", "me/b"),
        (Method::GET, "actions/b/a", "me/b/a"),
        (Method::POST, "actions/b/a", "me/b/a"),
        (Method::POST, "actions/direct", "other/x/a"),
        (Method::POST, "actions/bound", "me/b/a"),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let (status, told) = me.call(method, path, body).await;
        assert_eq!((status, &told["error"]), (403, &denied(what)), "{path}");
    }
    let (status, record) = me.invoke("outer", json!({})).await;
    let response = &record["response"];
    assert_eq!(
        (status, &response["status"], &response["result"]["error"]),
        (502, &json!("application error"), &denied("other/x/a")),
        "a sequence in a sequence"
    );
    for (next, what) in [("/other/x/a", "other/x/a"), ("b/a", "me/b/a")] {
        let told = me.result("cond", json!({ "next": next })).await;
        let words =
            format!("Failed entitlement check for action with name '{what}' during composition.");
        assert_eq!(told, json!({ "told": words }));
    }
    assert_eq!(fire(&me).await, [denied("other/x/a"), denied("me/b/a")]);
    assert_eq!(other.result("x/a", json!({})).await, json!({ "ok": true }));

    put(&other, "packages/x", json!({ "publish": true })).await;
    all_runs(&me).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_of_one_entity_of_a_namespace() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    let code = json!({ "exec": { "kind": "native:default", "code": common::SCRIPT } });
    let all = [
        ("actions", "one", code),
        ("triggers", "t", json!({})),
        ("packages", "pack", json!({})),
        ("rules", "link", rule("/_/one")),
    ];
    for (kind, name, body) in &all {
        put(&caller, &format!("{kind}/{name}"), body.clone()).await;
    }
    let words = json!("Resource by this name exists but is not in this collection.");
    for (kind, name, _) in &all {
        for (other, _, body) in all.iter().filter(|(other, ..)| other != kind) {
            let path = format!("{other}/{name}");
            for (method, path, body) in [
                (Method::PUT, path.clone(), Some(body.clone())),
                (
                    Method::PUT,
                    format!("{path}?overwrite=true"),
                    Some(body.clone()),
                ),
                (Method::GET, path.clone(), None),
                (Method::DELETE, path.clone(), None),
            ] {
                let (status, told) = caller.call(method, &path, body).await;
                assert_eq!((status, &told["error"]), (409, &words), "{path}");
            }
        }
        let (status, found) = caller.get(&format!("{kind}/{name}")).await;
        assert_eq!((status, &found["name"]), (200, &json!(name)), "{kind}");
    }
    // Of a package the names are its own.
    caller.put("pack/one", json!({})).await;
    server.stop().await;
}
