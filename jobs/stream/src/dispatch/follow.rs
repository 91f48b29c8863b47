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
            let not_yet = match self.whisk.activation(id).await {
                answer @ (Answer::NoRecordYet | Answer::Unavailable(_)) => answer,
                answer => return answer,
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
