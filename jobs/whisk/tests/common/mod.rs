//! A server in this process, a client for it, and an action that does what its input says.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millrace_whisk::auth::{Subject, Subjects};
use millrace_whisk::kinds::Kinds;
use millrace_whisk::serve::Server;
use millrace_whisk::settings::{Bounds, Isolation, PoolSettings, Retention, Settings, Throttles};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// The namespace's key.
pub const KEY: &str = "0f1e2d3c-0000-4000-8000-000000000001:0123456789abcdefghijklmnop";

/// An ActionLoop program for any shell; what it does stands in its input.
pub const SCRIPT: &str = r#"#!/bin/sh
take() { v=${line#*\"$1\":\"}; v=${v%%\"*}; }
can() { if "$@" >/dev/null 2>&1; then echo '{"can":true}' >&3; else echo '{"can":false}' >&3; fi; }
make() { : > "$1"; }
while read -r line; do
  case $line in
    *'"sleep":"'*) take sleep; sleep "$v"; echo '{"slept":true}' >&3 ;;
    *'"meet"'*) : > tmp/inside; while ! [ -e tmp/go ]; do sleep 0.05; done; echo '{"met":true}' >&3 ;;
    *'"exit":"'*) take exit; exit "$v" ;;
    *'"grow"'*) x=0123456789abcdef; i=0; while [ $i -lt 23 ]; do x=$x$x; i=$((i+1)); done; sleep 20; echo '{}' >&3 ;;
    *'"fork"'*) i=0; while [ $i -lt 100 ]; do sleep 20 & i=$((i+1)); done; wait; echo '{}' >&3 ;;
    *'"read":"'*) take read; can head -c 1 "$v" ;;
    *'"list":"'*) take list; can ls "$v" ;;
    *'"write":"'*) take write; can sh -c ': > "$0"' "$v" ;;
    *'"chmod":"'*) take chmod; can chmod 600 "$v" ;;
    *'"signal":"'*) take signal; can kill -0 "$v" ;;
    *'"log":"'*) take log; echo "out $v"; echo "err $v" >&2; echo '{"logged":true}' >&3 ;;
    *'"flood"'*) head -c 3000000 /dev/zero | tr '\0' 'x' | fold -w 99; echo '{}' >&3 ;;
    *'"pid"'*) echo "{\"pid\":\"$$\",\"directory\":\"$PWD\"}" >&3 ;;
    *'"env"'*) echo "{\"env\":\"$(env | cut -d= -f1 | sort | tr '\n' ' ')\"}" >&3 ;;
    *'"fail"'*) echo '{"error":"told to fail"}' >&3 ;;
    *) echo '{"ok":true}' >&3 ;;
  esac
done
"#;

/// Settings of a small server.
pub fn settings(data: &Path) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics: Some("127.0.0.1:0".parse().unwrap()),
        data: data.to_owned(),
        run: data.join("run"),
        subjects: Subjects::new(vec![Subject::new("me", KEY).unwrap()]),
        kinds: Kinds::default(),
        bounds: Bounds::default(),
        throttles: Throttles {
            invocations_per_minute: 100_000,
            fires_per_minute: 100,
            concurrent: 100,
        },
        retention: Retention {
            count: 10_000,
            age: Duration::from_secs(3600),
            bytes: 1 << 28,
        },
        pool: PoolSettings {
            launcher: PathBuf::from(env!("CARGO_BIN_EXE_millrace-whisk")),
            isolation: Isolation::Landlock,
            memory: 2048,
            instances: 4,
            idle: Duration::from_secs(600),
            processes: 32,
            wait: Duration::from_secs(20),
            prewarmed: 1,
            disk: 1024,
            reap: false,
        },
        pods: None,
        api_host: None,
        audit: None,
        grace: Duration::from_secs(5),
    }
}

/// Whether this machine can run isolated children; says so when it cannot.
pub fn can_isolate() -> bool {
    let can = millrace_whisk::pool::landlock_available();
    if !can {
        millrace_testkit::left_out("isolated actions", "the kernel has no Landlock").unwrap();
    }
    can
}

/// Waits until so many children, in their directory, are inside a meeting at once, and ends it for all of them.
pub async fn let_go_together(children: &Path, many: usize) {
    for _ in 0..1500 {
        let inside: Vec<PathBuf> = std::fs::read_dir(children)
            .unwrap()
            .flatten()
            .map(|child| child.path().join("tmp"))
            .filter(|scratch| scratch.join("inside").exists())
            .collect();
        if inside.len() >= many {
            for scratch in inside {
                std::fs::write(scratch.join("go"), "").unwrap();
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What `look` finds, as soon as it does: within a minute.
pub async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = look();
    assert!(found.is_some(), "{what}");
    found.unwrap()
}

/// Whether a process ends within two seconds: a kill takes its time on a busy machine. A dead one that
/// nobody has waited for yet has ended.
pub async fn ends(pid: &str) -> bool {
    for _ in 0..100 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        if state.is_none_or(|state| state.starts_with(['Z', 'X'])) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Whether within two seconds no process has `text` in its arguments, apart from children of `server`.
pub async fn none_names(text: &str, server: &std::process::Child) -> bool {
    for _ in 0..100 {
        let found = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            String::from_utf8_lossy(&read("cmdline")).contains(text)
                && parent.is_some_and(|parent| parent != server.id())
        });
        if !found {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// A client of one server.
pub struct Caller {
    pub base: String,
    client: Client,
    key: &'static str,
}

impl Caller {
    pub fn new(base: String) -> Self {
        Self {
            base,
            client: Client::new(),
            key: KEY,
        }
    }

    /// The same with the key of another namespace.
    pub fn with_key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    pub fn of(server: &Server) -> Self {
        Self::new(format!("http://{}", server.address))
    }

    /// Status and body of any request: for an entity of the own namespace, or of the one that `/` and its name begin with.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask(method, path, body).await.unwrap()
    }

    /// The same of a server that may be gone meanwhile.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let (user, password) = self.key.split_once(':').unwrap();
        let place = path
            .strip_prefix('/')
            .map_or_else(|| format!("_/{path}"), str::to_owned);
        let mut request = self
            .client
            .request(method, format!("{}/api/v1/namespaces/{place}", self.base))
            .basic_auth(user, Some(password));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        // What is no JSON is a word, or nothing.
        Some((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    /// Creates or changes an action of the script.
    pub async fn put(&self, name: &str, limits: Value) -> Value {
        let body =
            json!({ "exec": { "kind": "native:default", "code": SCRIPT }, "limits": limits });
        let (status, action) = self
            .call(
                Method::PUT,
                &format!("actions/{name}?overwrite=true"),
                Some(body),
            )
            .await;
        assert_eq!(status, 200, "{action}");
        action
    }

    /// Invokes and waits for the whole record.
    pub async fn invoke(&self, name: &str, input: Value) -> (u16, Value) {
        self.call(
            Method::POST,
            &format!("actions/{name}?blocking=true"),
            Some(input),
        )
        .await
    }

    /// Invokes and waits for the result.
    pub async fn result(&self, name: &str, input: Value) -> Value {
        self.call(
            Method::POST,
            &format!("actions/{name}?blocking=true&result=true"),
            Some(input),
        )
        .await
        .1
    }
}

/// The program, ended with the value.
pub struct Program {
    pub child: Child,
    pub base: String,
}

impl Program {
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let port = millrace_testkit::free_port().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_millrace-whisk"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let program = Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
        };
        millrace_testkit::wait_for_port(port, Duration::from_secs(10)).unwrap();
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
