//! The pods of a system that has several StatefulSets, and what is told of their restarts: around [`roll`](super::roll).

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use super::approval::PendingRestart;
use super::roll::{self, Decision, Member, Restart, Standing};
use super::{Error, Owner};
use crate::context::Context;

/// On pods: what was computed from their settings.
pub const CONFIG: &str = "millrace.dev/config";
/// So many restarts are told at once, as the definitions have it.
const MOST: usize = 32;

/// A node that has to be restarted.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRestart {
    /// The pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Why, one reason after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 2048)))]
    pub reasons: Vec<String>,
    /// What it waits for; absent while it is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waits_for: Option<String>,
}

/// The pods of all StatefulSets of a system, as they are.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// One by one.
    pub members: Vec<Member>,
    // A StatefulSet whose change Kubernetes has not looked at yet: which of its pods differ is not known.
    unseen: Option<String>,
}

impl Pods {
    /// Reads the pods of these StatefulSets. `named` are annotations of their templates that say, in words, what a pod has
    /// to be restarted for.
    ///
    /// # Errors
    /// Kubernetes could not be asked.
    pub async fn of(
        context: &Context,
        owner: &Owner,
        sets: &[StatefulSet],
        named: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let mut all = Self::default();
        for set in sets {
            let members = roll::look(context, owner, set, named)
                .await
                .map_err(Error::doing("listing the pods"))?;
            all.members.extend(members);
            let seen = set.status.as_ref().and_then(|s| s.observed_generation);
            if seen != set.metadata.generation {
                all.unseen = Some(set.name_any());
            }
        }
        Ok(all)
    }
}

/// What became of the restarts.
#[derive(Clone, Debug, Default)]
pub struct Rolling {
    /// What happens, in a sentence.
    pub told: Option<String>,
    /// Every node that has to be restarted.
    pub restarts: Vec<NodeRestart>,
    /// Whether every pod is there, is ready and is as its StatefulSet would make it now.
    pub settled: bool,
}

/// Carries a decision out, and says what is to be told of it.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn carry_out(
    context: &Context,
    owner: &Owner,
    pods: &Pods,
    decision: &Decision,
    pending: &[PendingRestart],
) -> Result<Rolling, Error> {
    if let Some(member) = &decision.now {
        roll::restart(context, owner, member)
            .await
            .map_err(Error::doing("restarting nodes"))?;
    }
    let members = &pods.members;
    let settled = members
        .iter()
        .all(|m| m.standing == Standing::Ready && m.reasons.is_empty());
    let unseen = pods.unseen.as_ref();
    Ok(Rolling {
        told: decision
            .told()
            .or_else(|| unseen.map(|set| format!("Kubernetes has not looked at {set} yet")))
            .or_else(|| leaving(members)),
        restarts: told(decision, members, pending),
        settled: settled && unseen.is_none() && pending.is_empty(),
    })
}

/// A node that is still on its way out: its StatefulSet counts it as ready until it is gone.
fn leaving(members: &[Member]) -> Option<String> {
    let mut leaving = members.iter().filter(|m| m.standing == Standing::Leaving);
    let pod = &leaving.next()?.pod;
    Some(format!("{pod} ends, to come anew"))
}

/// All restarts for the status: those of the decision, and those that wait for approval.
fn told(decision: &Decision, members: &[Member], pending: &[PendingRestart]) -> Vec<NodeRestart> {
    let of_decision = decision.restarts.iter().map(|restart| NodeRestart {
        pod: restart.pod.clone(),
        reasons: reasons(restart),
        waits_for: restart.waits_for.as_deref().map(|waits| short(waits, 1024)),
    });
    let approvals = pending.iter().flat_map(|pending| {
        let set = pending.workload.strip_prefix("StatefulSet/");
        let pods = members
            .iter()
            .filter(move |member| set.is_some_and(|set| member.is_of(set)));
        pods.map(|member| NodeRestart {
            pod: member.pod.clone(),
            reasons: vec![short(&pending.reason, 2048)],
            waits_for: Some(format!("approval of revision {}", pending.revision)),
        })
    });
    let mut all: Vec<NodeRestart> = Vec::new();
    for restart in of_decision.chain(approvals) {
        match all.iter_mut().find(|other| other.pod == restart.pod) {
            // It is restarted for what is approved, and once more for what is not.
            Some(other) => other.reasons.extend(restart.reasons),
            None => all.push(restart),
        }
    }
    all.truncate(MOST);
    all
}

fn reasons(restart: &Restart) -> Vec<String> {
    let reasons = restart.reasons.iter().take(7);
    reasons.map(|reason| short(reason, 2048)).collect()
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ends_is_told_until_it_is_gone() {
        let member = |pod: &str, standing| Member {
            pod: pod.into(),
            uid: None,
            standing,
            since: None,
            reasons: Vec::new(),
            held: None,
        };
        let mut all = [
            member("k-0", Standing::Ready),
            member("k-1", Standing::Leaving),
        ];
        assert!(leaving(&all).is_some_and(|told| told.starts_with("k-1 ")));
        all[1].standing = Standing::Ready;
        assert_eq!(leaving(&all), None);
    }
}
