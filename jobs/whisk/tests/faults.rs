//! Actions that do their worst: what their callers are told, and that nobody else is harmed. The table is in
//! `docs/openwhisk.md`; hanging, exiting, eating memory, and files and environment of neighbours are in `server.rs`.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Caller, KEY, Program, can_isolate};
use reqwest::Method;
use serde_json::{Value, json};

/// Does what the field `do` of its input says.
const SCRIPT: &str = r#"#!/bin/sh
while read -r line; do
  case $line in
    *'"do":"text"'*) echo 'no JSON at all' >&3 ;;
    *'"do":"bytes"'*) head -c 4096 /dev/urandom | tr '\n' x >&3; echo >&3 ;;
    *'"do":"number"'*) echo 42 >&3 ;;
    *'"do":"null"'*) echo null >&3 ;;
    *'"do":"deep"'*) head -c 500000 /dev/zero | tr '\0' '[' >&3; echo >&3 ;;
    *'"do":"nothing"'*) echo >&3 ;;
    *'"do":"half"'*) printf '{"a":' >&3; exit 0 ;;
    *'"do":"twice"'*) printf '{"first":1}\n{"second":2}\n' >&3 ;;
    *'"do":"log bytes"'*) head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2; echo '{"ok":true}' >&3 ;;
    *'"do":"hundred"'*) head -c 104857600 /dev/zero | tr '\0' x >&3; echo >&3 ;;
    *'"do":"endless answer"'*) cat /dev/zero >&3 ;;
    *'"do":"endless line"'*) cat /dev/zero ;;
    *'"do":"endless lines"'*) yes '' ;;
    *'"do":"deaf"'*) trap '' TERM INT HUP; while :; do :; done ;;
    *'"do":"files"'*) for i in 1 2 3 4 5 6; do head -c 60000000 /dev/zero > tmp/$i; done; sleep 20; echo '{"ok":true}' >&3 ;;
    *'"do":"deleted files"'*) for i in 4 5 6 7 8 9; do eval "exec $i> tmp/$i"; rm tmp/$i; eval "head -c 60000000 /dev/zero >&$i"; done; sleep 20; echo '{"ok":true}' >&3 ;;
    *'"do":"once"'*) echo '{"ok":true}' >&3; exit 0 ;;
    *'"do":"behind"'*) echo '{"ok":true}' >&3; yes '{"late":true}' >&3 & ;;
    *'"do":"away"'*) for i in 1 2 3 4 5 6 7 8; do setsid sh -c "sleep 3217$i & sleep 3218$i" & done; echo '{"ok":true}' >&3 ;;
    *'"do":"away many"'*) for i in 1 2 3 4 5 6 7 8; do setsid sh -c "for j in 1 2 3 4 5 6; do sleep 3219\$j & done; wait" & done; wait ;;
    *) echo '{"ok":true}' >&3 ;;
  esac
done
"#;

/// Looks at another process in the ways that the kernel has for it; says what it could read.
const SPY: &str = r#"#!/usr/bin/python3
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
def read(pid, address):
    mine = ctypes.create_string_buffer(8)
    local, remote = Piece(ctypes.addressof(mine), 8), Piece(address, 8)
    return libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) == 8
secret = ctypes.create_string_buffer(b"a secret of this child")
with os.fdopen(3, "w") as answers:
    for line in sys.stdin:
        value = json.loads(line)["value"]
        if "pid" in value:
            pid, address = value["pid"], value["address"]
            can = {"readv": read(pid, address), "attach": libc.ptrace(16, pid, 0, 0) == 0}
            for file in ["mem", "maps", "environ", "cwd/tmp", "fd/3"]:
                try:
                    path = "/proc/%d/%s" % (pid, file)
                    os.listdir(path) if file == "cwd/tmp" else os.close(os.open(path, os.O_RDONLY))
                    can[file] = True
                except OSError:
                    can[file] = False
            answer = {"can": can, "own": read(os.getpid(), ctypes.addressof(secret))}
        else:
            answer = {"told": {"pid": os.getpid(), "address": ctypes.addressof(secret)}}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
"#;

fn start(data: &Path, more: &[&str]) -> (Program, Caller) {
    let subject = format!("me={KEY}");
    let mut arguments = vec!["--subject", subject.as_str()];
    arguments.extend(more);
    let program = Program::start(&data.join("data"), &arguments);
    let caller = Caller::new(program.base.clone());
    (program, caller)
}

