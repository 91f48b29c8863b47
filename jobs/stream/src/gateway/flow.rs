//! `GET /v1/flow`: whether all that was sent has come through, and where it waits.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use jiff::Timestamp;
use millrace_contract::{Invalid, check_vehicle_id, topics};
use serde::{Deserialize, Serialize};

use super::access::{Role, require};
use super::answer::Refused;
use super::mark::{Ends, Mark};
use super::{Gateway, partition, query};
use crate::connect::ConnectError;

/// Where events wait. Offsets are sums over partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// From the gateway to detection.
    pub telemetry: Telemetry,
    /// From detection to notifications.
    pub alerts: Alerts,
    /// From the gateway to the vehicles.
    pub notifications: Notifications,
    /// Nothing waits anywhere.
    pub through: bool,
    /// What this answer is about: given back as `?mark=`, the next answer is about the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// Telemetry that waits for detection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Where the topic ends.
    pub end: i64,
    /// Up to where detection has come.
    pub detected: i64,
    /// Offsets between the two, when a record is among them.
    pub pending: i64,
}

/// Alerts that wait for an action. Of several dispatch groups the slowest counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// Where the topic ends, uncommitted transactions included.
    pub end: i64,
    /// Up to where the dispatch group has come.
    pub dispatched: i64,
    /// Offsets between the two, when a record or an open transaction is among them.
    pub pending: i64,
}

/// Notifications that wait for a vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    /// Unexpired ones without an acknowledgement, of the vehicles asked for or of all.
    pub undelivered: usize,
}

/// One group on one topic. Offsets are sums over partitions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// Where the partitions end that are looked at.
    end: i64,
    /// Up to where the group has come.
    done: i64,
    /// Offsets between the two, when a record or an open transaction is among them.
    pub(super) pending: i64,
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Question {
    vehicles: Vec<String>,
    mark: Option<Mark>,
}

