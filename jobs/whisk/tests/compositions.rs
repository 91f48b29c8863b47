//! Conductors beyond what was recorded: state, bounds, and what a conductor is told.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use common::{Caller, can_isolate, settings};
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// Ends with what it is told; names actions, or itself without end, as its input says.
const CONDUCTOR: &str = r#"#!/bin/sh
take() { v=${line#*\"$1\":\"}; v=${v%%\"*}; }
while read -r line; do
  case $line in
    *'"error":"'*) take error; echo "{\"params\":{\"told\":\"$v\"}}" >&3 ;;
    *'"ok":true'*'"turns":1'*|*'"turns":1'*'"ok":true'*) echo '{"params":"done"}' >&3 ;;
    *'"loop":1'*) echo '{"action":"one","state":{"loop":1}}' >&3 ;;
    *'"nested":1'*) echo '{"action":"cond","params":{"nested":1}}' >&3 ;;
    *'"through":1'*) echo '{"action":"through","params":{"through":1}}' >&3 ;;
    *'"number":1'*) echo '{"action":5}' >&3 ;;
    *'"name":"'*) take name; echo "{\"action\":\"$v\",\"state\":{\"turns\":1}}" >&3 ;;
    *) echo '{"params":{}}' >&3 ;;
  esac
done
"#;

async fn start(data: &std::path::Path) -> (Server, Caller) {
    let mut settings = settings(data);
    // A composition without end starts as many of its kind as there may be.
    settings.bounds.sequence_length = 5;
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("one", json!({ "memory": 128 })).await;
    let conductor = json!({ "exec": { "kind": "native:default", "code": CONDUCTOR },
        "limits": { "memory": 128 }, "annotations": [{ "key": "conductor", "value": true }] });
    let (status, answer) = caller
        .call(Method::PUT, "actions/cond", Some(conductor))
        .await;
    assert_eq!(status, 200, "{answer}");
    (server, caller)
}

async fn put(caller: &Caller, path: &str, body: Value) -> (u16, Value) {
    let path = format!("{path}?overwrite=true");
    caller.call(Method::PUT, &path, Some(body)).await
}

fn sequence(component: &str) -> Value {
    json!({ "exec": { "kind": "sequence", "components": [component] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conductor_goes_on_with_its_state_and_is_told_what_cannot_be_run() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (server, caller) = start(data.path()).await;
    for (input, told) in [
        (json!({ "name": "one" }), json!({ "value": "done" })),
        (
            json!({ "name": "/other/p/a" }),
            json!({ "told": "Failed entitlement check for action with name 'other/p/a' during composition." }),
        ),
        (
            json!({ "name": "p/none" }),
            json!({ "told": "Failed to resolve action with name 'me/p/none' during composition." }),
        ),
        (
            json!({ "number": 1 }),
            json!({ "told": "Failed to parse action name from json value 5 during composition." }),
        ),
    ] {
        let (status, record) = caller.invoke("cond", input.clone()).await;
        assert_eq!(
            (status, &record["response"]["result"]),
            (200, &told),
            "{input}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_composition_goes_on_for_ever() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (server, caller) = start(data.path()).await;
    let too_long = "Too many actions in the composition.";
    let (_, record) = caller.invoke("cond", json!({ "loop": 1 })).await;
    assert_eq!(record["response"]["result"], json!({ "told": too_long }));
    // Five components, the conductor before each of them, and twice more.
    assert_eq!(record["logs"].as_array().map(Vec::len), Some(12));
    // Each composition in a composition counts with the first.
    let (status, record) = caller.invoke("cond", json!({ "nested": 1 })).await;
    assert_eq!(
        (status, &record["response"]["result"]),
        (502, &json!({ "error": too_long }))
    );
    let mut turns = 0;
    let (_, list) = caller
        .get("activations?name=cond&limit=200&docs=true")
        .await;
    for one in list.as_array().unwrap() {
        let simple = one["annotations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|note| note["key"] == "kind" && note["value"] == "native:default");
        let nested = one["response"]["result"]["params"] == json!({ "nested": 1 });
        turns += usize::from(simple && nested);
    }
    assert_eq!(turns, 11, "two for each possible component, and one");

    // Nor does a sequence in between begin to count again.
    let (status, made) = put(&caller, "actions/through", sequence("/_/cond")).await;
    assert_eq!(status, 200, "{made}");
    let (status, record) = caller.invoke("cond", json!({ "through": 1 })).await;
    assert_eq!(
        (status, &record["response"]["result"]),
        (502, &json!({ "error": too_long }))
    );
    let (_, list) = caller.get("activations?name=through&limit=200").await;
    assert_eq!(list.as_array().map(Vec::len), Some(5), "each a component");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_goes_through_itself_by_a_binding() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (server, caller) = start(data.path()).await;
    let bound_to = |package: &str| json!({ "binding": { "namespace": "_", "name": package } });
    for (path, body) in [("packages/p", json!({})), ("packages/q", json!({}))] {
        let (status, made) = put(&caller, path, body).await;
        assert_eq!(status, 200, "{made}");
    }
    caller.put("p/x", json!({ "memory": 128 })).await;
    for (path, body) in [
        ("packages/b", bound_to("p")),
        ("actions/around", sequence("/_/b/x")),
    ] {
        let (status, made) = put(&caller, path, body).await;
        assert_eq!(status, 200, "{made}");
    }
    let (status, told) = put(&caller, "actions/p/x", sequence("/_/around")).await;
    assert_eq!(
        (status, &told["error"]),
        (400, &json!("Sequence may not refer to itself."))
    );
    // Each of these is well by itself; together they go round.
    for (path, body) in [
        ("actions/q/x", sequence("/_/around")),
        ("packages/b", bound_to("q")),
    ] {
        let (status, made) = put(&caller, path, body).await;
        assert_eq!(status, 200, "{made}");
    }
    let too_many = json!("Too many actions in the sequence.");
    let (status, record) = caller.invoke("around", json!({})).await;
    assert_eq!(
        (status, &record["response"]["result"]["error"]),
        (502, &too_many)
    );
    let (status, told) = put(&caller, "actions/third", sequence("/_/around")).await;
    assert_eq!((status, &told["error"]), (400, &too_many));
    server.stop().await;
}
