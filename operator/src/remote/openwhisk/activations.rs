//! How the last activations of an action, a trigger or a rule went, for its status. An OpenWhisk that does not tell it is no
//! fault of what is asked about: the figures stay as they were.

mod tally;

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::client::WhiskClient;
use super::error::WhiskError;
use super::model::Fire;
use crate::remote::resident::LOOK;
use crate::types::Activations;
use tally::{Run, action_runs, count, is_as_before, rule_runs, starts, trigger_runs, words};

/// So many runs of an action are counted. Few enough that one of them is a whole percent.
const LAST: usize = 100;
/// So many fires of a trigger are looked at: their events come along.
const LAST_FIRES: usize = 20;
/// Among so many runs of its action those that a rule started are looked for: as many as a server lists.
const AMONG: usize = 200;

/// Events run to a megabyte each: those of one trigger at a time.
static FIRES: Semaphore = Semaphore::const_new(1);

/// Of an action or a sequence: what it answered.
pub async fn of_action(
    client: &WhiskClient,
    name: &str,
    before: Option<Activations>,
) -> Option<Activations> {
    tell(client, before, async {
        Ok(action_runs(&client.last_activations(name, LAST).await?))
    })
    .await
}

/// Of a trigger: a fire failed when the action of a rule that is active could not be started.
pub async fn of_trigger(
    client: &WhiskClient,
    name: &str,
    before: Option<Activations>,
) -> Option<Activations> {
    tell(client, before, async {
        Ok(trigger_runs(&fires(client, name).await?))
    })
    .await
}

/// Of a rule: it failed when its action could not be started, or answered with an error.
pub async fn of_rule(
    client: &WhiskClient,
    rule: &str,
    trigger: &str,
    action: &str,
    before: Option<Activations>,
) -> Option<Activations> {
    tell(client, before, async {
        let fires = fires(client, trigger).await?;
        let runs = if starts(&fires, rule) {
            action_runs(&client.last_activations(action, AMONG).await?)
        } else {
            Vec::new()
        };
        let failed: HashMap<String, bool> = runs
            .iter()
            .map(|run| (run.id.clone(), run.failed()))
            .collect();
        Ok(rule_runs(&fires, rule, &failed))
    })
    .await
}

async fn fires(client: &WhiskClient, trigger: &str) -> Result<Vec<Fire>, WhiskError> {
    // Nobody closes it.
    let _permit = FIRES.acquire().await.ok();
    client.last_fires(trigger, LAST_FIRES).await
}

async fn tell(
    client: &WhiskClient,
    before: Option<Activations>,
    runs: impl Future<Output = Result<Vec<Run>, WhiskError>> + Send,
) -> Option<Activations> {
    let seen = timeout(LOOK, async {
        let runs = runs.await?;
        figures(client, before.as_ref(), &runs).await
    })
    .await;
    match seen {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the last activations were not told");
            before
        }
        Err(_) => {
            tracing::debug!("the last activations were not told in time");
            before
        }
    }
}

async fn figures(
    client: &WhiskClient,
    before: Option<&Activations>,
    runs: &[Run],
) -> Result<Option<Activations>, WhiskError> {
    let Some(mut now) = count(runs, before, Timestamp::now()) else {
        return Ok(before.cloned());
    };
    if let Some(before) = before.filter(|before| is_as_before(before, &now)) {
        return Ok(Some(before.clone()));
    }
    if let Some(error) = now.last_error.as_mut().filter(|e| e.message.is_empty()) {
        let response = client.activation_response(&error.activation).await?;
        error.message = words(response.as_ref());
    }
    Ok(Some(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn figures_outlast_a_server_that_is_away() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let uri = format!("http://{closed}");
        let client = WhiskClient::new(&uri, "u", "k", Duration::from_secs(5)).unwrap();
        let before = Activations {
            observed: "2026-01-01T00:00:00Z".to_owned(),
            since: "2025-12-31T00:00:00Z".to_owned(),
            count: 4,
            failed: 0,
            error_rate_percent: 0,
            last_error: None,
        };
        let kept = Some(before);
        assert_eq!(of_action(&client, "a", kept.clone()).await, kept);
        assert_eq!(of_trigger(&client, "t", kept.clone()).await, kept);
        assert_eq!(of_rule(&client, "r", "t", "a", kept.clone()).await, kept);
        assert_eq!(of_action(&client, "a", None).await, None);
    }
}
