//! What the parts of a platform say of themselves. Pure.

use serde_json::Value;

use super::build::Waiting;
use super::crd::{ComponentStatus, WaitingOn};
use crate::status::{AVAILABLE, DEGRADED};

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
    let lasts = ["InvalidSpec", "Claimed"].iter().any(|r| degraded["reason"] == *r);
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

/// Reads the state of one part from its resource.
#[must_use]
pub fn component(body: &Value) -> ComponentStatus {
    match body["kind"].as_str() {
        // An Ingress has no word for being served.
        Some("Ingress") => foreign(body, Some((true, "made".to_owned()))),
        Some("Certificate") => foreign(body, said(&body["status"]["conditions"], "Ready")),
        Some("HTTPRoute" | "TLSRoute" | "TCPRoute") => {
            let parents = body["status"]["parents"].as_array();
            let all: Option<Vec<_>> =
                parents
                    .filter(|parents| !parents.is_empty())
                    .map(|parents| {
                        let each = |parent: &Value| said(&parent["conditions"], "Accepted");
                        parents.iter().filter_map(each).collect()
                    });
            // One Gateway that has taken it is enough to be reached by.
            let told = all.and_then(|all| {
                let accepted = all.iter().find(|(accepted, _)| *accepted);
                accepted.or(all.first()).cloned()
            });
            foreign(body, told)
        }
        _ => own(body),
    }
}

/// What a condition says: whether it is true, and its message.
fn said(conditions: &Value, type_: &str) -> Option<(bool, String)> {
    let condition = conditions
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)?;
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((condition["status"] == "True", text("message")))
}

fn foreign(body: &Value, told: Option<(bool, String)>) -> ComponentStatus {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (ready, message) = told.unwrap_or((
        false,
        "no controller of it has said anything yet".to_owned(),
    ));
    ComponentStatus {
        name: text(&body["metadata"]["name"]),
        kind: text(&body["kind"]),
        ready,
        message,
    }
}

fn own(body: &Value) -> ComponentStatus {
    let condition = body["status"]["conditions"]
        .as_array()
        .and_then(|conditions| {
            conditions
                .iter()
                .find(|condition| condition["type"] == AVAILABLE)
        });
    let current =
        condition.is_some_and(|c| c["observedGeneration"] == body["metadata"]["generation"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ComponentStatus {
        name: text(&body["metadata"]["name"]),
        kind: text(&body["kind"]),
        ready: current && condition.is_some_and(|c| c["status"] == "True"),
        message: match condition {
            None => "nothing is known of it yet".to_owned(),
            Some(_) if !current => "its latest change has not been looked at yet".to_owned(),
            Some(condition) => text(&condition["message"]),
        },
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
        reason: format!("waits for {}", job.reason),
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
    fn objects_of_others_are_read_in_their_own_words() {
        let ready = |body: Value| component(&body).ready;
        assert!(ready(json!({"kind": "Ingress", "metadata": {"name": "i"}})));
        let certificate = |status: &str| {
            json!({"kind": "Certificate", "metadata": {"name": "c"},
            "status": {"conditions": [{"type": "Ready", "status": status, "message": "issuing"}]}})
        };
        assert!(ready(certificate("True")));
        assert!(!ready(certificate("False")));
        assert_eq!(component(&certificate("False")).message, "issuing");
        let route = |statuses: &[&str]| {
            let parents: Vec<Value> = statuses
                .iter()
                .map(|status| json!({"conditions": [{"type": "Accepted", "status": status, "message": "m"}]}))
                .collect();
            json!({"kind": "HTTPRoute", "metadata": {"name": "r"}, "status": {"parents": parents}})
        };
        assert!(ready(route(&["False", "True"])));
        assert!(!ready(route(&["False"])));
        assert!(!ready(route(&[])));
        assert!(!ready(
            json!({"kind": "TCPRoute", "metadata": {"name": "r"}})
        ));
    }
}
