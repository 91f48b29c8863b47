//! Whether a server may go away for a while: no block may lose what it needs, the log its majority, or clients their
//! NameNode. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::roles::RoleKind;
use super::view::View;
use crate::reconcile::roll::{Gate, Member, Rank, Standing};

/// A JournalNode that came back takes part in the log from its next segment on. A standby begins one each half minute.
const SEGMENTS: Duration = Duration::from_secs(75);
/// A DataNode that was not heard of for so many seconds may be on its way up still: it says a word every three.
const SILENT: i64 = 9;

/// A server, as far as its gate has to know it.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// What it does.
    pub kind: RoleKind,
    /// The hosts of all DataNodes that are to be there.
    pub data_nodes: &'a [String],
    /// Since when the JournalNodes beside it are ready: the latest of them.
    pub journals_since: Option<Timestamp>,
    /// Whether there are several NameNodes.
    pub ha: bool,
    /// Whether the cluster has ever worked.
    pub worked: bool,
    /// The time.
    pub now: Timestamp,
}

/// JournalNodes come before NameNodes, which come before DataNodes, as upgrades of HDFS want it; the active NameNode comes
/// after its standbys.
#[must_use]
pub fn rank(kind: RoleKind, pod: &str, view: &View) -> Rank {
    match kind {
        RoleKind::JournalNode => 0,
        RoleKind::NameNode if view.active().is_some_and(|(active, _)| active == pod) => 2,
        RoleKind::NameNode => 1,
        RoleKind::DataNode => 3,
    }
}

/// Whether a server may be restarted.
#[must_use]
pub fn gate(of: Of<'_>, member: &Member, view: &View) -> Gate {
    // There is nothing to lose; and what does not run is missed already.
    if !of.worked || matches!(member.standing, Standing::Unready { runs: false }) {
        return Gate::Open;
    }
    let lacks = match of.kind {
        RoleKind::JournalNode => lacks_journals(of, view),
        RoleKind::NameNode => lacks_names(of, &member.pod, view),
        RoleKind::DataNode => lacks_blocks(of, view),
    };
    match lacks {
        None => Gate::Open,
        Some(reason) => Gate::Shut(reason),
    }
}

fn nobody_active() -> String {
    "no NameNode is active that could be asked".to_owned()
}

/// Two JournalNodes that do not take part in the log stop the active NameNode.
fn lacks_journals(of: Of<'_>, view: &View) -> Option<String> {
    let Some((_, active)) = view.active() else {
        return Some(nobody_active());
    };
    if active.journals_behind {
        return Some("a JournalNode takes part in the log only from its next segment on".into());
    }
    let since = of.journals_since?;
    let joined = Timestamp::checked_add(since, SEGMENTS).ok()?;
    (of.now < joined).then(|| {
        "another JournalNode has come back a moment ago, and takes part in the log only from its next segment on"
            .to_owned()
    })
}

/// The only NameNode is away for a moment whatever one does.
fn lacks_names(of: Of<'_>, pod: &str, view: &View) -> Option<String> {
    if !of.ha {
        return None;
    }
    match view.active() {
        None => Some(nobody_active()),
        Some((active, _)) if active == pod && !view.has_standby_beside(pod) => {
            Some("it is active, and no other NameNode is a standby out of safe mode".to_owned())
        }
        Some((active, names)) if active != pod => {
            let safe = names.safe_mode.as_ref()?;
            Some(format!("the active NameNode is in safe mode: {safe}"))
        }
        Some(_) => None,
    }
}

