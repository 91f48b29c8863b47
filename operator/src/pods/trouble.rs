//! What keeps pods from being ready, in a sentence, so that nobody has to search for it.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;
use kube::api::ListParams;

use super::cron_job::rfc_3339;
use crate::context::Context;
use crate::reconcile::Owner;

/// Says what the first pod with a problem has, if one has any. Not being able to ask is no reason to fail.
pub async fn trouble(context: &Context, owner: &Owner, component: &str) -> Option<String> {
    let pods = pods(context, owner, component).await?;
    pods.iter().find_map(trouble_of)
}

async fn pods(context: &Context, owner: &Owner, component: &str) -> Option<Vec<Pod>> {
    let selector: Vec<String> = owner
        .selector(component)
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let params = ListParams::default().labels(&selector.join(","));
    let pods = context.namespaced::<Pod>(&owner.namespace);
    Some(pods.list(&params).await.ok()?.items)
}

fn trouble_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    if let Some(condition) = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False")
    {
        return Some(format!(
            "{name} has no node: {}",
            condition.message.as_deref().unwrap_or("no reason given")
        ));
    }
    status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let waiting = container
                .state
                .as_ref()
                .and_then(|state| state.waiting.as_ref());
            let ended = container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            match (waiting, ended) {
                (Some(waiting), _) if waiting.reason.as_deref() == Some("ContainerCreating") => {
                    None
                }
                (Some(waiting), Some(ended)) => Some(format!(
                    "{name} waits: {}; it last ended with {} ({}){}",
                    waiting.reason.as_deref().unwrap_or("no reason given"),
                    ended.exit_code,
                    ended.reason.as_deref().unwrap_or("no reason given"),
                    last_words(ended),
                )),
                (Some(waiting), None) => Some(format!(
                    "{name} waits: {}: {}",
                    waiting.reason.as_deref().unwrap_or("no reason given"),
                    waiting.message.as_deref().unwrap_or_default(),
                )),
                (None, Some(ended)) if !container.ready => Some(format!(
                    "{name} was restarted {} times; it last ended with {} ({}){}",
                    container.restart_count,
                    ended.exit_code,
                    ended.reason.as_deref().unwrap_or("no reason given"),
                    last_words(ended),
                )),
                _ => None,
            }
        })
}

/// What the last pod that failed said at its end, if one is there. Not being able to ask is no reason to fail.
pub async fn final_words(context: &Context, owner: &Owner, component: &str) -> Option<String> {
    final_words_of(&pods(context, owner, component).await?)
}

/// The same of a run that began at `since` (RFC 3339, in seconds and UTC): what was said by runs before is not of this one.
pub async fn words_of_run(
    context: &Context,
    owner: &Owner,
    component: &str,
    since: &str,
) -> Option<String> {
    let mut pods = pods(context, owner, component).await?;
    pods.retain(|pod| is_of_run(pod, since));
    final_words_of(&pods)
}

fn is_of_run(pod: &Pod, since: &str) -> bool {
    let created = pod.metadata.creation_timestamp.as_ref();
    // In one form the order of texts is that of times.
    created.is_some_and(|time| rfc_3339(time).as_str() >= since)
}

/// What the last pod that succeeded left as its result, if one is there. Not being able to ask is no reason to fail.
pub async fn result(context: &Context, owner: &Owner, component: &str) -> Option<String> {
    last_line(&pods(context, owner, component).await?, "Succeeded")
}

fn final_words_of(pods: &[Pod]) -> Option<String> {
    last_line(pods, "Failed")
}

/// The last line that the newest of those pods said at its end that are in this phase.
fn last_line(pods: &[Pod], phase: &str) -> Option<String> {
    let phase_of = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
    let ended = pods
        .iter()
        .filter(|pod| phase_of(pod).as_deref() == Some(phase));
    let last = ended.max_by_key(|pod| pod.metadata.creation_timestamp.clone())?;
    let mut containers = last.status.as_ref()?.container_statuses.iter().flatten();
    containers.find_map(|container| {
        let said = container
            .state
            .as_ref()?
            .terminated
            .as_ref()?
            .message
            .as_ref()?;
        let mut lines = said.lines().rev().map(str::trim);
        let line = lines.find(|line| !line.is_empty())?;
        Some(line.chars().take(500).collect())
    })
}

/// What a container itself said of its end.
fn last_words(ended: &ContainerStateTerminated) -> String {
    let said = ended.message.as_deref().unwrap_or_default();
    match said.lines().next() {
        Some(line) if !line.trim().is_empty() => {
            format!(": {}", line.trim().chars().take(500).collect::<String>())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(status: serde_json::Value) -> Option<String> {
        trouble_of(
            &serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap(),
        )
    }

    #[test]
    fn the_last_pod_that_failed_has_the_last_word() {
        let pod = |time: &str, phase: &str, said: &str| -> Pod {
            let container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 3, "message": said}}});
            let pod = json!({"metadata": {"name": "p", "creationTimestamp": time},
                "status": {"phase": phase, "containerStatuses": [container]}});
            serde_json::from_value(pod).unwrap()
        };
        let pods = [
            pod("2026-03-01T00:00:02Z", "Failed", "before\nthe end\n\n"),
            pod("2026-03-01T00:00:01Z", "Failed", "older"),
            pod("2026-03-01T00:00:03Z", "Succeeded", "good"),
        ];
        assert_eq!(final_words_of(&pods).as_deref(), Some("the end"));
        assert_eq!(final_words_of(&pods[2..]), None);
        assert_eq!(last_line(&pods, "Succeeded").as_deref(), Some("good"));
        let of_run = |pod: &Pod| is_of_run(pod, "2026-03-01T00:00:02Z");
        let of_run: Vec<bool> = pods.iter().map(of_run).collect();
        assert_eq!(of_run, [true, false, true]);
    }

    #[test]
    fn the_usual_troubles_are_named() {
        let container = |state: serde_json::Value, last: serde_json::Value| {
            json!({"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
                "state": state, "lastState": last}]})
        };
        assert_eq!(
            said(json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]})).unwrap(),
            "p has no node: 0/1 nodes"
        );
        let pull = container(
            json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            json!({}),
        );
        assert_eq!(said(pull).unwrap(), "p waits: ErrImagePull: not found");
        let crash = container(
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        );
        assert_eq!(
            said(crash).unwrap(),
            "p waits: CrashLoopBackOff; it last ended with 137 (OOMKilled)"
        );
        let told = container(
            json!({"running": {}}),
            json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "the volume is empty\nmore"}}),
        );
        assert_eq!(
            said(told).unwrap(),
            "p was restarted 3 times; it last ended with 3 (Error): the volume is empty"
        );
        assert_eq!(
            said(container(
                json!({"waiting": {"reason": "ContainerCreating"}}),
                json!({})
            )),
            None
        );
        assert_eq!(said(json!({})), None);
    }
}
