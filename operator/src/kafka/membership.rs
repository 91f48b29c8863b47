//! Which nodes belong to the cluster, seen from inside: who votes, who may go, who is forgotten. Pure.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::nodes::Pool;
use super::validate::ValidatedKafka;
use crate::remote::kafka::{QuorumView, RegisteredBroker, TopicView};

/// A controller that is so few records behind has caught up.
const BEHIND: i64 = 1000;

/// A change of the quorum. Kafka takes one at a time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A controller that follows the log comes to vote.
    Add {
        /// Its node id.
        id: i32,
        /// Its metadata directory.
        directory: Uuid,
    },
    /// A vote is taken away.
    Remove {
        /// The node id.
        id: i32,
        /// Its metadata directory.
        directory: Uuid,
        /// Why.
        reason: &'static str,
    },
}

/// The next change of the quorum, so that the controllers that are asked for vote and nobody else.
#[must_use]
pub fn change(view: &QuorumView, asked: &BTreeSet<i32>) -> Option<Change> {
    // A dead vote first: it counts towards the majority and never comes back.
    for voter in view.voters.iter().filter(|voter| asked.contains(&voter.id)) {
        if view.has_lost_its_volume(voter) {
            return Some(Change::Remove {
                id: voter.id,
                directory: voter.directory,
                reason: "its volume was lost, and the node has another one",
            });
        }
    }
    // More votes before fewer.
    for id in asked {
        let votes = view.voters.iter().any(|voter| voter.id == *id);
        if let Some(node) = view.observer(*id).filter(|_| !votes)
            && node.log_end_offset + BEHIND >= view.high_watermark
            && view.has_caught_up(node)
        {
            return Some(Change::Add {
                id: *id,
                directory: node.directory,
            });
        }
    }
    let mut surplus = view.voters.iter().filter(|v| !asked.contains(&v.id));
    // Who leads goes last.
    let next = surplus
        .clone()
        .find(|voter| voter.id != view.leader)
        .or_else(|| surplus.next())?;
    // Somebody who stays has to vote.
    let remains = view.voters.iter().any(|voter| asked.contains(&voter.id));
    remains.then_some(Change::Remove {
        id: next.id,
        directory: next.directory,
        reason: "it is no longer asked for",
    })
}

/// What is known of the inside when nodes are to go.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// Nodes that vote.
    pub voters: BTreeSet<i32>,
    /// Copies of partitions that each node holds.
    pub replicas: BTreeMap<i32, usize>,
}

impl Inside {
    /// Reads the copies out of the topics.
    #[must_use]
    pub fn of(quorum: &QuorumView, topics: &[TopicView]) -> Self {
        let mut replicas = BTreeMap::new();
        for topic in topics {
            for id in topic.partitions.iter().flat_map(|p| &p.replicas) {
                *replicas.entry(*id).or_default() += 1;
            }
        }
        Self {
            voters: quorum.voters.iter().map(|voter| voter.id).collect(),
            replicas,
        }
    }
}

/// Keeps the nodes that cannot go yet. Says why for each pool that has one; nodes go from the highest id down. What is
/// not known holds a node, and a cluster that is stopped cannot be asked.
pub fn hold(kafka: &mut ValidatedKafka, inside: Option<&Inside>) -> Vec<String> {
    let stopped = kafka.stopped;
    let owner = kafka.owner.clone();
    let mut held = Vec::new();
    for pool in kafka.pools.iter_mut().filter(|pool| shrinks(pool)) {
        let leaving = pool.replicas..pool.live_replicas;
        let reasons: Vec<(i32, String)> = leaving
            .filter_map(|ordinal| {
                let node = pool.node(&owner, ordinal);
                let why = match inside {
                    _ if stopped => "the cluster is stopped, so that nobody can see what the node holds; let the cluster run, and drain the node".to_owned(),
                    None => "Kafka could not be asked whether it may go".to_owned(),
                    Some(inside) => stays(inside, pool, node.id)?,
                };
                Some((ordinal, format!("node {}: {why}", node.id)))
            })
            .collect();
        if let Some((highest, _)) = reasons.last() {
            pool.replicas = highest + 1;
        }
        held.extend(reasons.into_iter().map(|(_, reason)| reason));
    }
    held
}

/// Whether a pool is to have fewer nodes than it has.
#[must_use]
pub fn shrinks(pool: &Pool) -> bool {
    pool.replicas < pool.live_replicas
}

