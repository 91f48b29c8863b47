//! What is told of several members. Pure.

use super::Members;
use crate::postgres::crd::{MemberStatus, PostgresClusterStatus, Synchronous};
use crate::postgres::status::Event;
use crate::postgres::validate::ValidatedPostgres;
use crate::remote::patroni::Seen;

/// Tells of the members, where there are several. What could not be seen is as it was: from it a cluster that was stopped
/// knows how many there were.
pub(in crate::postgres) fn tell(
    postgres: &ValidatedPostgres,
    status: &mut PostgresClusterStatus,
    members: &Members,
) {
    if postgres.operation.stopped {
        status.primary = None;
    }
    let Some(view) = members.view() else {
        return;
    };
    if let Some(leader) = view.leader() {
        status.timeline = leader.timeline.or(status.timeline);
    }
    status.primary = view.leader().map(|leader| leader.pod.clone());
    let told = view.members.iter().take(16).map(|member| MemberStatus {
        pod: member.pod.clone(),
        role: member.role.chars().take(64).collect(),
        state: member.state.chars().take(64).collect(),
        timeline: member.timeline,
        lag_mebibytes: member
            .lag
            .and_then(|lag| i64::try_from(lag / (1024 * 1024)).ok())
            .filter(|lag| *lag > 0),
    });
    status.members = told.collect();
}

/// Whether members answer, and none of them takes writes.
pub(in crate::postgres) fn is_headless(postgres: &ValidatedPostgres, members: &Members) -> bool {
    let view = members.view();
    postgres.begun && view.is_some_and(|view| view.leader().is_none())
}

/// Members that could not take over.
pub(in crate::postgres) fn behind(
    postgres: &ValidatedPostgres,
    members: &Members,
    trouble: Option<&str>,
) -> Option<Event> {
    let (view, failed) = match members {
        Members::Asleep => return None,
        Members::Failed(error) => return Some(("PatroniUnreachable", error.to_string())),
        Members::Seen { view, failed } => (view, failed),
    };
    if let Some(error) = failed {
        return Some(("PatroniFailed", error.to_string()));
    }
    view.leader()?;
    if let Some(trouble) = trouble {
        return Some(("MemberNotReady", trouble.to_owned()));
    }
    let lacking = view
        .members
        .iter()
        .filter(|seen| !seen.leads() && !seen.follows());
    let lacking: Vec<String> = lacking
        .map(|seen| match (seen.state.as_str(), seen.streams) {
            ("running", true) => format!("{} lacks much of the log", seen.pod),
            ("running", false) => format!("{} does not follow", seen.pod),
            (state, _) => format!("{}: {state}", seen.pod),
        })
        .collect();
    if !lacking.is_empty() {
        return Some(("ReplicaBehind", lacking.join("; ")));
    }
    let waits = match postgres.synchronous {
        Synchronous::None => return None,
        Synchronous::Preferred => "what is acknowledged now is lost with the primary",
        Synchronous::Required => "nothing is acknowledged",
    };
    let synchronous = view.members.iter().any(Seen::is_synchronous);
    let alone = postgres.servers > 1 && !synchronous;
    alone.then(|| {
        let told = format!("transactions wait for no replica yet: {waits}");
        ("NotSynchronous", told)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::postgres::validate::tests::valid;
    use crate::remote::patroni::{PatroniError, View};

    fn postgres(synchronous: &str) -> ValidatedPostgres {
        let mut postgres = valid(json!({"members": 3, "synchronous": synchronous}));
        (postgres.begun, postgres.servers) = (true, 3);
        postgres
    }

    /// Three members, of which the first leads.
    fn members(change: impl FnOnce(&mut Vec<Seen>)) -> Members {
        let seen = |pod: &str, role: &str| Seen {
            pod: pod.into(),
            role: role.into(),
            state: "running".into(),
            timeline: Some(4),
            lag: Some(0),
            streams: role != "leader",
        };
        let mut members = vec![
            seen("p-0", "leader"),
            seen("p-1", "sync_standby"),
            seen("p-2", "replica"),
        ];
        change(&mut members);
        Members::Seen {
            view: View {
                members,
                config: Value::Null,
                told: true,
            },
            failed: None,
        }
    }

    fn reason(postgres: &ValidatedPostgres, members: &Members) -> Option<&'static str> {
        behind(postgres, members, None).map(|(reason, _)| reason)
    }

    #[test]
    fn what_patroni_tells_is_told() {
        let postgres = postgres("Preferred");
        let mut status = PostgresClusterStatus::default();
        let lags = members(|all| all[2].lag = Some(5 * 1024 * 1024));
        tell(&postgres, &mut status, &lags);
        assert_eq!(status.primary.as_deref(), Some("p-0"));
        assert_eq!(status.timeline, Some(4));
        let told: Vec<_> = status.members.iter().map(|m| m.lag_mebibytes).collect();
        assert_eq!(told, [None, None, Some(5)]);
        // Between two primaries the timeline is what says that there has been one.
        let headless = members(|all| all[0].state = "stopped".into());
        assert!(is_headless(&postgres, &headless) && !is_headless(&postgres, &lags));
        tell(&postgres, &mut status, &headless);
        assert_eq!(
            (status.primary.as_deref(), status.timeline),
            (None, Some(4))
        );
        // Who cannot be asked may well lead.
        let failed = Members::Failed(PatroniError::Unreachable {
            address: "p-0".into(),
            problem: "no".into(),
        });
        assert!(!is_headless(&postgres, &failed));
        assert_eq!(reason(&postgres, &failed), Some("PatroniUnreachable"));
        // How many there are to be when they come back follows from how many there were.
        let mut stopped = postgres.clone();
        stopped.operation.stopped = true;
        tell(&postgres, &mut status, &lags);
        tell(&stopped, &mut status, &Members::Asleep);
        assert_eq!((status.primary, status.members.len()), (None, 3));
    }

    #[test]
    fn a_cluster_that_bears_no_loss_is_degraded() {
        let whole = members(|_| ());
        assert_eq!(reason(&postgres("Required"), &whole), None);
        let apart = members(|all| all[2].streams = false);
        let told = behind(&postgres("Required"), &apart, None).unwrap();
        assert_eq!(told, ("ReplicaBehind", "p-2 does not follow".to_owned()));
        let alone = members(|all| all[1].role = "replica".into());
        for (synchronous, expected) in [
            ("None", None),
            ("Preferred", Some("NotSynchronous")),
            ("Required", Some("NotSynchronous")),
        ] {
            let told = reason(&postgres(synchronous), &alone);
            assert_eq!(told, expected, "{synchronous}");
        }
        let trouble = behind(&postgres("None"), &whole, Some("p-2 has no node"));
        assert_eq!(trouble.unwrap().0, "MemberNotReady");
        assert_eq!(reason(&valid(json!({})), &Members::Asleep), None);
    }
}