/// All blocks have all of their copies, and all DataNodes are there.
fn lacks_blocks(of: Of<'_>, view: &View) -> Option<String> {
    let Some((_, active)) = view.active() else {
        return Some(nobody_active());
    };
    if let Some(safe) = &active.safe_mode {
        return Some(format!("the active NameNode is in safe mode: {safe}"));
    }
    if active.missing > 0 {
        return Some(format!("{} blocks have no copy", active.missing));
    }
    if active.under_replicated > 0 {
        return Some(format!("{} blocks lack copies", active.under_replicated));
    }
    let silent = of.data_nodes.iter().find(|host| {
        let node = active.data_nodes.get(*host);
        node.is_none_or(|node| node.last_contact > SILENT)
    })?;
    Some(format!("the NameNode has not heard of {silent} lately"))
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::view;
    use super::*;
    use crate::reconcile::roll::member;
    use crate::remote::hdfs::State;

    fn hosts() -> Vec<String> {
        (0..3)
            .map(|ordinal| format!("h-datanode-{ordinal}.h-nodes.ns.svc"))
            .collect()
    }

    fn told(kind: RoleKind, pod: &str, view: &View, change: impl Fn(&mut Of<'_>)) -> String {
        let hosts = hosts();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut of = Of {
            kind,
            data_nodes: &hosts,
            journals_since: Timestamp::from_second(990_000).ok(),
            ha: true,
            worked: true,
            now,
        };
        change(&mut of);
        match gate(of, &member(pod, Standing::Ready), view) {
            Gate::Open => "open".into(),
            Gate::Shut(reason) => reason,
        }
    }

    #[test]
    fn the_order_is_log_standby_active_blocks() {
        let view = view();
        let ranks = [
            (RoleKind::JournalNode, "h-journalnode-0"),
            (RoleKind::NameNode, "h-namenode-1"),
            (RoleKind::NameNode, "h-namenode-0"),
            (RoleKind::DataNode, "h-datanode-0"),
        ]
        .map(|(kind, pod)| rank(kind, pod, &view));
        assert_eq!(ranks, [0, 1, 2, 3]);
    }

    #[test]
    fn a_journal_node_waits_for_the_one_before_to_take_part_again() {
        let view_now = view();
        let kind = RoleKind::JournalNode;
        let pod = "h-journalnode-1";
        assert_eq!(told(kind, pod, &view_now, |_| {}), "open");
        let back = |of: &mut Of<'_>| of.journals_since = Timestamp::from_second(999_950).ok();
        assert!(told(kind, pod, &view_now, back).starts_with("another JournalNode has come back"));
        let mut behind = view();
        for names in behind.name_nodes.values_mut() {
            names.journals_behind = true;
        }
        assert!(told(kind, pod, &behind, |_| {}).starts_with("a JournalNode takes part"));
        assert!(told(kind, pod, &View::default(), |_| {}).starts_with("no NameNode is active"));
        assert_eq!(
            told(kind, pod, &View::default(), |of| of.worked = false),
            "open"
        );
    }

    #[test]
    fn the_active_name_node_waits_for_a_standby() {
        let kind = RoleKind::NameNode;
        assert_eq!(told(kind, "h-namenode-0", &view(), |_| {}), "open");
        assert_eq!(told(kind, "h-namenode-1", &view(), |_| {}), "open");
        let mut alone = view();
        alone.name_nodes.remove("h-namenode-1");
        assert!(told(kind, "h-namenode-0", &alone, |_| {}).starts_with("it is active"));
        // The one that does not answer may come anew.
        assert_eq!(told(kind, "h-namenode-1", &alone, |_| {}), "open");
        let mut safe = view();
        safe.name_nodes.get_mut("h-namenode-0").unwrap().safe_mode = Some("ON".into());
        assert!(told(kind, "h-namenode-1", &safe, |_| {}).contains("safe mode"));
        // A standby that came back a moment ago could take over, and would take no writes.
        let mut back = view();
        back.name_nodes.get_mut("h-namenode-1").unwrap().safe_mode = Some("ON".into());
        assert!(told(kind, "h-namenode-0", &back, |_| {}).starts_with("it is active"));
        assert_eq!(
            told(kind, "h-namenode-0", &alone, |of| of.ha = false),
            "open"
        );
    }

    #[test]
    fn a_data_node_goes_when_all_blocks_have_all_copies() {
        let kind = RoleKind::DataNode;
        let changed = |change: fn(&mut crate::remote::hdfs::NameNodeView)| {
            let mut view = view();
            change(view.name_nodes.get_mut("h-namenode-0").unwrap());
            told(kind, "h-datanode-1", &view, |_| {})
        };
        assert_eq!(changed(|_| {}), "open");
        assert!(changed(|names| names.safe_mode = Some("ON".into())).contains("safe mode"));
        assert_eq!(changed(|names| names.missing = 2), "2 blocks have no copy");
        assert_eq!(
            changed(|names| names.under_replicated = 3),
            "3 blocks lack copies"
        );
        assert!(changed(|names| drop(names.data_nodes.pop_last())).contains("h-datanode-2"));
        let silent = changed(|names| {
            for node in names.data_nodes.values_mut() {
                node.last_contact = 20;
            }
        });
        assert!(silent.contains("h-datanode-0"), "{silent}");
        assert!(changed(|names| names.state = State::Standby).starts_with("no NameNode"));
    }

    #[test]
    fn what_does_not_run_comes_anew_whatever_is_lacking() {
        let hosts = hosts();
        let of = Of {
            kind: RoleKind::DataNode,
            data_nodes: &hosts,
            journals_since: None,
            ha: true,
            worked: true,
            now: Timestamp::from_second(1_000_000).unwrap(),
        };
        let dead = member("h-datanode-0", Standing::Unready { runs: false });
        assert_eq!(gate(of, &dead, &View::default()), Gate::Open);
    }
}
