//! What is asked of Patroni, and done by it, in a reconcile.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;

use super::{api, files, gate, memory};
use crate::context::{Context, is_status};
use crate::postgres::validate::{Founding, ValidatedPostgres};
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll;
use crate::reconcile::{Applied, Error, PendingRestart, Resources};
use crate::remote::patroni::{PatroniError, View};

/// A founding lasts seconds. One that has lasted for so long was cut short.
const FOUNDS_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What is known of the members.
#[derive(Debug)]
pub(in crate::postgres) enum Members {
    /// There is one server only, or nobody would answer.
    Asleep,
    /// They were asked.
    Seen {
        /// What they say.
        view: View,
        /// Settings that they did not take.
        failed: Option<PatroniError>,
    },
    /// None of them answers.
    Failed(PatroniError),
}

impl Members {
    /// What they say, if they were asked.
    pub(in crate::postgres) fn view(&self) -> Option<&View> {
        match self {
            Self::Seen { view, .. } => Some(view),
            Self::Asleep | Self::Failed(_) => None,
        }
    }
}

/// Asks the members, where there are any.
pub(in crate::postgres) async fn observe(postgres: &ValidatedPostgres) -> Members {
    if !postgres.is_ha() || postgres.ready == 0 || postgres.operation.stopped {
        return Members::Asleep;
    }
    match api(postgres).observe().await {
        Ok(view) => Members::Seen { view, failed: None },
        // A server that has been alone does not have Patroni yet.
        Err(_) if !postgres.begun => Members::Asleep,
        Err(error) => Members::Failed(error),
    }
}

/// How many servers there are to be follows from who leads.
pub(in crate::postgres) fn learn(postgres: &mut ValidatedPostgres, members: &Members) {
    if !postgres.is_ha() || postgres.former_pods {
        return;
    }
    let view = members.view();
    postgres.begun |= view.is_some_and(|view| view.leader().is_some());
    postgres.servers = gate::servers(
        postgres.members,
        postgres.live,
        postgres.begun,
        postgres.former_members,
        view,
    );
}

/// Settings that members do not have yet: told once there is a primary.
pub(in crate::postgres) fn lacks_settings(postgres: &ValidatedPostgres, members: &Members) -> bool {
    let view = members.view().filter(|view| view.leader().is_some());
    view.is_some_and(|view| view.config != files::shared(postgres))
}

/// Whether a restart of the members waits for approval, and their settings with it.
fn are_held(pending: &[PendingRestart]) -> bool {
    let mut workloads = pending.iter().map(|pending| pending.workload.as_str());
    workloads.any(|workload| workload.starts_with("StatefulSet/"))
}

/// Gives the members their settings, unless these wait for approval.
pub(in crate::postgres) async fn keep_settings(
    postgres: &ValidatedPostgres,
    members: &mut Members,
    pending: &[PendingRestart],
) -> bool {
    if are_held(pending) || !lacks_settings(postgres, members) {
        return false;
    }
    let Members::Seen { view, failed } = members else {
        return false;
    };
    let Some(leader) = view.leader() else {
        return false;
    };
    let shared = files::shared(postgres);
    *failed = api(postgres).configure(&leader.pod, &shared).await.err();
    failed.is_none()
}

/// Whether what Patroni remembers is of a former cluster of the name: before the first server of one that has no volumes and
/// no pods yet, and before a server that has been alone gets others beside it. It would keep both from leading.
fn is_of_former(postgres: &ValidatedPostgres) -> bool {
    let is_new = postgres.live == 0 && postgres.founding == Founding::Allowed;
    postgres.is_ha()
        && !postgres.begun
        && (postgres.alone || is_new)
        && postgres.former_members == 0
        && !postgres.former_pods
}

/// Whether the first server may still be founding.
fn may_found(postgres: &ValidatedPostgres) -> bool {
    postgres.is_ha()
        && !postgres.begun
        && !postgres.alone
        && (postgres.live, postgres.ready) == (1, 0)
        && postgres.founding == Founding::Allowed
        && postgres.former_members == 0
}

/// Whether this ConfigMap says that a server founds, and has said so for longer than that lasts.
fn is_cut_short(config: &ConfigMap, now: Timestamp) -> bool {
    let annotations = config.metadata.annotations.as_ref();
    let founds = annotations.and_then(|all| all.get("initialize"));
    let since = config.metadata.creation_timestamp.as_ref();
    founds.is_some_and(String::is_empty)
        && since.is_some_and(|since| now.duration_since(since.0) > FOUNDS_WITHIN)
}

/// Removes what Patroni remembers of a former cluster of the name, and that one founds who ended over it: it would wait for
/// itself.
pub(in crate::postgres) async fn forget(
    context: &Context,
    postgres: &ValidatedPostgres,
) -> Result<(), Error> {
    let api = context.namespaced::<ConfigMap>(&postgres.owner.namespace);
    let mut names = memory(&postgres.owner.name).to_vec();
    if may_found(postgres) {
        names.truncate(1);
        let config = api.get_opt(&names[0]).await;
        let config = config.map_err(Error::doing("reading what Patroni remembers"))?;
        if !config.is_some_and(|config| is_cut_short(&config, Timestamp::now())) {
            return Ok(());
        }
    } else if !is_of_former(postgres) {
        return Ok(());
    }
    for name in names {
        match api.delete(&name, &DeleteParams::default()).await {
            Ok(_) => context.metrics.count_write("ConfigMap"),
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(Error::doing("removing what Patroni remembers")(error)),
        }
    }
    Ok(())
}