async fn put(caller: &Caller, name: &str, code: &str, limits: Value) {
    let body = json!({ "exec": { "kind": "native:default", "code": code }, "limits": limits });
    let path = format!("actions/{name}?overwrite=true");
    let (status, action) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{action}");
}

/// The highest that a process's resident memory ever was, MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().next().unwrap();
    kilobytes.parse::<u64>().unwrap() / 1024
}

/// The whole record, with its log.
async fn kept(caller: &Caller, record: &Value) -> Value {
    let id = record["activationId"].as_str().unwrap();
    let (status, kept) = caller.get(&format!("activations/{id}")).await;
    assert_eq!(status, 200, "{kept}");
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_action_does_it_is_told_and_its_neighbours_are_well() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (program, caller) = start(data.path(), &[]);
    let limits = json!({ "timeout": 1000, "memory": 128, "logs": 1 });
    put(&caller, "bad", SCRIPT, limits.clone()).await;
    put(
        &caller,
        "slow",
        SCRIPT,
        json!({ "timeout": 60_000, "memory": 128, "logs": 1 }),
    )
    .await;
    put(&caller, "good", SCRIPT, limits).await;

    // A neighbour is asked all the while, and every answer of its is right.
    let going = Arc::new(AtomicBool::new(true));
    let neighbour = tokio::spawn({
        let (going, base) = (Arc::clone(&going), program.base.clone());
        async move {
            let (caller, mut answers) = (Caller::new(base), 0);
            while going.load(Ordering::Acquire) {
                let result = caller.result("good", json!({})).await;
                assert_eq!(
                    result,
                    json!({ "ok": true }),
                    "after {answers} right answers"
                );
                answers += 1;
            }
            answers
        }
    });

    let no_object = "The action did not return a dictionary or array.";
    let no_value = "The action did not produce a valid JSON or JSON Array response: null\n";
    let too_long = "The action exceeded its time limits of 1000 milliseconds.";
    let broken = "action developer error";
    let cases = [
        ("text", broken, no_object),
        ("bytes", broken, no_object),
        ("number", broken, no_object),
        ("null", broken, no_value),
        ("deep", broken, no_object),
        ("nothing", broken, no_object),
        ("half", broken, "command exited"),
        ("endless answer", broken, too_long),
        ("endless line", broken, too_long),
        ("endless lines", broken, too_long),
        ("deaf", broken, too_long),
    ];
    for (what, status, error) in cases {
        let (code, record) = caller.invoke("bad", json!({ "do": what })).await;
        assert_eq!(code, 502, "{what}: {record}");
        let response = &record["response"];
        assert_eq!(response["status"], status, "{what}: {record}");
        assert_eq!(response["result"]["error"], error, "{what}: {record}");
        let kept = kept(&caller, &record).await;
        let lines = kept["logs"].as_array().unwrap().iter();
        let bytes: usize = lines.map(|line| line.as_str().unwrap().len()).sum();
        assert!(bytes < (1 << 20) + 1000, "{what}: a log of {bytes} bytes");
        let next = caller.result("bad", json!({})).await;
        assert_eq!(next, json!({ "ok": true }), "after {what}");
    }

    let (code, record) = caller.invoke("slow", json!({ "do": "hundred" })).await;
    assert_eq!(code, 502);
    assert_eq!(record["response"]["status"], "application error");
    let error = record["response"]["result"]["error"].as_str().unwrap();
    let told = "The action produced a response that exceeded the allowed length: 104857601 > 1048576 bytes.";
    assert!(error.starts_with(told), "{}", &error[..200]);

    for what in ["files", "deleted files"] {
        let (code, record) = caller.invoke("slow", json!({ "do": what })).await;
        let told = "The action wrote too much and was aborted.";
        assert_eq!(
            (code, &record["response"]["result"]["error"]),
            (502, &json!(told)),
            "{what}: {record}"
        );
    }

    // Two answers, garbage in the log, answers that nobody asked for, an end right after the answer.
    let (_, record) = caller.invoke("slow", json!({ "do": "twice" })).await;
    assert_eq!(record["response"]["result"], json!({ "first": 1 }));
    assert_eq!(
        caller.result("slow", json!({})).await,
        json!({ "ok": true })
    );
    let (_, record) = caller.invoke("slow", json!({ "do": "log bytes" })).await;
    assert_eq!(record["response"]["status"], "success");
    let kept = kept(&caller, &record).await;
    assert!(!kept["logs"].as_array().unwrap().is_empty());
    for number in 0..20 {
        let result = caller.result("slow", json!({ "do": "once" })).await;
        assert_eq!(result, json!({ "ok": true }), "{number}");
    }
    assert_eq!(
        caller.result("bad", json!({ "do": "behind" })).await,
        json!({ "ok": true })
    );
    for _ in 0..3 {
        // Whose answer it is, is the action's own matter; that there is one, is not.
        let (code, record) = caller.invoke("bad", json!({})).await;
        assert!(matches!(code, 200 | 502), "{record}");
    }

    going.store(false, Ordering::Release);
    let answers = neighbour.await.unwrap();
    assert!(answers > 10, "the neighbour was answered {answers} times");
    let peak = peak(program.child.id());
    assert!(peak < 128, "the server came to need {peak} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_leave_their_action_do_not_outlive_it() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (program, caller) = start(data.path(), &[]);
    put(&caller, "a", SCRIPT, json!({ "memory": 128 })).await;
    assert_eq!(
        caller.result("a", json!({ "do": "away" })).await,
        json!({ "ok": true })
    );
    let (status, gone) = caller.call(Method::DELETE, "actions/a", None).await;
    assert_eq!(status, 200, "{gone}");
    for text in ["3217", "3218"] {
        let left = common::none_names(text, &program.child).await;
        assert!(left, "sleep {text} outlives its action");
    }
    // In sessions of their own they count all the same.
    put(&caller, "a", SCRIPT, json!({ "memory": 128 })).await;
    let (code, record) = caller.invoke("a", json!({ "do": "away many" })).await;
    let told = "The action started too many processes and was aborted.";
    assert_eq!(
        (code, &record["response"]["result"]["error"]),
        (502, &json!(told)),
        "{record}"
    );
    let left = common::none_names("3219", &program.child).await;
    assert!(left, "sleep 3219 outlives its action");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_action_reads_the_memory_of_another_process() {
    if !can_isolate() {
        return;
    }
    if !Path::new("/usr/bin/python3").exists() {
        millrace_testkit::left_out("a look into memory", "/usr/bin/python3 is not here").unwrap();
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (program, caller) = start(data.path(), &[]);
    put(&caller, "spy", SPY, json!({})).await;
    put(&caller, "neighbour", SPY, json!({})).await;
    let neighbour = caller.result("neighbour", json!({})).await["told"].clone();
    assert!(neighbour["pid"].as_i64().is_some(), "{neighbour}");
    let server = json!({ "pid": program.child.id(), "address": neighbour["address"] });
    for other in [neighbour, server] {
        let found = caller.result("spy", other).await;
        assert_eq!(found["own"], true, "the way to read memory works: {found}");
        let can = found["can"].as_object().unwrap();
        assert_eq!(can.len(), 7, "{found}");
        assert!(can.values().all(|can| can == false), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_large_records_comes_in_parts() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let (_program, caller) = start(data.path(), &[]);
    caller.put("loud", json!({ "memory": 128 })).await;
    // 3 MB of log each, and the time before each of its lines.
    let mut told = BTreeSet::new();
    for _ in 0..6 {
        let (code, record) = caller.invoke("loud", json!({ "flood": 1 })).await;
        assert_eq!(code, 200, "{record}");
        told.insert(record["activationId"].as_str().unwrap().to_owned());
    }
    let (_, summaries) = caller.get("activations").await;
    assert_eq!(summaries.as_array().unwrap().len(), told.len());
    let (mut found, mut parts) = (BTreeSet::new(), 0);
    loop {
        let path = format!("activations?docs=true&skip={}", found.len());
        let (status, part) = caller.get(&path).await;
        assert_eq!(status, 200, "{part}");
        let part = part.as_array().unwrap();
        if part.is_empty() {
            break;
        }
        parts += 1;
        for record in part {
            assert!(record["logs"].as_array().unwrap().len() > 10_000);
            found.insert(record["activationId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(found, told);
    assert!(parts > 1, "20 MB came at once");
}
