//! How far Druid is: what its tasks have read, and what its answers count.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::DruidAt;
use super::canary::VEHICLE;
use crate::remote::druid::{DruidClient, DruidError, Newest, SupervisorState};

/// A look at a Druid that does not answer ends after this.
const PATIENCE: Duration = Duration::from_secs(3);
/// Events before this are looked for by the minute only: the more rows are looked at, the longer it takes.
const LOOKED_AT: Duration = Duration::from_secs(3600);

const MINUTE: i64 = 60_000;

/// Asks one Druid.
#[derive(Debug, Default)]
pub struct Answers {
    client: Option<(DruidAt, Result<DruidClient, String>)>,
}

/// What is known of a data source.
#[derive(Debug, Default, PartialEq)]
pub struct Answered {
    /// The next offset of each partition that tasks have not read.
    pub read: Option<BTreeMap<i32, i64>>,
    /// How long ago the newest event was that answers count.
    pub newest: Option<Duration>,
    /// The time of the newest canary among these, in milliseconds of the epoch.
    pub canary: Option<i64>,
    /// Why something of this is not known.
    pub problem: Option<String>,
}

impl Answers {
    /// Turns to the Druid at this address; to none when there is none, or it is on its way out.
    pub fn reach(&mut self, at: Option<&DruidAt>) {
        if self.client.as_ref().map(|(known, _)| known) == at {
            return;
        }
        self.client = at.map(|at| {
            let client = DruidClient::at(at, PATIENCE);
            (at.clone(), client.map_err(|error| error.to_string()))
        });
    }

    /// Looks at a data source, as far back as the oldest canary that it has not answered for.
    pub async fn look(&self, source: &str, oldest: Option<Timestamp>) -> Answered {
        let client = match &self.client {
            None => return Answered::default(),
            Some((_, Ok(client))) => client,
            Some((_, Err(problem))) => {
                return Answered {
                    problem: Some(problem.clone()),
                    ..Answered::default()
                };
            }
        };
        let now = Timestamp::now();
        let looked_at = i64::try_from(LOOKED_AT.as_millis()).unwrap_or(i64::MAX);
        let usual = now.as_millisecond().saturating_sub(looked_at);
        // Rows have the time of their minute.
        let since = oldest.map_or(usual, |at| usual.min(at.as_millisecond() - MINUTE));
        let (state, newest) =
            tokio::join!(client.state(source), client.newest(source, VEHICLE, since));
        answered(source, state, newest, now)
    }
}

fn answered(
    source: &str,
    state: Result<Option<SupervisorState>, DruidError>,
    newest: Result<Newest, DruidError>,
    now: Timestamp,
) -> Answered {
    let (read, of_state) = match state {
        Ok(Some(state)) => {
            let read = state.read_up_to();
            let word = &state.detailed_state;
            let silent = || {
                format!("no task of supervisor {source} tells how far it has read; it is {word}")
            };
            if read.is_empty() {
                (None, Some(silent()))
            } else {
                (Some(read), None)
            }
        }
        Ok(None) => (None, Some(format!("Druid has no supervisor {source}"))),
        Err(error) => (None, Some(error.to_string())),
    };
    let (newest, of_answers) = match newest {
        Ok(newest) => (newest, None),
        Err(error) => (Newest::default(), Some(error.to_string())),
    };
    let age = newest.of_all.map(|time| {
        // Clocks differ, and some vehicles are ahead of their time.
        let age = now.as_millisecond().saturating_sub(time);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    });
    Answered {
        read,
        newest: age,
        canary: newest.of_one,
        problem: of_state.or(of_answers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::druid::Credentials;
    use serde_json::json;

    fn refused() -> DruidError {
        DruidError::refused("ask in SQL", 400, b"no such table")
    }

    #[test]
    fn what_is_known_is_told_beside_what_is_not() {
        let now = Timestamp::from_millisecond(10_000).unwrap();
        let told =
            json!({"detailedState": "RUNNING", "activeTasks": [{"currentOffsets": {"0": 4}}]});
        let state = || serde_json::from_value(told.clone()).unwrap();
        let newest = Newest {
            of_all: Some(8_500),
            of_one: Some(2_000),
        };
        let good = answered("t", Ok(Some(state())), Ok(newest), now);
        assert_eq!(good.read, Some(BTreeMap::from([(0, 4)])));
        assert_eq!(good.newest, Some(Duration::from_millis(1_500)));
        assert_eq!((good.canary, good.problem), (Some(2_000), None));

        let no_answers = answered("t", Ok(Some(state())), Err(refused()), now);
        assert!(no_answers.read.is_some() && no_answers.newest.is_none());
        assert!(no_answers.problem.unwrap().contains("no such table"));

        let idle = answered("t", Ok(Some(SupervisorState::default())), Ok(newest), now);
        assert!(idle.read.is_none() && idle.newest.is_some());
        assert!(idle.problem.unwrap().starts_with("no task of supervisor t"));
        let gone = answered("t", Ok(None), Err(refused()), now);
        assert_eq!(gone.problem.unwrap(), "Druid has no supervisor t");
    }

    #[test]
    fn an_event_ahead_of_its_time_is_not_old() {
        let now = Timestamp::from_millisecond(10_000).unwrap();
        let ahead = Newest {
            of_all: Some(99_000),
            of_one: None,
        };
        let told = answered("t", Ok(None), Ok(ahead), now);
        assert_eq!(told.newest, Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn nobody_is_asked_where_there_is_none() {
        let mut answers = Answers::default();
        assert_eq!(answers.look("t", None).await, Answered::default());
        let at = DruidAt {
            coordinator: "ftp://d".into(),
            broker: "http://d".into(),
            credentials: Credentials::default(),
        };
        answers.reach(Some(&at));
        let problem = answers.look("t", None).await.problem.unwrap();
        assert!(
            problem.contains("scheme ftp is not spoken here"),
            "{problem}"
        );
        answers.reach(None);
        assert_eq!(answers.look("t", None).await, Answered::default());
    }
}
