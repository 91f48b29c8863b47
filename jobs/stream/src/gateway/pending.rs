//! `POST /v1/erasures/pending`: which readers have not taken in yet what lay in their topics.
//!
//! What names a hire is on its way for minutes: into the lake, into MongoDB. Whoever removes it there waits before, or it
//! would come in after them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use millrace_contract::Invalid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Role, require};
use super::answer::Refused;
use super::drivers::json_body;
use super::mark::Ends;
use super::{Gateway, flow};
use crate::connect::ConnectError;

/// No platform has more that name hires; for each group a client is kept.
const MOST_READERS: usize = 100;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Who reads what.
    readers: Vec<Reader>,
    /// Where topics ended when it was first asked, by topic and partition; of one that is missing it is looked up.
    #[serde(default)]
    ends: BTreeMap<String, Ends>,
}

/// A consumer group on a topic.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reader {
    group: String,
    topic: String,
}

impl Question {
    fn check(&self) -> Result<(), Invalid> {
        if self.readers.len() > MOST_READERS {
            let told = format!("{} readers", self.readers.len());
            let problem = format!("more than {MOST_READERS} readers in one body");
            return Err(Invalid::new("readers", told, problem, "ask several times"));
        }
        for (index, reader) in self.readers.iter().enumerate() {
            for (name, text) in [("group", &reader.group), ("topic", &reader.topic)] {
                if text.is_empty() {
                    let field = format!("readers[{index}].{name}");
                    let cure = "name a consumer group and its topic";
                    return Err(Invalid::new(field, "", "is empty", cure));
                }
            }
        }
        Ok(())
    }
}

/// Answers with those that wait, and with the ends, to be given back with the next question.
pub async fn pending(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    require(&headers, &gateway.secrets, Role::Admin)?;
    let question: Question = json_body(&gateway, body, "readers of topics").await?;
    question.check()?;
    let unavailable = |error: ConnectError| Refused::Unavailable(error.to_string());
    let Question { readers, mut ends } = question;
    let mut pending = Vec::new();
    for Reader { group, topic } in readers {
        let to = match ends.get(&topic) {
            Some(to) => to.clone(),
            None => {
                let now = flow::ends(&gateway, &topic, &[]).await;
                let now = now.map_err(unavailable)?;
                ends.insert(topic.clone(), now.clone());
                now
            }
        };
        let seen = flow::group(&gateway, &topic, &group, &to).await;
        let offsets = seen.map_err(unavailable)?.pending;
        if offsets > 0 {
            pending.push(json!({"group": group, "topic": topic, "offsets": offsets}));
        }
    }
    Ok(Json(json!({"pending": pending, "ends": ends})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_come_back_as_they_were_told() {
        let ends = BTreeMap::from([("telemetry".to_owned(), Ends::from([(0, 12), (11, 5)]))]);
        let body = json!({"readers": [{"group": "archive", "topic": "telemetry"}], "ends": ends});
        let question: Question = serde_json::from_slice(body.to_string().as_bytes()).unwrap();
        assert_eq!(question.ends, ends);
        assert_eq!(question.check(), Ok(()));
    }

    #[test]
    fn readers_are_few_and_have_names() {
        let check = |readers: Value| {
            let question: Question = serde_json::from_value(json!({"readers": readers})).unwrap();
            question.check().unwrap_err()
        };
        let nameless = json!([{"group": "a", "topic": "t"}, {"group": "a", "topic": ""}]);
        assert_eq!(check(nameless).field, "readers[1].topic");
        let many = vec![json!({"group": "a", "topic": "t"}); 101];
        assert_eq!(check(json!(many)).value, "101 readers");
    }
}
