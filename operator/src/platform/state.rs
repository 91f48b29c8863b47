//! What the parts of a platform say of themselves. Pure.

use serde_json::Value;

use super::build::Waiting;
use super::crd::{ComponentRestart, ComponentStatus, WaitingOn};
use super::foreign;
use crate::status::{AVAILABLE, DEGRADED, told};

/// What is said of an object that has changed since it was last spoken of.
pub(super) const NOT_YET: &str = "its latest change has not been looked at yet";

/// What is wrong with a part that does not go away by waiting: its spec cannot be carried out, or it works in spite of
/// a fault. Parts that only wait for others are told by [`waiting_on`].
#[must_use]
pub fn fault(body: &Value) -> Option<String> {
    let conditions = body["status"]["conditions"].as_array()?;
    let is = |type_: &str| {
        conditions
            .iter()
            .find(|c| c["type"] == type_ && c["status"] == "True")
    };
    let degraded = is(DEGRADED)?;
    let lasts = ["InvalidSpec", "Claimed"]
        .iter()
        .any(|r| degraded["reason"] == *r);
    (lasts || is(AVAILABLE).is_some()).then(|| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(
            "{} {}: {}",
            text(&body["kind"]),
            text(&body["metadata"]["name"]),
            text(&degraded["message"])
        )
    })
}

/// The restarts of a part that wait for approval.
pub fn pending_restarts(body: &Value) -> impl Iterator<Item = ComponentRestart> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let component = format!(
        "{}/{}",
        text(&body["kind"]),
        text(&body["metadata"]["name"])
    );
    let waiting = body["status"]["pendingRestarts"].as_array();
    waiting
        .into_iter()
        .flatten()
        .map(move |restart| ComponentRestart {
            component: component.clone(),
            workload: text(&restart["workload"]),
            reason: text(&restart["reason"]),
        })
}

/// Reads the state of one part from its resource.
#[must_use]
pub fn component(body: &Value) -> ComponentStatus {
    let (ready, message) = foreign::said(body).unwrap_or_else(|| own(body));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ComponentStatus {
        name: text(&body["metadata"]["name"]),
        kind: text(&body["kind"]),
        ready,
        message: told(&message),
    }
}

fn own(body: &Value) -> (bool, String) {
    let condition = body["status"]["conditions"]
        .as_array()
        .and_then(|conditions| {
            conditions
                .iter()
                .find(|condition| condition["type"] == AVAILABLE)
        });
    match condition {
        None => (false, "nothing is known of it yet".to_owned()),
        Some(condition) if condition["observedGeneration"] != body["metadata"]["generation"] => {
            (false, NOT_YET.to_owned())
        }
        Some(condition) => (
            condition["status"] == "True",
            condition["message"].as_str().unwrap_or_default().to_owned(),
        ),
    }
}

/// What is waited for: parts that are not ready, and jobs that are held back.
#[must_use]
pub fn waiting_on(components: &[ComponentStatus], held_back: &[Waiting]) -> Vec<WaitingOn> {
    let parts = components
        .iter()
        .filter(|part| !part.ready)
        .map(|part| WaitingOn {
            component: format!("{} {}", part.kind, part.name),
            reason: part.message.clone(),
        });
    let jobs = held_back.iter().map(|job| WaitingOn {
        component: format!("StreamJob {}", job.job),
        reason: told(&format!("waits for {}", job.reason)),
    });
    parts.chain(jobs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(status: &str, generation: i64, observed: i64) -> Value {
        json!({"kind": "OpenWhisk", "metadata": {"name": "w", "generation": generation}, "status": {"conditions": [
            {"type": "Available", "status": status, "observedGeneration": observed, "message": "m"}]}})
    }

    #[test]
    fn restarts_that_wait_are_told_with_their_component() {
        let body = json!({"kind": "KafkaCluster", "metadata": {"name": "p-kafka"},
            "status": {"pendingRestarts": [{"workload": "StatefulSet/p-kafka", "revision": "1", "reason": "image"}]}});
        let told: Vec<_> = pending_restarts(&body).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].component, "KafkaCluster/p-kafka");
        assert_eq!(told[0].workload, "StatefulSet/p-kafka");
        assert_eq!(pending_restarts(&json!({})).count(), 0);
    }

    #[test]
    fn a_part_is_ready_when_it_says_so_of_its_present_spec() {
        assert!(component(&body("True", 2, 2)).ready);
        assert!(!component(&body("True", 2, 1)).ready);
        assert!(!component(&body("False", 2, 2)).ready);
        assert_eq!(component(&body("False", 2, 2)).message, "m");
        assert!(!component(&json!({"kind": "OpenWhisk", "metadata": {"name": "w"}})).ready);
    }

    #[test]
    fn a_fault_is_told_and_waiting_is_not() {
        let part = |available: &str, reason: &str| {
            json!({"kind": "KafkaCluster", "metadata": {"name": "k"}, "status": {"conditions": [
                {"type": "Available", "status": available},
                {"type": "Degraded", "status": "True", "reason": reason, "message": "spec.x: 1: no"}]}})
        };
        assert_eq!(
            fault(&part("False", "InvalidSpec")).unwrap(),
            "KafkaCluster k: spec.x: 1: no"
        );
        assert!(fault(&part("False", "Claimed")).is_some());
        assert!(fault(&part("True", "VolumeCannotGrow")).is_some());
        assert_eq!(fault(&part("False", "TopicNotReady")), None);
        assert_eq!(fault(&body("True", 1, 1)), None);
    }

    #[test]
    fn what_is_waited_for_is_named_with_its_reason() {
        let waiting = waiting_on(
            &[
                component(&body("True", 1, 1)),
                component(&body("False", 1, 1)),
            ],
            &[Waiting {
                job: "g".into(),
                reason: "KafkaTopic t".into(),
            }],
        );
        let texts: Vec<String> = waiting
            .iter()
            .map(|w| format!("{}: {}", w.component, w.reason))
            .collect();
        assert_eq!(
            texts,
            ["OpenWhisk w: m", "StreamJob g: waits for KafkaTopic t"]
        );
    }

    #[test]
    fn what_is_said_at_length_is_cut() {
        let mut long = body("False", 1, 1);
        long["status"]["conditions"][0]["message"] = "ä".repeat(32_768).into();
        assert_eq!(component(&long).message.chars().count(), 4096);
    }
}
