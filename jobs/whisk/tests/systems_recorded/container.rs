//! What the real proxy answered to `/init` and `/run`, against this program as a proxy.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use millrace_testkit::{free_port, wait_for_port};
use reqwest::{Client, Method};
use serde_json::{Map, Value};

use crate::differences::Case;

const FILE: &str = "10_container_contract";

/// Cases for which a new container was started: one takes one action.
const NEW: [usize; 9] = [0, 21, 25, 29, 31, 32, 33, 34, 36];

/// Replays the recording; the cases that differ, with what differs.
pub async fn replay(directory: &Path, golden: &Path) -> Vec<(Case, Vec<String>)> {
    let read = |file: String| std::fs::read_to_string(golden.join(file)).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&read(format!("{FILE}.json"))).unwrap();
    let script = read("ACT.py".to_owned());
    let mut current = None;
    let mut found = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        if NEW.contains(&number) {
            let env = case["env"].as_object().cloned().unwrap_or_default();
            current = Some(Proxy::start(directory.join(number.to_string()), &env));
        }
        let proxy = current.as_mut().unwrap();
        let differences = proxy.differences(case, &script).await;
        if !differences.is_empty() {
            let case = Case {
                file: FILE.to_owned(),
                number: number as u64,
            };
            found.push((case, differences));
        }
    }
    found
}

/// This program as a proxy, ended with the value.
struct Proxy {
    child: Child,
    base: String,
    directory: PathBuf,
    /// How much of both streams was read.
    read: [usize; 2],
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(directory: PathBuf, env: &Map<String, Value>) -> Self {
        std::fs::create_dir_all(&directory).unwrap();
        let stream = |name: &str| File::create(directory.join(name)).unwrap();
        let port = free_port().unwrap();
        let env = env
            .iter()
            .map(|(name, value)| (name, value.as_str().unwrap()));
        let child = Command::new(env!("CARGO_BIN_EXE_millrace-whisk"))
            .args(["proxy", "--listen", &format!("127.0.0.1:{port}")])
            // On a busy machine a program takes its time to end.
            .args(["--grace-milliseconds", "500", "--run-dir"])
            .arg(directory.join("run"))
            .env("__OW_API_HOST", "http://localhost:3233")
            .envs(env)
            .stdout(stream("stdout"))
            .stderr(stream("stderr"))
            .spawn()
            .unwrap();
        wait_for_port(port, Duration::from_secs(10)).unwrap();
        Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
            directory,
            read: [0, 0],
        }
    }

    /// What is answered in another way, each beginning with its place.
    async fn differences(&mut self, case: &Value, script: &str) -> Vec<String> {
        let request = &case["request"];
        let body = match request["body_raw"].as_str() {
            Some(text) => text.to_owned(),
            None => {
                let mut body = request["body"].clone();
                if body["value"]["code"] == "$ACT" {
                    body["value"]["code"] = script.into();
                }
                body.to_string()
            }
        };
        let method: Method = request["method"].as_str().unwrap().parse().unwrap();
        let url = format!("{}{}", self.base, request["path"].as_str().unwrap());
        let answer = Client::new()
            .request(method, url)
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let json = |text: &str| -> Value { serde_json::from_str(text).unwrap_or(text.into()) };
        let recorded = &case["response"];
        let wanted = recorded["body"].as_str().unwrap();
        let mut both = vec![("status", recorded["status"].to_string(), status.to_string())];
        if json(wanted) != json(&text) {
            both.push(("body", wanted.to_owned(), text));
        }
        for (index, name) in ["stdout", "stderr"].into_iter().enumerate() {
            let now = std::fs::read_to_string(self.directory.join(name)).unwrap();
            let new = &now[std::mem::replace(&mut self.read[index], now.len())..];
            let recorded = case[name].as_str().unwrap();
            both.push((name, undated(recorded), undated(new)));
        }
        both.iter()
            .filter(|(_, wanted, got)| wanted != got)
            .map(|(place, wanted, got)| format!("/{place}: {wanted} recorded, {got} answered"))
            .collect()
    }
}

/// Lines without the time that the real proxy's own begin with.
fn undated(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| match line.get(..20) {
            Some(date) if date.starts_with("20") && date.matches('/').count() == 2 => &line[20..],
            _ => line,
        })
        .collect();
    lines.join("\n")
}
