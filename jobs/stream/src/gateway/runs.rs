//! Runs of actions, told by the OpenWhisk, into the topic `audit`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use futures::future::try_join_all;
use jiff::Timestamp;
use millrace_contract::Invalid;
use millrace_contract::audit::{Action, Entry, Run};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Role, require};
use super::answer::Refused;
use super::drivers::json_body;
use super::{Gateway, audit};

/// Longest name of a subject and longest id, in bytes: OpenWhisk has no longer ones.
const LONGEST: usize = 256;
/// Longest name of an action: namespace, package and its own.
const LONGEST_ACTION: usize = 3 * LONGEST + 2;
/// Longest word of how it ended, and longest trace.
const LONGEST_WORD: usize = 64;

#[derive(Deserialize)]
struct Told {
    activations: Vec<Ended>,
}

/// An activation that has ended.
#[derive(Deserialize)]
struct Ended {
    time: Timestamp,
    #[serde(flatten)]
    run: Run,
}

/// `POST /v1/activations`: runs of actions that have ended. One that is told again is in the topic twice, with the same
/// activation.
pub async fn take(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Activations)?;
    let told: Told = json_body(&gateway, body, "a list of activations").await?;
    check(&told.activations, gateway.config.max_batch)?;
    let entries: Vec<Entry> = told
        .activations
        .into_iter()
        .map(|ended| Entry {
            time: ended.time,
            run: Some(ended.run),
            ..Entry::now(role.as_str(), Action::RunAction)
        })
        .collect();
    try_join_all(entries.iter().map(|entry| audit::append(&gateway, entry))).await?;
    Ok(Json(json!({"accepted": entries.len()})))
}

/// Whether they are as few and as short as records of the topic have to be.
fn check(activations: &[Ended], most: usize) -> Result<(), Invalid> {
    if activations.len() > most {
        let told = format!("{} activations", activations.len());
        let problem = format!("more than {most} activations in one body");
        let cure = "send them in several bodies";
        return Err(Invalid::new("activations", told, problem, cure));
    }
    for (index, Ended { run, .. }) in activations.iter().enumerate() {
        let fields = [
            ("subject", Some(&run.subject), LONGEST),
            ("action_name", Some(&run.action_name), LONGEST_ACTION),
            ("activation", Some(&run.activation), LONGEST),
            ("status", Some(&run.status), LONGEST_WORD),
            ("trace", run.trace.as_ref(), LONGEST_WORD),
        ];
        for (field, text, longest) in fields {
            let Some(text) = text else {
                continue;
            };
            if text.is_empty() || text.len() > longest {
                let field = format!("activations[{index}].{field}");
                let problem = format!("empty or longer than {longest} bytes");
                let cure = "send it as the record of the activation has it, or leave the run out";
                return Err(Invalid::new(field, text, problem, cure));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl Fn(&mut Value)) -> Result<(), Invalid> {
        let mut run = json!({"time": "2026-11-29T14:00:02Z", "subject": "millrace", "activation": "a1", "status": "success",
            "action_name": "millrace/assess-vehicle", "trace": "4bf92f3577b34da6a3ce929d0e0e4736"});
        change(&mut run);
        let told: Told = serde_json::from_value(json!({"activations": [run]})).unwrap();
        check(&told.activations, 1)
    }

    #[test]
    fn runs_are_few_and_short() {
        assert_eq!(told(|_| {}), Ok(()));
        let no_trace = |run: &mut Value| run["trace"] = Value::Null;
        assert_eq!(told(no_trace), Ok(()));
        // The longest that OpenWhisk lets anybody make.
        let name = "n".repeat(256);
        let longest = [name.as_str(); 3].join("/");
        assert_eq!(told(|run| run["action_name"] = json!(longest)), Ok(()));

        for field in ["subject", "action_name", "activation", "status", "trace"] {
            for text in [String::new(), "x".repeat(771)] {
                let error = told(|run| run[field] = json!(text)).unwrap_err();
                assert_eq!(error.field, format!("activations[0].{field}"));
                assert!(error.problem.starts_with("empty or longer than "));
            }
        }
        let run = json!({"time": "2026-11-29T14:00:02Z", "subject": "s", "activation": "a", "status": "success",
            "action_name": "n/a"});
        let ended: Ended = serde_json::from_value(run).unwrap();
        assert_eq!(check(&[], 0), Ok(()));
        let error = check(&[ended], 0).unwrap_err();
        assert_eq!(error.value, "1 activations");
        assert_eq!(error.problem, "more than 0 activations in one body");
    }
}
