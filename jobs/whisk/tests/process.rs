//! The program as a process: killed amid activations.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use common::{Caller, KEY, Program, SCRIPT, can_isolate};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_no_child_and_no_activation_without_a_record() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let auth = data.path().join("auth");
    std::fs::write(&auth, KEY).unwrap();
    let arguments = ["--namespace", "me", "--auth-file", auth.to_str().unwrap()];
    let mut program = Program::start(&data.path().join("data"), &arguments);
    let caller = Caller::new(program.base.clone());
    caller.put("echo", json!({})).await;
    let pid = caller.result("echo", json!({ "pid": 1 })).await["pid"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (status, answer) = caller
            .call(Method::POST, "actions/echo", Some(json!({ "sleep": "20" })))
            .await;
        assert_eq!(status, 202, "{answer}");
        ids.push(answer["activationId"].as_str().unwrap().to_owned());
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let program = Program::start(&data.path().join("data"), &arguments);
    let caller = Caller::new(program.base.clone());
    for id in ids {
        let (status, record) = caller.get(&format!("activations/{id}")).await;
        assert_eq!(
            (status, &record["response"]["status"]),
            (200, &json!("whisk internal error")),
            "{record}"
        );
    }
    assert!(common::ends(&pid).await, "a child outlives its server");
    let directory = data.path().join("data/run").display().to_string();
    assert!(
        common::none_names(&directory, &program.child).await,
        "a child's launcher outlives its server"
    );
    assert_eq!(
        caller.result("echo", json!({})).await,
        json!({ "ok": true })
    );
}

/// What clients were told before the kill.
#[derive(Default)]
struct Told {
    /// Activations that were accepted.
    accepted: Vec<String>,
    /// Records of those that were waited for.
    finished: Vec<Value>,
    /// Entities as they were answered last, by their paths; none for what was deleted.
    entities: BTreeMap<String, Option<Value>>,
    /// Triggers and rules in the same way, and how many changes of them were answered.
    links: BTreeMap<String, Option<Value>>,
    changes: usize,
}

impl Told {
    /// A rule, if it is there, is told to be active or inactive from now on.
    fn rule_becomes(&mut self, path: &str, state: &str) {
        if let Some(Some(rule)) = self.links.get_mut(path) {
            rule["status"] = json!(state);
        }
    }
}

/// Invocations of all sorts, a hundred at once; each goes on until the server is gone.
async fn invoke(caller: &Caller, number: usize, told: &Mutex<Told>) {
    let input = match number % 3 {
        0 => json!({ "sleep": "0.05" }),
        1 => json!({ "log": "hello" }),
        _ => json!({}),
    };
    let path = match number % 4 {
        0 => "actions/echo",
        1 => "actions/both",
        2 => "triggers/bell",
        _ => "actions/echo?blocking=true",
    };
    while let Some((status, answer)) = caller.ask(Method::POST, path, Some(input.clone())).await {
        let id = answer["activationId"].as_str().map(str::to_owned);
        match status {
            202 => told.lock().unwrap().accepted.push(id.unwrap()),
            200 => told.lock().unwrap().finished.push(answer),
            // So many are under way already: that is a hundred in any case.
            429 => tokio::time::sleep(Duration::from_millis(20)).await,
            other => assert_eq!(other, 200, "{answer}"),
        }
    }
}

/// Entities are made, changed and deleted one after the other until the server is gone; what was asked for last may
/// have happened or not, so that it is told apart.
async fn write(caller: &Caller, told: &Mutex<Told>) -> String {
    for number in 0.. {
        let (method, path, body) = match number % 4 {
            0 | 1 => {
                let code = json!({ "kind": "native:default", "code": SCRIPT });
                let body = json!({ "exec": code, "parameters": [{ "key": "n", "value": number }] });
                (Method::PUT, format!("actions/a{}", number % 7), Some(body))
            }
            2 => {
                let body = json!({ "parameters": [{ "key": "n", "value": number }] });
                (Method::PUT, format!("packages/p{}", number % 5), Some(body))
            }
            _ => (Method::DELETE, format!("actions/a{}", number % 7), None),
        };
        let asked = match method {
            Method::PUT => format!("{path}?overwrite=true"),
            _ => path.clone(),
        };
        let deletes = method == Method::DELETE;
        let Some((status, answer)) = caller.ask(method, &asked, body).await else {
            return path;
        };
        assert!(status == 200 || (deletes && status == 404), "{answer}");
        let entity = (!deletes).then_some(answer);
        told.lock().unwrap().entities.insert(path, entity);
    }
    unreachable!("numbers do not end")
}

