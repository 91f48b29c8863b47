//! What the real proxy answered to `/init` and `/run`, against actions of this server: it has neither path, for
//! it starts the programs itself. The code of an `/init` becomes an action; a `/run` its invocation.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Caller, Program};
use crate::differences::Case;

const FILE: &str = "10_container_contract";

/// The proxy's last line of each activation.
const END: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";

/// What the invoker adds to the log of an activation that broke.
const BROKEN: &str = "The action did not initialize or run as expected. Log data might be missing.";

/// Replays the recording; the cases that differ, with what differs.
pub async fn replay(program: &Program, golden: &Path) -> Vec<(Case, Vec<String>)> {
    let read = |file: String| std::fs::read_to_string(golden.join(file)).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&read(format!("{FILE}.json"))).unwrap();
    let script = read("ACT.py".to_owned());
    let caller = Caller::new(program.base.clone());
    let mut current = None;
    let mut found = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let answered = match (
            case["request"]["path"].as_str(),
            case["request"]["method"].as_str(),
        ) {
            // The variable that changes how a program starts belongs to an image.
            _ if case.get("env").is_some() => None,
            (Some("/init"), _) if !case["request"]["body"]["value"].is_object() => None,
            (Some("/init"), _) => {
                let name = format!("c{number}");
                let answered = init(&caller, &name, case, &script).await;
                current = Some(name);
                Some(answered)
            }
            (Some("/run"), Some("POST")) => match &current {
                Some(name) => Some(run(&caller, name, input(case)).await),
                None => None,
            },
            _ => None,
        };
        let differences = Answer::recorded(case).differences(answered.as_ref());
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

/// What a program's start or run came to.
#[derive(Debug, PartialEq)]
struct Answer {
    broken: bool,
    result: Value,
    /// Lines of standard output, then those of standard error.
    logs: Vec<String>,
}

impl Answer {
    /// What is answered in another way, each beginning with its place.
    fn differences(&self, answered: Option<&Self>) -> Vec<String> {
        let Some(answered) = answered else {
            return vec!["/: not to be asked here".to_owned()];
        };
        let texts = |answer: &Self| {
            [
                ("broken", answer.broken.to_string()),
                ("result", answer.result.to_string()),
                ("logs", format!("{:?}", answer.logs)),
            ]
        };
        texts(self)
            .into_iter()
            .zip(texts(answered))
            .filter(|(wanted, got)| wanted != got)
            .map(|((place, wanted), (_, got))| {
                format!("/{place}: {wanted} recorded, {got} answered")
            })
            .collect()
    }

    fn recorded(case: &Value) -> Self {
        let response = &case["response"];
        let body = response["body"].as_str().unwrap();
        let lines = |stream: &str| {
            let text = case[stream].as_str().unwrap().to_owned();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.into_iter().filter(|line| line != END)
        };
        Self {
            broken: response["status"] != 200,
            result: serde_json::from_str(body).unwrap_or_default(),
            logs: lines("stdout").chain(lines("stderr")).collect(),
        }
    }
}

fn input(case: &Value) -> Value {
    let request = &case["request"];
    let body = match request.get("body_raw").and_then(Value::as_str) {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => request["body"].clone(),
    };
    body["value"].clone()
}

/// An action of the code; whether it starts shows the first run of it.
async fn init(caller: &Caller, name: &str, case: &Value, script: &str) -> Answer {
    let value = &case["request"]["body"]["value"];
    let code = value["code"].as_str().unwrap_or_default();
    let code = if code == "$ACT" { script } else { code };
    let parameters: Vec<Value> = value["env"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !key.starts_with("__OW_"))
        .map(|(key, value)| json!({ "key": key, "value": value, "init": true }))
        .collect();
    let body = json!({ "exec": { "kind": "go:1.20", "code": code }, "parameters": parameters });
    let path = format!("actions/{name}");
    let (status, action) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{action}");
    let answer = run(caller, name, json!({})).await;
    if answer.broken {
        return answer;
    }
    Answer {
        result: json!({ "ok": true }),
        ..answer
    }
}

async fn run(caller: &Caller, name: &str, input: Value) -> Answer {
    let (_, record) = caller.invoke(name, input).await;
    // A list comes without a record around it.
    let Some(id) = record.get("activationId").and_then(Value::as_str) else {
        return Answer {
            broken: false,
            result: record,
            logs: Vec::new(),
        };
    };
    let (_, kept) = caller.get(&format!("activations/{id}")).await;
    let lines = kept["logs"].as_array().unwrap().iter();
    let mut logs: Vec<(String, String)> = lines
        .filter_map(|line| {
            let (_, line) = line.as_str()?.split_once(' ')?;
            let (stream, text) = line.trim_start().split_once(": ")?;
            Some((stream.to_owned(), text.to_owned()))
        })
        .filter(|(_, text)| text != BROKEN)
        .collect();
    logs.sort_by(|(a, _), (b, _)| b.cmp(a));
    Answer {
        broken: record["response"]["status"] == "action developer error",
        result: record["response"]["result"].clone(),
        logs: logs.into_iter().map(|(_, text)| text).collect(),
    }
}