/// Restarts members one by one, the primary last and after another one has taken over; lets another one take over too where
/// the primary is to be taken out.
pub(in crate::postgres) async fn roll(
    context: &Context,
    postgres: &ValidatedPostgres,
    members: &Members,
    applied: &Resources<Applied>,
    set: Option<&StatefulSet>,
) -> Result<Rolling, Error> {
    let sets: Vec<StatefulSet> = set.cloned().into_iter().collect();
    let named = [(CONFIG, "its settings or a password of its own changed")];
    let pods = Pods::of(context, &postgres.owner, &sets, &named).await?;
    let view = members.view();
    let mut decision = roll::next(
        &pods.members,
        |member| gate::rank(member, view),
        |member| gate::gate(member, view, postgres.servers, postgres.begun),
    );
    let leader = view
        .and_then(View::leader)
        .map(|leader| leader.pod.as_str());
    let mut leaves = None;
    if let (Some(view), Some(leader)) = (view, leader) {
        let restarts = decision.now.as_ref().is_some_and(|now| now.pod == leader);
        let goes = postgres.servers > postgres.members
            && super::ordinal(leader).is_some_and(|ordinal| ordinal >= postgres.members);
        if postgres.servers > 1 && (restarts || goes && decision.now.is_none()) {
            match switch_over(postgres, view).await {
                Some(waits) if restarts => decision.postpone(waits),
                Some(waits) => {
                    leaves = Some(format!("{leader} is to be taken out; waiting: {waits}"));
                }
                None if restarts => {}
                None => {
                    leaves = Some(format!(
                        "{leader} is to be taken out; waiting: it takes no orders until it has been restarted"
                    ));
                }
            }
        }
    }
    let pending = applied.pending();
    let owner = &postgres.owner;
    let mut rolling = restarts::carry_out(context, owner, &pods, &decision, pending).await?;
    rolling.told = leaves.or(rolling.told);
    Ok(rolling)
}

/// Lets another member take over; gives what is waited for then, and nothing where the leader does so as it ends.
async fn switch_over(postgres: &ValidatedPostgres, view: &View) -> Option<String> {
    let switchover = match gate::hand_over(view, postgres.members) {
        Ok(switchover) => switchover,
        Err(waits) => return Some(waits),
    };
    let (from, to) = (&switchover.from, &switchover.to);
    match api(postgres).switch_over(from, to).await {
        Ok(()) => Some(format!("{to} has taken over from {from}")),
        Err(error) => waits_for(&error),
    }
}

/// What the restart of a leader waits for that does not hand over.
fn waits_for(error: &PatroniError) -> Option<String> {
    match error {
        // It has the former password of its API until it is restarted, and hands over as it ends.
        PatroniError::Refused { status: 401, .. } => None,
        error => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::postgres::validate::tests::valid;

    #[test]
    fn what_is_remembered_is_of_this_cluster_once_patroni_runs_it() {
        let new = || valid(json!({"members": 3}));
        assert!(is_of_former(&new()));
        assert!(!is_of_former(&valid(json!({}))), "it does not matter");
        let with = |change: fn(&mut ValidatedPostgres)| {
            let mut postgres = new();
            change(&mut postgres);
            is_of_former(&postgres)
        };
        assert!(!with(|p| p.live = 1), "it is being founded");
        assert!(!with(|p| p.founding = Founding::Refused));
        // A server that has been alone has its databases, and nothing that is remembered is of them.
        assert!(with(|p| {
            (p.alone, p.live, p.ready) = (true, 1, 1);
            p.founding = Founding::Refused;
        }));
        assert!(!with(|p| (p.begun, p.alone) = (true, true)));
        assert!(!with(|p| p.former_members = 3), "they need it");
        assert!(!with(|p| p.former_pods = true), "they still run");
    }

    #[test]
    fn a_founding_that_was_cut_short_begins_anew() {
        let mut first = valid(json!({"members": 3}));
        assert!(!may_found(&first), "it is not there yet");
        first.live = 1;
        assert!(may_found(&first));
        first.ready = 1;
        assert!(!may_found(&first));
        let says = |initialize: &str, now: &str| {
            let config = json!({"metadata": {"annotations": {"initialize": initialize},
                "creationTimestamp": "2026-11-01T10:00:00Z"}});
            let config = serde_json::from_value(config).unwrap();
            is_cut_short(&config, now.parse().unwrap())
        };
        assert!(says("", "2026-11-01T10:11:00Z"));
        assert!(!says("", "2026-11-01T10:09:00Z"), "it founds");
        assert!(!says("7312345678901234567", "2026-11-01T10:11:00Z"));
        let new = ConfigMap::default();
        assert!(!is_cut_short(&new, Timestamp::now()));
    }

    #[test]
    fn settings_wait_for_approval_with_the_restart() {
        let pending = |workload: &str| PendingRestart {
            workload: workload.into(),
            ..PendingRestart::default()
        };
        assert!(!are_held(&[]));
        assert!(!are_held(&[pending("Deployment/p")]));
        assert!(are_held(&[pending("StatefulSet/p")]));
    }

    #[test]
    fn a_leader_with_the_former_password_is_restarted() {
        let refused = |status| PatroniError::Refused {
            address: "p-0".into(),
            asked: "hand over",
            told: "no".into(),
            status,
        };
        assert_eq!(waits_for(&refused(401)), None);
        assert!(waits_for(&refused(412)).is_some());
    }
}