/// So many pairs of a trigger and a rule.
const PAIRS: usize = 7;

/// Triggers are made and deleted, and rules of theirs made, made inactive and active, and deleted, one after the other
/// until the server is gone; the pair that was asked for last may have changed or not, so that it is told apart.
async fn link(caller: &Caller, told: &Mutex<Told>) -> usize {
    for pair in 0..PAIRS {
        for path in [format!("rules/l{pair}"), format!("triggers/t{pair}")] {
            // What the round before this one left.
            if caller.ask(Method::DELETE, &path, None).await.is_none() {
                return pair;
            }
            told.lock().unwrap().links.insert(path, None);
        }
    }
    for number in 0_usize.. {
        // Of six steps each pair is at another one than the pair before it.
        let (pair, step) = (number % PAIRS, number % 6);
        let (trigger, rule) = (format!("triggers/t{pair}"), format!("rules/l{pair}"));
        let (has_trigger, has_rule) = {
            let told = told.lock().unwrap();
            (told.links[&trigger].is_some(), told.links[&rule].is_some())
        };
        let state = if step == 2 { "inactive" } else { "active" };
        let (method, path, body, possible) = match step {
            0 => (Method::PUT, &trigger, json!({}), true),
            1 => {
                let body = json!({ "trigger": format!("/_/t{pair}"), "action": "/_/echo" });
                (Method::PUT, &rule, body, has_trigger)
            }
            2 | 3 => {
                let possible = has_rule && (has_trigger || step == 2);
                (Method::POST, &rule, json!({ "status": state }), possible)
            }
            _ if (number + pair).is_multiple_of(2) => {
                (Method::DELETE, &trigger, Value::Null, has_trigger)
            }
            _ => (Method::DELETE, &rule, Value::Null, has_rule),
        };
        let asked = match method {
            Method::PUT => format!("{path}?overwrite=true"),
            _ => path.clone(),
        };
        let body = (!body.is_null()).then_some(body);
        let Some((status, mut answer)) = caller.ask(method.clone(), &asked, body).await else {
            return pair;
        };
        let answered = format!("{method} {path}: {status} {answer}");
        assert_eq!(status == 200, possible, "{answered}");
        assert!(matches!(status, 200 | 400 | 404), "{answered}");
        let mut told = told.lock().unwrap();
        told.changes += 1;
        match method {
            _ if !possible => {}
            Method::PUT => {
                // Which rules a trigger has changes with them.
                answer.as_object_mut().unwrap().remove("rules");
                told.links.insert(path.clone(), Some(answer));
            }
            Method::DELETE => {
                told.links.insert(path.clone(), None);
                told.rule_becomes(&rule, "inactive");
            }
            _ => told.rule_becomes(&rule, state),
        }
    }
    unreachable!("numbers do not end")
}

/// Fails unless each active rule has its trigger, for which it is active too, and its action.
async fn active_rules_are_whole(caller: &Caller) {
    let (_, rules) = caller.get("rules?limit=200").await;
    for listed in rules.as_array().unwrap() {
        let name = listed["name"].as_str().unwrap();
        let (status, rule) = caller.get(&format!("rules/{name}")).await;
        assert_eq!(status, 200, "{rule}");
        if rule["status"] != "active" {
            continue;
        }
        let of = |what: &str| format!("{what}s/{}", rule[what]["name"].as_str().unwrap());
        let (status, trigger) = caller.get(&of("trigger")).await;
        assert_eq!(status, 200, "{rule} has no trigger: {trigger}");
        let known = &trigger["rules"][format!("me/{name}")]["status"];
        assert_eq!(known, "active", "{rule}: {trigger}");
        let (status, action) = caller.get(&of("action")).await;
        assert_eq!(status, 200, "{rule} has no action: {action}");
    }
}

