//! Restarts of pods whose StatefulSets have the update strategy OnDelete: nothing but this restarts a data pod.
//!
//! One pod at a time, over all StatefulSets of a system. What is read becomes [`Member`]s: each pod with where it stands
//! and every reason to restart it. [`next`] decides, and is pure: who is first ([`Rank`]) and whether the system itself
//! lets it happen ([`Gate`]) are functions that a system gives. [`restart`] carries the decision out, and the next
//! reconcile goes on.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Preconditions};

use super::Owner;
use super::approval::waits_for_window;
use super::outdated::reasons;
use crate::context::{Context, is_status};

/// Where a pod stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It says that it is ready.
    Ready,
    /// It is there and not ready.
    Unready {
        /// Whether any of its containers runs.
        runs: bool,
    },
    /// It is on its way out.
    Leaving,
    /// Its StatefulSet is to have it, and it is not there.
    Missing,
}

/// A pod of a system, as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The pod.
    pub pod: String,
    /// Its uid, so that no other pod of the same name is restarted in its place.
    pub uid: Option<String>,
    /// Where it stands.
    pub standing: Standing,
    /// Since when it is, or is not, ready.
    pub since: Option<Timestamp>,
    /// Why it has to be restarted, in words; empty when it has not.
    pub reasons: Vec<String>,
    /// What its restart waits for as long as it works, whatever the system itself says.
    pub held: Option<String>,
}

/// A pod that has to be restarted, for tests of gates.
#[cfg(test)]
pub(crate) fn member(pod: &str, standing: Standing) -> Member {
    Member {
        pod: pod.into(),
        uid: None,
        standing,
        since: None,
        reasons: vec!["why".into()],
        held: None,
    }
}

impl Member {
    /// Whether it is a pod of this StatefulSet.
    #[must_use]
    pub fn is_of(&self, set: &str) -> bool {
        let rest = self.pod.strip_prefix(set);
        let ordinal = rest.and_then(|rest| rest.strip_prefix('-'));
        ordinal.is_some_and(|ordinal| ordinal.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// What the system itself says to the restart of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Gate {
    /// It may happen now.
    Open,
    /// It must wait, and for what.
    Shut(String),
}

/// The order: who has a lower one is restarted before others.
pub type Rank = u8;

/// A pod that has to be restarted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restart {
    /// The pod.
    pub pod: String,
    /// Why.
    pub reasons: Vec<String>,
    /// What it waits for; `None` for the one that is restarted now.
    pub waits_for: Option<String>,
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The pod to restart.
    pub now: Option<Member>,
    /// All pods that have to be restarted, in order.
    pub restarts: Vec<Restart>,
}

impl Decision {
    /// Whoever was to be restarted now is not, and waits for what the text says.
    pub fn postpone(&mut self, waits_for: String) {
        if let Some(now) = self.now.take() {
            let mut restarts = self.restarts.iter_mut();
            if let Some(restart) = restarts.find(|restart| restart.pod == now.pod) {
                restart.waits_for = Some(waits_for);
            }
        }
    }

    /// What happens, in one sentence; `None` when nobody has to be restarted.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let first = self.restarts.first()?;
        let because = first.reasons.join("; ");
        let more = match self.restarts.len() {
            1 => String::new(),
            count => format!(" ({} more to follow)", count - 1),
        };
        Some(match &first.waits_for {
            None => format!("restarting {}: {because}{more}", first.pod),
            Some(waits) => format!(
                "{} must be restarted: {because}; waiting: {waits}{more}",
                first.pod
            ),
        })
    }
}

/// Decides which pod is restarted now: one that does not work before one that does, then by rank and name; last those that
/// work and are held.
///
/// A pod that works waits until all others are ready; one that does not work may be what the others wait for, so that
/// only the gate keeps it. A pod that is not ready and needs no restart is on its way up, and is waited for.
#[must_use]
pub fn next(
    members: &[Member],
    rank: impl Fn(&Member) -> Rank,
    gate: impl Fn(&Member) -> Gate,
) -> Decision {
    let is_ready = |member: &Member| member.standing == Standing::Ready;
    let mut needing: Vec<&Member> = members
        .iter()
        .filter(|member| !member.reasons.is_empty())
        .filter(|member| is_ready(member) || matches!(member.standing, Standing::Unready { .. }))
        .collect();
    let is_held = |member: &Member| is_ready(member) && member.held.is_some();
    let order = |member: &Member| (is_ready(member), is_held(member), rank(member));
    needing.sort_by(|a, b| (order(a), &a.pod).cmp(&(order(b), &b.pod)));
    let between = members.iter().find_map(|member| match member.standing {
        Standing::Leaving => Some(format!("{} is on its way out", member.pod)),
        Standing::Missing => Some(format!("{} is not there yet", member.pod)),
        Standing::Ready | Standing::Unready { .. } => None,
    });
    let waits = |member: &Member| -> Option<String> {
        // Before the gate: nothing is prepared for a restart that does not come.
        if is_held(member) {
            return member.held.clone();
        }
        if between.is_some() {
            return between.clone();
        }
        let unready = members
            .iter()
            .find(|other| other.pod != member.pod && !is_ready(other));
        match (is_ready(member), unready) {
            (true, Some(other)) => Some(format!("{} is not ready", other.pod)),
            _ => match gate(member) {
                Gate::Open => None,
                Gate::Shut(reason) => Some(reason),
            },
        }
    };
    let mut decision = Decision::default();
    for member in needing {
        let waits_for = match &decision.now {
            Some(now) => Some(format!("{} is restarted first", now.pod)),
            // The first that works says what is waited for; nobody behind it goes before it.
            None if is_ready(member) && !decision.restarts.is_empty() => {
                Some(format!("{} comes first", decision.restarts[0].pod))
            }
            None => waits(member),
        };
        if waits_for.is_none() {
            decision.now = Some(member.clone());
        }
        decision.restarts.push(Restart {
            pod: member.pod.clone(),
            reasons: member.reasons.clone(),
            waits_for,
        });
    }
    // The one that is restarted stands first, whoever was passed over.
    decision
        .restarts
        .sort_by_key(|restart| restart.waits_for.is_some());
    decision
}

