//! Which member may go away for a while, who takes over before, and how many pods there are to be meanwhile. Pure.

use super::ordinal;
use crate::reconcile::roll::{Gate, Member, Rank, Standing};
use crate::remote::patroni::{MOST_LAG, Seen, View};

/// The primary comes last: so there is one switchover.
#[must_use]
pub fn rank(member: &Member, view: Option<&View>) -> Rank {
    let leader = view.and_then(View::leader);
    u8::from(leader.is_some_and(|leader| leader.pod == member.pod))
}

/// Whether a member may be restarted. `members` is how many there are to be, `begun` whether there has ever been a primary
/// that Patroni made.
#[must_use]
pub fn gate(member: &Member, view: Option<&View>, members: i32, begun: bool) -> Gate {
    let works = member.standing == Standing::Ready;
    if !begun || matches!(member.standing, Standing::Unready { runs: false }) {
        return Gate::Open;
    }
    let Some(view) = view else {
        // One that does not work may be what keeps the others from answering.
        return if works {
            Gate::Shut("no member can be asked whether it may".into())
        } else {
            Gate::Open
        };
    };
    let Some(leader) = view.leader() else {
        return if works {
            Gate::Shut("no member is the primary".into())
        } else {
            Gate::Open
        };
    };
    let itself = view.member(&member.pod);
    let is_apart = |seen: &Seen| seen.state == "running" && !seen.leads() && !seen.streams;
    if view.told && itself.is_some_and(is_apart) {
        // Who follows nobody takes nothing away, and may do so because of what it is restarted for.
        return Gate::Open;
    }
    if i32::try_from(view.members.len()) != Ok(members) {
        return Gate::Shut(format!(
            "there are {} members, and are to be {members}",
            view.members.len()
        ));
    }
    let mut others = view.members.iter().filter(|seen| seen.pod != member.pod);
    let lacking = others.find(|seen| seen.pod != leader.pod && !seen.follows());
    match lacking {
        None => Gate::Open,
        Some(seen) if seen.state != "running" => {
            Gate::Shut(format!("{} is {}", seen.pod, seen.state))
        }
        Some(seen) if !seen.streams => Gate::Shut(format!("{} does not follow yet", seen.pod)),
        Some(seen) => Gate::Shut(format!(
            "{} lacks more than {} MiB of the log",
            seen.pod,
            MOST_LAG / (1024 * 1024)
        )),
    }
}

/// A switchover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Switchover {
    /// Who hands over.
    pub from: String,
    /// Who takes over.
    pub to: String,
}

/// What has to happen before the pod of the leader ends: a switchover, or that it waits for what the text says.
///
/// # Errors
/// Nobody can take over.
pub fn hand_over(view: &View, members: i32) -> Result<Switchover, String> {
    let leader = view.leader().ok_or("no member is the primary")?;
    let stays = |pod: &str| ordinal(pod).is_some_and(|ordinal| ordinal < members);
    let candidate = view.candidate(stays);
    let candidate = candidate.ok_or("no replica could take over")?;
    Ok(Switchover {
        from: leader.pod.clone(),
        to: candidate.pod.clone(),
    })
}

