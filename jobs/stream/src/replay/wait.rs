//! Waits until all that was sent has come through: detected, acted on, and delivered to the vehicles.

use std::time::Duration;

use tokio::time::Instant;

use super::error::DriveError;
use super::rest::Rest;
use crate::gateway::flow::Flow;

/// From one look to the next.
pub(super) const LOOK: Duration = Duration::from_millis(300);
/// From one line about the progress to the next.
pub(super) const TELL: Duration = Duration::from_secs(5);
/// So many vehicles are asked for at once: their ids are part of the address.
const AT_ONCE: usize = 200;

/// Comes back when nothing of these vehicles waits any more. What others send is not waited for, and what is on
/// its way may take as long as it likes while it moves: a vehicle's second spoken warning is held back for as long
/// as the gateway keeps it quiet.
///
/// # Errors
/// Nothing moved for `patience`, or the gateway refuses or stays away.
pub(super) async fn through(
    rest: &Rest,
    vehicles: &[String],
    patience: Duration,
) -> Result<(), DriveError> {
    let mut told = Instant::now();
    for some in vehicles.chunks(AT_ONCE) {
        let mut progress = Progress::new(Instant::now());
        let mut mark = None;
        loop {
            let flow = rest.flow(some, mark.as_deref()).await?;
            if flow.through {
                break;
            }
            let now = Instant::now();
            if progress.still(&flow, now) > patience {
                return Err(DriveError::Stuck {
                    seconds: patience.as_secs(),
                    pending: pending(&flow),
                });
            }
            if told.elapsed() > TELL {
                told = now;
                super::tell(&format!("waiting: {}", pending(&flow)));
            }
            mark = flow.mark;
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// When something last moved on.
struct Progress {
    moved: Instant,
    /// The least that waited at each stage.
    least: (i64, i64, usize),
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self {
            moved: now,
            least: (i64::MAX, i64::MAX, usize::MAX),
        }
    }

    /// For how long nothing moved. What leaves one stage makes the next one fuller: that is no step back.
    fn still(&mut self, flow: &Flow, now: Instant) -> Duration {
        let (telemetry, alerts) = (flow.telemetry.pending, flow.alerts.pending);
        let waiting = (telemetry, alerts, flow.notifications.undelivered);
        // The stages in their order: less waits at one, while none before it became fuller.
        if waiting < self.least {
            self.least = waiting;
            self.moved = now;
        }
        now.duration_since(self.moved)
    }
}

fn pending(flow: &Flow) -> String {
    let mut parts = Vec::new();
    if flow.telemetry.pending > 0 {
        parts.push(format!(
            "{} telemetry records wait for detection",
            flow.telemetry.pending
        ));
    }
    if flow.alerts.pending > 0 {
        parts.push(format!(
            "{} alert records wait for an action",
            flow.alerts.pending
        ));
    }
    if flow.notifications.undelivered > 0 {
        parts.push(format!(
            "{} notifications are not delivered yet (spoken ones keep a distance in time)",
            flow.notifications.undelivered
        ));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flow(telemetry: i64, alerts: i64, undelivered: usize) -> Flow {
        serde_json::from_value(json!({
            "telemetry": {"end": 9, "detected": 9, "pending": telemetry},
            "alerts": {"end": 9, "dispatched": 9, "pending": alerts},
            "notifications": {"undelivered": undelivered},
            "through": false,
        }))
        .unwrap()
    }

    #[test]
    fn whoever_moves_is_waited_for() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::new(start);
        let mut still = |seconds, flow| progress.still(&flow, at(seconds)).as_secs();
        assert_eq!(still(10, flow(5, 0, 0)), 0);
        // Nothing moves.
        assert_eq!(still(30, flow(5, 0, 0)), 20);
        // Detection goes on, and what it found waits at the next stage.
        assert_eq!(still(40, flow(0, 7, 0)), 0);
        assert_eq!(still(50, flow(0, 0, 3)), 0);
        // A second spoken warning after twenty seconds.
        assert_eq!(still(69, flow(0, 0, 3)), 19);
        assert_eq!(still(70, flow(0, 0, 2)), 0);
        // Fuller is no progress.
        assert_eq!(still(75, flow(0, 0, 3)), 5);
    }

    #[test]
    fn what_waits_is_named() {
        let text = pending(&flow(3, 2, 1));
        for part in [
            "3 telemetry records",
            "2 alert records",
            "1 notifications",
            "distance",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
