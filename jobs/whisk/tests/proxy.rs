//! One action behind HTTP, and a caller that does not wait for its answer.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Program, SCRIPT, wait_for};
use millrace_testkit::{free_port, wait_for_port};
use serde_json::{Value, json};

fn start(port: u16, run: &Path) -> Program {
    let child = Command::new(env!("CARGO_BIN_EXE_millrace-whisk"))
        .args(["proxy", "--listen", &format!("127.0.0.1:{port}")])
        .arg("--run-dir")
        .arg(run)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let program = Program {
        child,
        base: format!("http://127.0.0.1:{port}"),
    };
    wait_for_port(port, Duration::from_secs(60)).unwrap();
    program
}

async fn post(proxy: &Program, path: &str, body: Value) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{}{path}", proxy.base));
    let response = request.json(&body).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// The directory of the action that is inside.
fn inside(run: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(run).unwrap().flatten();
    let mut children = entries.map(|entry| entry.path().join("child"));
    children.find(|child| child.join("tmp/inside").exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_the_answer_that_another_did_not_wait_for() {
    let run = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let proxy = start(port, run.path());
    let code = json!({ "value": { "name": "a", "main": "main", "code": SCRIPT } });
    let (status, answer) = post(&proxy, "/init", code.clone()).await;
    assert_eq!((status, answer), (200, json!({ "ok": true })));
    let ask = json!({ "value": {} });
    let (status, answer) = post(&proxy, "/run", ask.clone()).await;
    assert_eq!((status, answer), (200, json!({ "ok": true })));

    let body = json!({ "value": { "meet": 1 } }).to_string();
    let mut caller = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        caller,
        "POST /run HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let child = wait_for("the action is inside", || inside(run.path())).await;
    drop(caller);
    wait_for("the action ends with its caller", || {
        (!child.exists()).then_some(())
    })
    .await;
    // As after any other end: there is no second action.
    let (status, answer) = post(&proxy, "/run", ask).await;
    let told = json!({ "error": "no action defined yet" });
    assert_eq!((status, answer), (500, told));
    assert_eq!(post(&proxy, "/init", code).await.0, 403);
}