/// The pods that a StatefulSet has and is to have. `named` are annotations of its template that say, in words, what a
/// pod has to be restarted for.
#[must_use]
pub fn members(set: &StatefulSet, pods: &[Pod], named: &[(&str, &str)]) -> Vec<Member> {
    let name = set.name_any();
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas);
    let mut members: Vec<Member> = pods
        .iter()
        .map(|pod| Member {
            pod: pod.name_any(),
            uid: pod.metadata.uid.clone(),
            standing: standing(pod),
            since: ready_condition(pod).and_then(|c| c.last_transition_time.as_ref().map(|t| t.0)),
            reasons: reasons(set, pod, named),
            held: None,
        })
        .collect();
    for ordinal in 0..wanted.unwrap_or(1) {
        let pod = format!("{name}-{ordinal}");
        if !members.iter().any(|member| member.pod == pod) {
            members.push(Member {
                pod,
                uid: None,
                standing: Standing::Missing,
                since: None,
                reasons: Vec::new(),
                held: None,
            });
        }
    }
    members.sort_by(|a, b| a.pod.cmp(&b.pod));
    members
}

fn standing(pod: &Pod) -> Standing {
    if pod.metadata.deletion_timestamp.is_some() {
        Standing::Leaving
    } else if is_ready(pod) {
        Standing::Ready
    } else {
        let status = pod.status.as_ref();
        let containers = status.and_then(|status| status.container_statuses.as_ref());
        let runs = containers.into_iter().flatten().any(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
        });
        Standing::Unready { runs }
    }
}

/// Whether a pod says that it is ready and is not on its way out.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && ready_condition(pod).is_some_and(|condition| condition.status == "True")
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
}

/// The pods of a StatefulSet, by name.
///
/// # Errors
/// Kubernetes could not be asked.
async fn pods(
    context: &Context,
    owner: &Owner,
    set: &StatefulSet,
) -> Result<Vec<Pod>, kube::Error> {
    let api = context.namespaced::<Pod>(&owner.namespace);
    let labels = set
        .spec
        .as_ref()
        .and_then(|s| s.selector.match_labels.as_ref());
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let params = ListParams::default().labels(&selector.join(","));
    let mut pods = api.list(&params).await?.items;
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

/// The pods of a StatefulSet as they are now, see [`members`], and what the restart of those that work waits for.
///
/// # Errors
/// Kubernetes could not be asked.
pub(super) async fn look(
    context: &Context,
    owner: &Owner,
    set: &StatefulSet,
    named: &[(&str, &str)],
) -> Result<Vec<Member>, kube::Error> {
    let mut members = members(set, &pods(context, owner, set).await?, named);
    let held = waits_for_window(set, owner, Timestamp::now());
    for member in &mut members {
        member.held.clone_from(&held);
    }
    Ok(members)
}

/// Deletes exactly this pod, so that its StatefulSet makes it anew.
///
/// # Errors
/// Kubernetes could not be asked. That the pod is gone already is none.
pub async fn restart(context: &Context, owner: &Owner, member: &Member) -> Result<(), kube::Error> {
    let api = context.namespaced::<Pod>(&owner.namespace);
    let exactly_this = DeleteParams::default().preconditions(Preconditions {
        uid: member.uid.clone(),
        resource_version: None,
    });
    match api.delete(&member.pod, &exactly_this).await {
        Ok(_) => context.metrics.count_write("Pod"),
        Err(error) if is_status(&error, 404) || is_status(&error, 409) => {}
        Err(error) => return Err(error),
    }
    tracing::info!(
        pod = member.pod,
        reasons = member.reasons.join("; "),
        "restarting"
    );
    Ok(())
}

/// Rolls a StatefulSet that says nothing of its own health: at most one pod, while all others are ready. Says which, and
/// why, or what it waits for.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn roll(
    context: &Context,
    owner: &Owner,
    set: &StatefulSet,
) -> Result<Option<String>, kube::Error> {
    let members = look(context, owner, set, &[]).await?;
    let decision = next(&members, |_| 0, |_| Gate::Open);
    if let Some(member) = &decision.now {
        restart(context, owner, member).await?;
    }
    Ok(decision.told())
}

#[cfg(test)]
#[path = "roll_tests.rs"]
mod tests;
