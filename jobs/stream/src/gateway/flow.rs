//! `GET /v1/flow`: whether all that was sent has come through, and where it waits.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use millrace_contract::{Invalid, check_vehicle_id, topics};
use serde::{Deserialize, Serialize};

use super::Gateway;
use super::answer::Refused;
use super::http::require;
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

/// One group on one topic.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Group {
    end: i64,
    done: i64,
    pending: i64,
}

/// Answers with the flow; `?vehicle=` may be given several times and narrows the notifications.
pub async fn flow(
    State(gateway): State<Arc<Gateway>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Flow>, Refused> {
    require(&headers, &gateway.secrets.admin_token, "admin-token")?;
    let vehicles = vehicles(query.as_deref().unwrap_or_default())?;
    let unavailable = |e: ConnectError| Refused::Unavailable(e.to_string());
    // In the order of the flow: what passes a stage during the questions is met at the next one.
    let detected = group(&gateway, topics::TELEMETRY, &gateway.config.detect_group)
        .await
        .map_err(unavailable)?;
    let mut alerts = Group::default();
    for name in &gateway.config.dispatch_groups {
        let one = group(&gateway, topics::ALERTS, name)
            .await
            .map_err(unavailable)?;
        if one.pending >= alerts.pending {
            alerts = one;
        }
    }
    read_up(&gateway).await.map_err(unavailable)?;
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
    }))
}

// Only plain vehicle ids can be asked for, and those need no percent-decoding.
fn vehicles(query: &str) -> Result<Vec<String>, Invalid> {
    let mut vehicles = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=') {
            Some(("vehicle", id)) => {
                check_vehicle_id(id)?;
                vehicles.push(id.to_owned());
            }
            _ => {
                return Err(Invalid::new(
                    "query",
                    pair,
                    "is not known here",
                    "use vehicle=<id>, as often as needed, or nothing",
                ));
            }
        }
    }
    Ok(vehicles)
}

async fn group(gateway: &Gateway, topic: &str, name: &str) -> Result<Group, ConnectError> {
    let committed = gateway.lookup.committed(name, topic).await?;
    let mut sum = Group::default();
    for (partition, next) in committed {
        let (first, stable) = gateway.lookup.watermarks(topic, partition).await?;
        let written = gateway.lookup.written(topic, partition).await?;
        let done = next.unwrap_or(first).max(first);
        let waits = if written > stable {
            // A transaction is open, or committed and not yet marked so in this partition.
            written > done
        } else {
            // Transactions end with a mark that counts as an offset and is no record.
            done < stable
                && gateway
                    .lookup
                    .has_record_at_or_after(topic, partition, done)
                    .await?
        };
        sum.end += written;
        sum.done += done;
        sum.pending += if waits { (written - done).max(1) } else { 0 };
    }
    Ok(sum)
}

// Another replica may have taken notifications that this one has not read yet.
async fn read_up(gateway: &Gateway) -> Result<(), ConnectError> {
    for (topic, followed) in [
        (topics::NOTIFICATIONS, &gateway.followed.notifications),
        (topics::NOTIFIED, &gateway.followed.notified),
    ] {
        for partition in 0..gateway.lookup.partition_count(topic).await? {
            let (first, end) = gateway.lookup.watermarks(topic, partition).await?;
            if end > first && followed.next_offset(partition) < end {
                // What compaction removed at the very end is never read: so only for a moment.
                let reached = followed.reached(partition, end - 1);
                let _ = tokio::time::timeout(std::time::Duration::from_millis(500), reached).await;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        assert!(vehicles("").unwrap().is_empty());
        assert_eq!(vehicles("vehicle=a&vehicle=b-1").unwrap(), ["a", "b-1"]);
        assert_eq!(vehicles("car=a").unwrap_err().field, "query");
        assert_eq!(vehicles("vehicle=a%20b").unwrap_err().field, "vehicle");
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
        };
        let json = serde_json::to_value(&flow).unwrap();
        assert_eq!(json["telemetry"]["pending"], 1);
        assert_eq!(json["alerts"]["dispatched"], 1);
        assert_eq!(json["notifications"]["undelivered"], 0);
        assert_eq!(json["through"], false);
    }
}
