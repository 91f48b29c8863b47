//! Waiting for the records of activations: until they are there, nobody can say whether an action succeeded.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::whisk::{Answer, Failure, Rules, Whisk, nothing_started};

const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// So long a record is waited for after the platform was away: what it was doing may be lost. Longer than
/// an action may run by default.
const AFTER_OUTAGE: Duration = Duration::from_secs(65);

/// Waits for records.
pub struct Follower<'a> {
    /// The platform.
    pub whisk: &'a Whisk,
    /// The longest wait for one record.
    pub limit: Duration,
    /// Ends the waiting with [`Answer::NoRecordYet`].
    pub gone: &'a CancellationToken,
}

impl Follower<'_> {
    /// The outcome of an action's activation.
    pub async fn action(&self, id: &str) -> Answer {
        let mut patience = Patience::new(self.limit);
        loop {
            // A record ends it, also one that says that the platform could not do it.
            let not_yet = match self.whisk.activation(id).await {
                Ok(answer) => return answer,
                Err(not_yet) => not_yet,
            };
            if let Err(answer) = patience.wait(id, not_yet, self.gone).await {
                return answer;
            }
        }
    }

    async fn rules(&self, id: &str) -> Result<Rules, Answer> {
        let mut patience = Patience::new(self.limit);
        loop {
            match self.whisk.rules(id).await {
                Ok(rules) => return Ok(rules),
                Err(not_yet) => patience.wait(id, not_yet, self.gone).await?,
            }
        }
    }

    /// The outcome of a fire: success when every action that it started succeeded.
    pub async fn trigger(&self, id: &str) -> Answer {
        let rules = match self.rules(id).await {
            Ok(rules) => rules,
            Err(answer) => return answer,
        };
        // Those that were started are waited for in any case, so that a further try does not overtake them.
        let mut failures: Vec<String> = Vec::new();
        for (activation, what) in &rules.started {
            match self.action(activation).await {
                Answer::Succeeded(_) => {}
                Answer::Failed(why) => failures.push(format!("{what}: {}", why.problem)),
                other => return other,
            }
        }
        if !failures.is_empty() {
            failures.extend(rules.failed);
            return Answer::Failed(Failure::of_action(failures.join("; ")));
        }
        match nothing_started(&rules) {
            Some(failure) => Answer::Failed(failure),
            None => Answer::Succeeded(Value::Null),
        }
    }
}

struct Patience {
    limit: Duration,
    until: Instant,
    pause: Duration,
    away: bool,
    was_away: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            until: Instant::now() + limit,
            pause: FIRST_LOOK,
            away: false,
            was_away: false,
        }
    }

    // Until the next look, or the end of all looking.
    async fn wait(
        &mut self,
        id: &str,
        answer: Answer,
        gone: &CancellationToken,
    ) -> Result<(), Answer> {
        if let Answer::Unavailable(why) = answer {
            tracing::debug!(activation = id, why, "asking for the activation");
            (self.away, self.was_away) = (true, true);
        } else if self.away {
            self.away = false;
            self.until = self.until.min(Instant::now() + AFTER_OUTAGE);
        }
        if Instant::now() >= self.until && !self.away {
            let problem = format!("no record of activation {id} after {:?}", self.limit);
            return Err(if self.was_away {
                Answer::Unavailable(format!("{problem}, while OpenWhisk was away"))
            } else {
                Answer::Failed(Failure::of_action(problem))
            });
        }
        tokio::select! {
            () = gone.cancelled() => return Err(Answer::NoRecordYet),
            () = tokio::time::sleep(self.pause) => {}
        }
        self.pause = (self.pause * 2).min(LONGEST_LOOK);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::StatusCode;
    use axum::{Json, Router};
    use serde_json::json;

    use super::super::config::Target;
    use super::super::whisk::Access;
    use super::*;
    use crate::settings::Secret;

    /// A server that gives these answers one after the other, the last one for ever; and how often it was asked.
    async fn follow(answers: Vec<(StatusCode, Value)>) -> (Answer, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let router = Router::new().fallback(move || {
            let turn = counter
                .fetch_add(1, Ordering::SeqCst)
                .min(answers.len() - 1);
            let (status, body) = answers[turn].clone();
            async move { (status, Json(body)) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access = Access {
            uri: format!("http://{}", listener.local_addr().unwrap()),
            username: "u".to_owned(),
            password: Secret::new("p"),
            namespace: "_".to_owned(),
            authority: None,
        };
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let whisk = Whisk::new(
            access,
            &Target::Action("warn".to_owned()),
            Duration::from_secs(5),
        )
        .unwrap();
        let follower = Follower {
            whisk: &whisk,
            limit: Duration::from_secs(30),
            gone: &CancellationToken::new(),
        };
        let answer = tokio::time::timeout(Duration::from_secs(20), follower.action("a1"))
            .await
            .expect("the follower ends with the record");
        server.abort();
        (answer, asked.load(Ordering::SeqCst))
    }

    fn record(success: bool, status: &str, result: Value) -> Value {
        json!({"activationId": "a1", "response": {"success": success, "status": status, "result": result}})
    }

    #[tokio::test]
    async fn a_record_ends_it_whatever_it_says() {
        let good = record(true, "success", json!({"told": 1}));
        let away = (StatusCode::SERVICE_UNAVAILABLE, Value::Null);
        let absent = (StatusCode::NOT_FOUND, json!({"error": "none"}));
        let (answer, asked) = follow(vec![absent.clone(), away, (StatusCode::OK, good)]).await;
        assert_eq!((answer, asked), (Answer::Succeeded(json!({"told": 1})), 3));
        let full = record(false, "whisk internal error", json!({"error": "no room"}));
        let (answer, asked) = follow(vec![absent, (StatusCode::OK, full)]).await;
        assert_eq!(
            (answer, asked),
            (Answer::Unavailable("no room".to_owned()), 2)
        );
    }
}