fn stays(inside: &Inside, pool: &Pool, id: i32) -> Option<String> {
    let copies = inside.replicas.get(&id).copied().unwrap_or_default();
    if pool.broker && copies > 0 {
        return Some(format!(
            "it holds {copies} copies of partitions; move them by `millrace drain`, or put the former number of nodes back"
        ));
    }
    (pool.controller && inside.voters.contains(&id))
        .then(|| "it votes in the quorum until its vote is taken away".to_owned())
}

/// Brokers that are gone for good and are forgotten by the cluster.
#[must_use]
pub fn forgotten(
    registered: &[RegisteredBroker],
    there: &BTreeSet<i32>,
    inside: &Inside,
) -> Vec<i32> {
    registered
        .iter()
        .filter(|broker| broker.fenced && !there.contains(&broker.id))
        .filter(|broker| !inside.replicas.contains_key(&broker.id))
        .map(|broker| broker.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, images};
    use super::super::validate::{Found, validate};
    use super::*;
    use crate::remote::kafka::QuorumReplica;
    use serde_json::json;

    fn replica(id: i32, directory: u128, end: i64) -> QuorumReplica {
        QuorumReplica {
            id,
            directory: Uuid::from_u128(directory),
            log_end_offset: end,
            last_fetch_ms: 0,
            last_caught_up_ms: 0,
        }
    }

    fn view(voters: &[(i32, u128)], observers: &[(i32, u128, i64)]) -> QuorumView {
        QuorumView {
            leader: voters[0].0,
            epoch: 1,
            high_watermark: 5000,
            voters: voters
                .iter()
                .map(|(id, d)| replica(*id, *d, 5000))
                .collect(),
            observers: observers
                .iter()
                .map(|(id, d, end)| replica(*id, *d, *end))
                .collect(),
            endpoints: BTreeMap::new(),
        }
    }

    fn next(view: &QuorumView, asked: &[i32]) -> String {
        match change(view, &asked.iter().copied().collect()) {
            None => "nothing".into(),
            Some(Change::Add { id, .. }) => format!("add {id}"),
            Some(Change::Remove { id, .. }) => format!("remove {id}"),
        }
    }

    #[test]
    fn controllers_come_to_vote_when_they_have_caught_up() {
        let young = view(&[(0, 1)], &[(1, 2, 10), (2, 3, 4999), (100, 9, 5000)]);
        assert_eq!(next(&young, &[0, 1, 2]), "add 2");
        let all = view(&[(0, 1), (1, 2), (2, 3)], &[(100, 9, 5000)]);
        assert_eq!(next(&all, &[0, 1, 2]), "nothing");
    }

    #[test]
    fn a_vote_without_its_volume_goes_before_the_new_one_comes() {
        let mut lost = view(&[(1, 2), (0, 1), (2, 3)], &[(0, 7, 5000)]);
        // The former directory asks no more.
        lost.observers[0].last_fetch_ms = 9;
        assert_eq!(next(&lost, &[0, 1, 2]), "remove 0");
        // It stays among the observers for a while, and is not the one that votes next.
        let mut without = view(&[(1, 2), (2, 3)], &[(0, 1, 5000), (0, 7, 5000)]);
        without.observers[1].last_fetch_ms = 9;
        assert_eq!(
            change(&without, &[0, 1, 2].into()),
            Some(Change::Add {
                id: 0,
                directory: Uuid::from_u128(7),
            })
        );
        // Nor is the new vote taken away for it.
        let mut done = view(&[(1, 2), (0, 7), (2, 3)], &[(0, 1, 5000)]);
        done.voters[1].last_fetch_ms = 19;
        done.observers[0].last_fetch_ms = 9;
        assert_eq!(next(&done, &[0, 1, 2]), "nothing");
    }

    #[test]
    fn a_controller_that_is_away_does_not_come_to_vote() {
        let mut away = view(&[(0, 1), (1, 2)], &[(2, 3, 4999)]);
        for voter in &mut away.voters {
            voter.last_caught_up_ms = 60_000;
        }
        assert_eq!(next(&away, &[0, 1, 2]), "nothing");
        away.observers[0].last_caught_up_ms = 59_000;
        assert_eq!(next(&away, &[0, 1, 2]), "add 2");
    }

    #[test]
    fn surplus_votes_go_and_the_last_one_that_is_asked_for_stays() {
        let five = view(&[(4, 5), (0, 1), (1, 2), (2, 3), (3, 4)], &[]);
        assert_eq!(next(&five, &[0, 1, 2]), "remove 3");
        let leader_last = view(&[(4, 5), (0, 1), (1, 2), (2, 3)], &[]);
        assert_eq!(next(&leader_last, &[0, 1, 2]), "remove 4");
        assert_eq!(next(&view(&[(4, 5)], &[]), &[0]), "nothing");
    }

    fn five_to_three() -> ValidatedKafka {
        let found = Found {
            replicas: [("k".to_owned(), 5)].into(),
            ..Found::default()
        };
        let three = cluster(json!({"nodes": 3, "storage": {"size": "1Gi"}}));
        validate(&three, &found, &images()).unwrap()
    }

    #[test]
    fn nodes_go_only_when_they_hold_nothing_and_do_not_vote() {
        let inside = |voters: &[i32], replicas: &[(i32, usize)]| Inside {
            voters: voters.iter().copied().collect(),
            replicas: replicas.iter().copied().collect(),
        };
        for (inside, replicas, says) in [
            (None, 5, "could not be asked"),
            (
                Some(inside(&[0, 1, 2], &[(4, 7)])),
                5,
                "node 4: it holds 7 copies",
            ),
            (Some(inside(&[0, 1, 2], &[(3, 1)])), 4, "millrace drain"),
            (Some(inside(&[0, 1, 2, 3], &[])), 4, "node 3: it votes"),
        ] {
            let mut kafka = five_to_three();
            let held = hold(&mut kafka, inside.as_ref()).join("; ");
            assert_eq!(kafka.pools[0].replicas, replicas, "{held}");
            assert!(held.contains(says), "{held}");
        }
        let mut kafka = five_to_three();
        assert!(hold(&mut kafka, Some(&inside(&[0, 1, 2], &[(0, 9)]))).is_empty());
        assert_eq!(kafka.pools[0].replicas, 3);
        kafka = five_to_three();
        kafka.stopped = true;
        let held = hold(&mut kafka, Some(&inside(&[0, 1, 2], &[])));
        assert_eq!((held.len(), kafka.pools[0].replicas), (2, 5), "{held:?}");
        assert!(held[0].contains("stopped"));
    }

    #[test]
    fn a_stopped_cluster_remembers_how_many_nodes_it_had() {
        let mut three = cluster(json!({"nodes": 3, "storage": {"size": "1Gi"}, "stopped": true}));
        let status = json!({"bootstrapped": true, "pools": [{"nodes": 5, "ready": 0}]});
        three.status = serde_json::from_value(status).unwrap();
        let found = Found {
            replicas: [("k".to_owned(), 0)].into(),
            ..Found::default()
        };
        let kafka = validate(&three, &found, &images()).unwrap();
        assert!(shrinks(&kafka.pools[0]));
        assert_eq!(kafka.pools[0].live_replicas, 5);
    }

    #[test]
    fn a_pool_with_nodes_cannot_leave_the_spec() {
        let pool = |name: &str, first: i32| {
            json!({"name": name, "roles": ["controller", "broker"], "replicas": 1, "firstNodeId": first,
                "lastNodeId": first + 9, "volumes": [{"size": "1Gi"}]})
        };
        let mut one = cluster(json!({"pools": [pool("a", 0)]}));
        for (nodes, refused) in [(1, true), (0, false)] {
            let status =
                json!({"bootstrapped": true, "pools": [{"name": "b", "nodes": nodes, "ready": 0}]});
            one.status = serde_json::from_value(status).unwrap();
            let valid = validate(&one, &Found::default(), &images());
            assert_eq!(valid.is_err(), refused, "{nodes}");
        }
    }

    #[test]
    fn only_brokers_that_are_gone_and_empty_are_forgotten() {
        let registered = |id, fenced| RegisteredBroker {
            id,
            address: String::new(),
            rack: None,
            fenced,
        };
        let inside = Inside {
            replicas: [(4, 1)].into(),
            ..Inside::default()
        };
        let all = [
            registered(0, true),
            registered(3, true),
            registered(4, true),
            registered(5, false),
        ];
        assert_eq!(forgotten(&all, &[0].into(), &inside), [3]);
    }
}