/// How many pods there are to be, where `asked` are asked for and `live` are there.
///
/// One begins alone, so that there is one beginning; where a former resource had several (`former`, else 0), they are asked
/// together who has most: all of them, whatever is asked for. Fewer come only while a member leads that stays.
#[must_use]
pub fn servers(asked: i32, live: i32, begun: bool, former: i32, view: Option<&View>) -> i32 {
    if !begun && former == 0 {
        return live.max(1);
    }
    // The one that led may be one that is not asked for any more.
    let live = live.max(former);
    if live <= asked {
        return asked;
    }
    let leader = view.and_then(View::leader);
    let leader = leader.and_then(|leader| ordinal(&leader.pod));
    if leader.is_some_and(|leader| leader < asked) {
        asked
    } else {
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::roll::member;
    use crate::reconcile::roll::{Decision, next};
    use serde_json::Value;

    /// A leader and replicas, with what these lack.
    fn view(leader: i32, lags: &[u64]) -> View {
        let members = lags.iter().zip(0..).map(|(lag, ordinal)| {
            let leads = ordinal == leader;
            Seen {
                pod: format!("p-{ordinal}"),
                role: if leads { "leader" } else { "replica" }.into(),
                state: "running".into(),
                timeline: Some(1),
                lag: Some(*lag).filter(|_| !leads),
                streams: !leads,
            }
        });
        View {
            members: members.collect(),
            config: Value::Null,
            told: true,
        }
    }

    fn shut(gate: &Gate) -> &str {
        match gate {
            Gate::Open => panic!("it is open"),
            Gate::Shut(told) => told,
        }
    }

    #[test]
    fn replicas_are_restarted_before_the_primary() {
        let whole = view(1, &[0, 0, 0]);
        let mut members: Vec<Member> = (0..3)
            .map(|n| member(&format!("p-{n}"), Standing::Ready))
            .collect();
        let mut order = Vec::new();
        loop {
            let decision: Decision = next(
                &members,
                |member| rank(member, Some(&whole)),
                |member| gate(member, Some(&whole), 3, true),
            );
            let Some(now) = decision.now else { break };
            for member in members.iter_mut().filter(|member| member.pod == now.pod) {
                member.reasons.clear();
            }
            order.push(now.pod);
        }
        assert_eq!(order, ["p-0", "p-2", "p-1"]);
    }

    #[test]
    fn a_member_goes_while_all_others_follow_and_keep_up() {
        let ready = member("p-0", Standing::Ready);
        let whole = view(1, &[0, 0, 0]);
        assert_eq!(gate(&ready, Some(&whole), 3, true), Gate::Open);
        assert_eq!(gate(&ready, None, 3, false), Gate::Open, "nothing is lost");
        let lagging = view(1, &[0, 0, MOST_LAG + 1]);
        let told = gate(&ready, Some(&lagging), 3, true);
        assert_eq!(shut(&told), "p-2 lacks more than 16 MiB of the log");
        let itself = member("p-2", Standing::Ready);
        assert_eq!(gate(&itself, Some(&lagging), 3, true), Gate::Open);
        let mut starting = whole.clone();
        starting.members[2].state = "creating replica".into();
        let told = gate(&ready, Some(&starting), 3, true);
        assert_eq!(shut(&told), "p-2 is creating replica");
        let mut apart = whole.clone();
        apart.members[2].streams = false;
        assert!(shut(&gate(&ready, Some(&apart), 3, true)).contains("does not follow"));
        // Two with a password that the primary does not take any more do not wait for each other.
        apart.members[0].streams = false;
        assert_eq!(gate(&ready, Some(&apart), 3, true), Gate::Open);
        let leader = member("p-1", Standing::Ready);
        assert!(shut(&gate(&leader, Some(&apart), 3, true)).contains("does not follow"));
        apart.told = false;
        let told = gate(&ready, Some(&apart), 3, true);
        assert!(shut(&told).contains("does not follow"), "they may well");
        assert!(shut(&gate(&ready, Some(&view(1, &[0, 0])), 3, true)).contains("are to be 3"));
    }

    #[test]
    fn who_works_waits_for_a_primary_and_who_does_not_may_be_the_cause() {
        let ready = member("p-0", Standing::Ready);
        let ill = member("p-0", Standing::Unready { runs: true });
        let headless = view(9, &[0, 0, 0]);
        assert!(shut(&gate(&ready, Some(&headless), 3, true)).contains("primary"));
        assert!(shut(&gate(&ready, None, 3, true)).contains("asked"));
        assert_eq!(gate(&ill, Some(&headless), 3, true), Gate::Open);
        assert_eq!(gate(&ill, None, 3, true), Gate::Open);
    }

    #[test]
    fn who_stays_takes_over() {
        let switchover = |view: &View, members| {
            hand_over(view, members).map(|switchover| (switchover.from, switchover.to))
        };
        let to = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(switchover(&view(2, &[9, 0, 0]), 2), to("p-2", "p-1"));
        assert_eq!(switchover(&view(2, &[9, 0, 0]), 1), to("p-2", "p-0"));
        let alone = switchover(&view(0, &[0]), 1);
        assert_eq!(alone, Err("no replica could take over".into()));
    }

    #[test]
    fn one_begins_alone_and_a_primary_is_never_taken_out() {
        assert_eq!(servers(3, 0, false, 0, None), 1);
        assert_eq!(servers(3, 1, false, 0, None), 1);
        assert_eq!(servers(3, 0, false, 3, None), 3, "they know each other");
        assert_eq!(
            servers(2, 0, false, 3, None),
            3,
            "the third one may have led"
        );
        assert_eq!(servers(2, 3, false, 3, Some(&view(1, &[0, 0, 0]))), 2);
        assert_eq!(servers(3, 1, true, 0, Some(&view(0, &[0]))), 3);
        assert_eq!(servers(3, 0, true, 0, None), 3, "it was stopped");
        assert_eq!(servers(2, 3, true, 0, Some(&view(0, &[0, 0, 0]))), 2);
        assert_eq!(servers(2, 3, true, 0, Some(&view(2, &[0, 0, 0]))), 3);
        assert_eq!(servers(2, 3, true, 0, None), 3, "nobody knows who leads");
        // The status was lost, the members were not.
        assert_eq!(servers(3, 3, false, 0, None), 3);
    }
}
