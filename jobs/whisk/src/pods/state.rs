//! What Kubernetes says of a pod. Pure.

use std::net::IpAddr;

use serde_json::Value;

/// How far a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// Not yet; what it waits for, as far as that is said.
    Waiting(String),
    /// Its image cannot be had.
    NoImage(String),
    /// Its container cannot be made.
    Broken(String),
    /// It runs, here.
    Running(IpAddr),
    /// Its container is gone; whether for want of memory.
    Ended {
        /// It took more than its limit.
        for_memory: bool,
    },
    /// There is no such pod (any more), or it is being deleted.
    Gone,
}

/// Reasons for which an image is not there, and will not be by waiting.
const NO_IMAGE: [&str; 4] = [
    "ErrImageNeverPull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// Reasons for which a container is not there, and will not be by waiting.
const BROKEN: [&str; 3] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Reads a pod.
pub fn state(pod: &Value) -> PodState {
    let status = &pod["status"];
    let container = &status["containerStatuses"][0]["state"];
    if let Some(terminated) = container.get("terminated").filter(|v| v.is_object()) {
        let for_memory = terminated["reason"] == "OOMKilled";
        return PodState::Ended { for_memory };
    }
    // It is about to end, and its address to be another's.
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return PodState::Gone;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match status["phase"].as_str() {
        // Of a pod that was evicted no container may be told.
        Some("Failed" | "Succeeded") => return PodState::Ended { for_memory: false },
        Some("Running") => {
            let address = status["podIP"].as_str().and_then(|ip| ip.parse().ok());
            if let Some(address) = address
                && container["running"].is_object()
            {
                return PodState::Running(address);
            }
        }
        _ => {}
    }
    let waiting = &container["waiting"];
    let reason = text(&waiting["reason"]);
    let told = match waiting["message"].as_str() {
        Some(message) => format!("{reason}: {message}"),
        None => reason.clone(),
    };
    if NO_IMAGE.contains(&reason.as_str()) {
        return PodState::NoImage(told);
    }
    if BROKEN.contains(&reason.as_str()) {
        return PodState::Broken(told);
    }
    let unscheduled = status["conditions"].as_array().and_then(|conditions| {
        conditions
            .iter()
            .find(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    });
    PodState::Waiting(match unscheduled {
        Some(condition) => text(&condition["message"]),
        None => told,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(phase: &str, container: Value) -> PodState {
        state(&json!({"status": {"phase": phase, "podIP": "10.0.0.7",
            "containerStatuses": [{"state": container}]}}))
    }

    #[test]
    fn what_is_said_is_understood() {
        let waits = |reason: &str| {
            of(
                "Pending",
                json!({"waiting": {"reason": reason, "message": "m"}}),
            )
        };
        assert_eq!(
            waits("ImagePullBackOff"),
            PodState::NoImage("ImagePullBackOff: m".to_owned())
        );
        // It may come at the next try.
        assert_eq!(
            waits("ErrImagePull"),
            PodState::Waiting("ErrImagePull: m".to_owned())
        );
        assert!(matches!(
            waits("CreateContainerConfigError"),
            PodState::Broken(_)
        ));
        assert_eq!(
            of("Running", json!({"running": {}})),
            PodState::Running([10, 0, 0, 7].into())
        );
        assert_eq!(
            of("Failed", json!({"terminated": {"reason": "OOMKilled"}})),
            PodState::Ended { for_memory: true }
        );
        assert_eq!(
            state(&json!({"status": {"phase": "Failed", "reason": "Evicted"}})),
            PodState::Ended { for_memory: false }
        );
        let full = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient memory"}]}});
        assert_eq!(
            state(&full),
            PodState::Waiting("0/1 nodes: Insufficient memory".to_owned())
        );
        assert_eq!(state(&json!({})), PodState::Waiting(String::new()));
        let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running",
            "podIP": "10.0.0.7", "containerStatuses": [{"state": {"running": {}}}]}});
        assert_eq!(state(&ending), PodState::Gone);
    }
}