/// Fails unless all that was told is there.
async fn compare(caller: &Caller, told: Told, last: &[String]) -> usize {
    for id in &told.accepted {
        let (status, record) = caller.get(&format!("activations/{id}")).await;
        assert_eq!(status, 200, "{id}: {record}");
        // What a fire started is named in its log.
        for line in record["logs"].as_array().unwrap() {
            let started = serde_json::from_str::<Value>(line.as_str().unwrap()).ok();
            let Some(id) =
                started.and_then(|line| line["activationId"].as_str().map(str::to_owned))
            else {
                continue;
            };
            let (status, record) = caller.get(&format!("activations/{id}")).await;
            assert_eq!(status, 200, "{id}: {record}");
        }
    }
    for answered in &told.finished {
        let id = answered["activationId"].as_str().unwrap();
        let (status, record) = caller.get(&format!("activations/{id}")).await;
        assert_eq!(
            (status, &record["response"]),
            (200, &answered["response"]),
            "a record that was answered stays as it was"
        );
    }
    let entities = told.entities.iter().chain(&told.links);
    for (path, entity) in entities.filter(|(path, _)| !last.contains(path)) {
        let (status, found) = caller.get(path).await;
        match entity {
            // What is read of a package is more than what was answered when it was written.
            Some(entity) => {
                assert_eq!(status, 200, "{path}: {found}");
                for (field, value) in entity.as_object().unwrap() {
                    assert_eq!(&found[field], value, "{path}: {field}");
                }
            }
            None => assert_eq!(status, 404, "{path} came back: {found}"),
        }
    }
    told.accepted.len() + told.finished.len()
}

/// Returns the paths of what was asked for last.
async fn round(data: &Path, arguments: &[&str], told: &Mutex<Told>, enough: usize) -> Vec<String> {
    let mut program = Program::start(data, arguments);
    let caller = Caller::new(program.base.clone());
    caller.put("echo", json!({ "memory": 128 })).await;
    let both = json!({ "exec": { "kind": "sequence", "components": ["/_/echo", "/_/echo"] } });
    let rule = json!({ "trigger": "/_/bell", "action": "/_/echo" });
    for (path, body) in [
        ("actions/both", both),
        ("triggers/bell", json!({})),
        ("rules/r", rule),
    ] {
        let path = format!("{path}?overwrite=true");
        let (status, entity) = caller.call(Method::PUT, &path, Some(body)).await;
        assert_eq!(status, 200, "{entity}");
    }
    let callers = join_all((0..100).map(|number| invoke(&caller, number, told)));
    let kill = async {
        loop {
            {
                let told = told.lock().unwrap();
                let records = told.accepted.len() + told.finished.len();
                if records >= enough && told.entities.len() >= 8 && told.changes >= 24 {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        program.child.kill().unwrap();
        program.child.wait().unwrap();
    };
    let writers = (write(&caller, told), link(&caller, told));
    let (_, last, pair, ()) = tokio::join!(callers, writers.0, writers.1, kill);
    vec![last, format!("triggers/t{pair}"), format!("rules/l{pair}")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_amid_a_hundred_activations_has_kept_all_that_it_told() {
    if !can_isolate() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let subject = format!("me={KEY}");
    let arguments = ["--subject", subject.as_str()];
    for enough in [50, 150, 300] {
        let told = Mutex::new(Told::default());
        let last = round(&data, &arguments, &told, enough).await;
        let program = Program::start(&data, &arguments);
        let caller = Caller::new(program.base.clone());
        let records = compare(&caller, told.into_inner().unwrap(), &last).await;
        assert!(records >= enough, "{records}");
        active_rules_are_whole(&caller).await;
        // Not one that was begun is left without an end.
        let (mut skip, mut cut_off) = (0, 0);
        loop {
            let path = format!("activations?docs=true&limit=200&skip={skip}");
            let (_, page) = caller.get(&path).await;
            let page = page.as_array().unwrap().clone();
            for record in &page {
                // A fire has no end of its own.
                let ended = record["end"].is_i64() || record["name"] == "bell";
                let status = record["response"]["status"].as_str().unwrap();
                assert!(ended, "{record}");
                cut_off += usize::from(status == "whisk internal error");
            }
            skip += page.len();
            if page.len() < 200 {
                break;
            }
        }
        assert!(skip >= records, "{skip} listed of {records}");
        assert!(cut_off >= 100, "only {cut_off} activations were under way");
        assert_eq!(
            caller.result("echo", json!({})).await,
            json!({ "ok": true })
        );
        assert_eq!(caller.get("rules/r").await.1["status"], "active");
    }
}
