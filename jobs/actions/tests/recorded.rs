//! What actions answered under the real proxy, against the harness: the recordings of the proxy's contract, and
//! those of the official Rust launcher, whose faults the harness does not share.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeMap;

use millrace_actions::ActionError;
use millrace_harness::serve_lines;
use serde::Deserialize;
use serde_json::{Value, json};

/// The cases of a recording, when this machine has it.
fn recorded(file: &str) -> Option<Vec<Value>> {
    let Some(golden) = millrace_testkit::golden_dir() else {
        let what = "recorded answers of actions";
        millrace_testkit::left_out(what, "they are not here").unwrap();
        return None;
    };
    let text = std::fs::read_to_string(golden.join(format!("{file}.json"))).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// The line that the proxy passes on, for a case that runs an action.
fn line(case: &Value) -> Option<String> {
    let request = &case["request"];
    let runs = request["path"] == "/run";
    let body = match request.get("body_raw").and_then(Value::as_str) {
        Some(text) => text.replace('\n', ""),
        None => request["body"].to_string(),
    };
    runs.then_some(body)
}

fn wanted(case: &Value) -> Value {
    serde_json::from_str(case["response"]["body"].as_str().unwrap()).unwrap()
}

/// The harness's answers, one a line.
fn answers<I: serde::de::DeserializeOwned>(
    action: impl Fn(I) -> Result<Value, ActionError>,
    lines: &[String],
    acknowledge: bool,
) -> Vec<Value> {
    let mut out = Vec::new();
    let input = lines.join("\n") + "\n";
    serve_lines(
        &|input: I, _: &_| action(input),
        input.as_bytes(),
        &mut out,
        acknowledge,
    )
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// As far as an action of the harness can do what the recordings' script was told to.
fn script(input: Value) -> Result<Value, ActionError> {
    Ok(input.get("respond").cloned().unwrap_or(input))
}

#[test]
fn answers_as_under_the_real_proxy() {
    let Some(cases) = recorded("10_container_contract") else {
        return;
    };
    // It is the script's matter to end itself, to tell its environment, and to write what is no answer.
    let beyond = ["exit", "envelope", "raw"];
    let mut compared = 0;
    for case in cases
        .iter()
        .filter(|case| case["response"]["status"] == 200)
    {
        let Some(line) = line(case) else { continue };
        let value: Value = serde_json::from_str(&line).unwrap();
        if beyond.iter().any(|word| value["value"].get(word).is_some()) {
            continue;
        }
        let acknowledge = case["env"].get("OW_WAIT_FOR_ACK").is_some();
        let mut answers = answers(script, &[line], acknowledge);
        if acknowledge {
            assert_eq!(answers.remove(0), json!({ "ok": true }), "{}", case["name"]);
        }
        assert_eq!(answers, [wanted(case)], "{}", case["name"]);
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} cases were compared");
}

#[derive(Deserialize)]
struct Hello {
    name: Option<String>,
}

fn hello(input: Hello) -> Result<Value, ActionError> {
    let name = input.name.as_deref().unwrap_or("stranger");
    Ok(json!({ "greeting": format!("Hello, {name}") }))
}

/// The numbers that `docs/openwhisk.md` lists for a recording, and what differs in each: a field, or all (empty).
fn listed(file: &str) -> BTreeMap<usize, String> {
    let path = millrace_testkit::repository_root().join("docs/openwhisk.md");
    let text = std::fs::read_to_string(path).unwrap();
    let start = format!("| `{file}` | ");
    let rows = text.lines().filter_map(|line| line.strip_prefix(&start));
    let mut listed = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let field = cells[1].trim_matches('`').trim_start_matches('/');
        for number in cells[0].split(", ") {
            listed.insert(number.parse().unwrap(), field.to_owned());
        }
    }
    listed
}

#[test]
fn answers_as_the_official_launcher_apart_from_its_faults() {
    let file = "11_official_rust_launcher";
    let Some(cases) = recorded(file) else { return };
    let (numbers, lines): (Vec<usize>, Vec<String>) = cases
        .iter()
        .enumerate()
        .filter_map(|(number, case)| Some((number, line(case)?)))
        .unzip();
    let answers = answers(hello, &lines, false);
    assert_eq!(
        answers.len(),
        lines.len(),
        "one line an activation: {answers:?}"
    );
    let mut listed = listed(file);
    for (number, mut answer) in numbers.into_iter().zip(answers) {
        let mut wanted = wanted(&cases[number]);
        let told = format!("{number}: {wanted} recorded, {answer} answered");
        match listed.remove(&number) {
            None => assert_eq!(wanted, answer, "{number} is not listed"),
            Some(field) => {
                assert_ne!(wanted, answer, "{number} is listed");
                if !field.is_empty() {
                    wanted[&field].take();
                    answer[&field].take();
                    assert_eq!(wanted, answer, "{told}, apart from {field}");
                }
            }
        }
    }
    assert!(listed.is_empty(), "listed, but no cases: {listed:?}");
}