/// Answers with the flow. `?vehicle=` may be given several times: then only the partitions of these vehicles
/// are looked at. `?mark=` takes the mark of an earlier answer: then what came later is not waited for.
pub async fn flow(
    State(gateway): State<Arc<Gateway>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Flow>, Refused> {
    require(&headers, &gateway.secrets, Role::Operations)?;
    let Question { vehicles, mark } = question(&query::pairs(&uri)?)?;
    let unavailable = |e: ConnectError| Refused::Unavailable(e.to_string());
    let mut mark = match mark {
        Some(mark) => mark,
        None => Mark {
            telemetry: ends(&gateway, topics::TELEMETRY, &vehicles)
                .await
                .map_err(unavailable)?,
            alerts: None,
        },
    };
    // In the order of the flow: what passes a stage during the questions is met at the next one.
    let detect = &gateway.config.detect_group;
    let detected = group(&gateway, topics::TELEMETRY, detect, &mark.telemetry)
        .await
        .map_err(unavailable)?;
    let alerts_end = match &mark.alerts {
        Some(ends) => ends.clone(),
        None => ends(&gateway, topics::ALERTS, &vehicles)
            .await
            .map_err(unavailable)?,
    };
    if detected.pending == 0 && mark.alerts.is_none() {
        // Detection commits its alerts together with its offsets: none can be missing here.
        mark.alerts = Some(alerts_end.clone());
    }
    let mut alerts = Group::default();
    for name in &gateway.config.dispatch_groups {
        let one = group(&gateway, topics::ALERTS, name, &alerts_end)
            .await
            .map_err(unavailable)?;
        if one.pending >= alerts.pending {
            alerts = one;
        }
    }
    // Another replica may have taken notifications that this one has not read yet.
    for (topic, followed) in [
        (topics::NOTIFICATIONS, &gateway.followed.notifications),
        (topics::NOTIFIED, &gateway.followed.notified),
    ] {
        followed.read_up(&gateway.lookup, topic).await?;
    }
    let undelivered = gateway.downlink.undelivered(&vehicles, Timestamp::now());
    let through = detected.pending == 0 && alerts.pending == 0 && undelivered == 0;
    Ok(Json(Flow {
        telemetry: Telemetry {
            end: detected.end,
            detected: detected.done,
            pending: detected.pending,
        },
        alerts: Alerts {
            end: alerts.end,
            dispatched: alerts.done,
            pending: alerts.pending,
        },
        notifications: Notifications { undelivered },
        through,
        mark: Some(mark.to_string()),
    }))
}

fn question(pairs: &[(String, String)]) -> Result<Question, Invalid> {
    let mut question = Question::default();
    for (name, value) in pairs {
        match name.as_str() {
            "vehicle" => {
                check_vehicle_id(value)?;
                question.vehicles.push(value.clone());
            }
            "mark" => question.mark = Some(value.parse()?),
            _ => {
                return Err(query::unknown(
                    name,
                    value,
                    "use vehicle=<id>, as often as needed, and mark=<mark of an earlier answer>",
                ));
            }
        }
    }
    Ok(question)
}

/// Where the partitions of these vehicles end now, or all partitions when none is named.
pub(super) async fn ends(
    gateway: &Gateway,
    topic: &str,
    vehicles: &[String],
) -> Result<Ends, ConnectError> {
    let count = gateway.lookup.partition_count(topic).await?;
    let partitions = if vehicles.is_empty() {
        (0..count).collect()
    } else {
        partition::of_keys(vehicles, count)
    };
    let mut ends = Ends::new();
    for partition in partitions {
        // With what is not committed yet: a transaction may be committed and not yet marked so here.
        let end = gateway.lookup.written(topic, partition).await?;
        ends.insert(partition, end);
    }
    Ok(ends)
}

/// How far a group has come towards these ends.
pub(super) async fn group(
    gateway: &Gateway,
    topic: &str,
    name: &str,
    ends: &Ends,
) -> Result<Group, ConnectError> {
    let committed = gateway.lookup.committed(name, topic).await?;
    let mut sum = Group::default();
    for (partition, next) in committed {
        let Some(end) = ends.get(&partition).copied() else {
            continue;
        };
        let (first, stable) = gateway.lookup.watermarks(topic, partition).await?;
        let done = next.unwrap_or(first).max(first);
        let waits = if done >= end {
            false
        } else if end > stable {
            // A transaction is open, or committed and not yet marked so in this partition.
            true
        } else {
            // Transactions end with a mark that counts as an offset and is no record.
            let record = gateway.lookup.next_record(topic, partition, done).await?;
            record.is_some_and(|offset| offset < end)
        };
        sum.end += end;
        sum.done += done;
        sum.pending += if waits { (end - done).max(1) } else { 0 };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let ask = |text: &str| {
            let uri: Uri = format!("/v1/flow?{text}").parse().unwrap();
            question(&query::pairs(&uri).unwrap())
        };
        assert_eq!(ask("").unwrap(), Question::default());
        let both = ask("vehicle=a&vehicle=b-1&mark=t0-5").unwrap();
        assert_eq!(both.vehicles, ["a", "b-1"]);
        assert_eq!(both.mark.unwrap().telemetry, Ends::from([(0, 5)]));
        assert_eq!(ask("car=a").unwrap_err().field, "query");
        assert_eq!(ask("vehicle=a%20b").unwrap_err().field, "vehicle");
        assert_eq!(ask("mark=5").unwrap_err().field, "mark");
    }

    #[test]
    fn the_shape_of_the_answer() {
        let flow = Flow {
            telemetry: Telemetry {
                end: 3,
                detected: 2,
                pending: 1,
            },
            alerts: Alerts {
                end: 2,
                dispatched: 1,
                pending: 0,
            },
            notifications: Notifications { undelivered: 0 },
            through: false,
            mark: None,
        };
        let json = serde_json::to_value(&flow).unwrap();
        assert_eq!(json["telemetry"]["pending"], 1);
        assert_eq!(json["alerts"]["dispatched"], 1);
        assert_eq!(json["notifications"]["undelivered"], 0);
        assert_eq!(json["through"], false);
    }
}
