use super::super::crd::KafkaCluster;
use super::super::validate::tests::{cluster, images, valid};
use super::super::validate::{Found, validate};
use super::super::view::tests::{moving, view};
use super::*;
use serde_json::json;

fn nodes(count: i32) -> ValidatedKafka {
    valid(json!({"nodes": count, "storage": {"size": "1Gi"}}))
}

/// Five nodes that are to become three.
fn shrinking() -> (KafkaCluster, ValidatedKafka) {
    let found = Found {
        replicas: [("k".to_owned(), 5)].into(),
        ..Found::default()
    };
    let three = cluster(json!({"nodes": 3, "storage": {"size": "1Gi"}}));
    let kafka = validate(&three, &found, &images()).unwrap();
    (three, kafka)
}

fn drain_of(text: &str) -> Asked<'_> {
    Asked {
        drain: Some(text),
        ..Asked::default()
    }
}

#[test]
fn a_drain_moves_what_is_on_the_nodes_and_nothing_goes_to_nodes_that_leave() {
    let (_, kafka) = shrinking();
    let view = view(&[(&[4, 0], &[4, 0]), (&[1, 2], &[1, 2])]);
    let plan = plan(drain_of("4"), &view, &kafka, None);
    assert_eq!(plan.batch.len(), 1);
    let to = plan.batch.values().next().unwrap();
    // Node 3 leaves too.
    assert!([1, 2].contains(&to[0]) && to[1] == 0, "{to:?}");
    assert_eq!(
        (plan.drain[0].replicas_left, plan.drain[0].done),
        (1, false)
    );
    assert_eq!(plan.told().unwrap(), "draining 4: 1 partitions left");
}

#[test]
fn a_drain_that_cannot_work_is_refused_with_the_cure() {
    let view = view(&[(&[0, 1, 2], &[0, 1, 2])]);
    let plan = super::plan(drain_of("3, 4,1"), &view, &nodes(4), None);
    let refused = plan.refused.clone().unwrap();
    assert!(refused.contains("3 copies, and only 2 brokers") && refused.contains("add brokers"));
    assert!(plan.batch.is_empty() && plan.told().is_none());
    let nonsense = super::plan(drain_of("k-3"), &view, &nodes(4), None);
    assert!(nonsense.refused.unwrap().contains("103,104"));
}

#[test]
fn a_drain_ends_and_is_over_once_the_node_is_gone() {
    let view = view(&[(&[0, 1], &[0, 1])]);
    let there = plan(drain_of("4"), &view, &nodes(5), None).drain;
    assert!(there[0].done && !there[0].gone);
    let gone = plan(drain_of("4"), &view, &nodes(3), None).drain;
    assert!(gone[0].gone);
    // A node that comes with this id is not emptied, and may get replicas.
    let status = KafkaClusterStatus {
        drain: gone,
        ..KafkaClusterStatus::default()
    };
    let back = super::super::view::tests::view(&[(&[4, 1], &[4, 1])]);
    let plan = plan(drain_of("4"), &back, &nodes(5), Some(&status));
    assert!(plan.drain[0].gone && plan.batch.is_empty());
}

#[test]
fn a_drain_that_lacks_a_broker_that_is_down_waits_for_it() {
    let mut view = view(&[(&[4, 0, 1], &[4, 0, 1])]);
    view.registered[2].fenced = true;
    let plan = super::plan(drain_of("3,4"), &view, &nodes(5), None);
    assert_eq!(plan.refused, None);
    assert!(plan.batch.is_empty());
    let told = plan.told().unwrap();
    assert_eq!(
        told,
        "draining 4: 1 partitions left; waiting: broker 2 does not serve"
    );
}

#[test]
fn nothing_begins_while_a_broker_that_stays_is_down() {
    let mut view = view(&[(&[4, 0], &[4, 0])]);
    view.registered[2].fenced = true;
    let plan = super::plan(drain_of("4"), &view, &nodes(5), None);
    assert!(plan.batch.is_empty());
    assert_eq!(plan.left, 1);
    assert!(plan.told().unwrap().contains("broker 2"));
    // The one that is emptied may be.
    view.registered[2].fenced = false;
    view.registered[4].fenced = true;
    let plan = super::plan(drain_of("4"), &view, &nodes(5), None);
    assert_eq!(plan.batch.len(), 1);
}

#[test]
fn few_partitions_move_at_once() {
    let many: Vec<(&[i32], &[i32])> = vec![(&[4], &[4]); 60];
    let mut view = view(&many);
    let plan = super::plan(drain_of("4"), &view, &nodes(5), None);
    assert_eq!((plan.batch.len(), plan.left), (AT_ONCE, 60));
    view.reassignments = (0..45).map(|p| moving(p, &[1], &[1], &[4])).collect();
    let plan = super::plan(drain_of("4"), &view, &nodes(5), None);
    assert_eq!((plan.batch.len(), plan.left), (AT_ONCE - 45, 60));
}

fn rebalance(value: &str) -> Asked<'_> {
    Asked {
        rebalance: Some(value),
        ..Asked::default()
    }
}

#[test]
fn a_rebalance_is_followed_once_for_each_value() {
    let uneven = view(&[(&[0], &[0]), (&[0], &[0]), (&[1], &[1]), (&[1], &[1])]);
    let begun = plan(rebalance("a"), &uneven, &nodes(5), None);
    assert_eq!(begun.batch.len(), 2);
    assert!(begun.rebalance.as_ref().is_some_and(|r| !r.done));
    let even = view(&[(&[0], &[0]), (&[2], &[2]), (&[1], &[1]), (&[3], &[3])]);
    let status = KafkaClusterStatus {
        rebalance: begun.rebalance,
        ..KafkaClusterStatus::default()
    };
    let over = plan(rebalance("a"), &even, &nodes(5), Some(&status));
    assert!(over.rebalance.as_ref().unwrap().done && over.told().is_none());
    let status = KafkaClusterStatus {
        rebalance: over.rebalance,
        ..KafkaClusterStatus::default()
    };
    assert!(
        plan(rebalance("a"), &uneven, &nodes(5), Some(&status))
            .batch
            .is_empty()
    );
    let again = plan(rebalance("b"), &uneven, &nodes(5), Some(&status));
    assert_eq!(again.batch.len(), 2);
    // Without the annotation it stays remembered.
    let quiet = plan(Asked::default(), &uneven, &nodes(5), Some(&status));
    assert_eq!(quiet.rebalance, status.rebalance);
}

#[test]
fn a_rebalance_waits_for_a_drain() {
    let view = view(&[(&[4], &[4]), (&[0], &[0]), (&[0], &[0])]);
    let both = Asked {
        rebalance: Some("a"),
        ..drain_of("4")
    };
    let plan = super::plan(both, &view, &nodes(5), None);
    assert_eq!(plan.batch.len(), 1, "{:?}", plan.batch);
    assert!(!plan.rebalance.unwrap().done);
}

fn factor(copies: usize) -> Factors {
    [("t".to_owned(), copies)].into()
}

#[test]
fn another_number_of_copies_is_brought_about_beside_everything_else() {
    let view = view(&[
        (&[4, 0], &[4, 0]),
        (&[1, 2], &[1, 2]),
        (&[0, 1, 2], &[0, 1, 2]),
    ]);
    let three = factor(3);
    let asked = Asked {
        factors: &three,
        ..drain_of("4")
    };
    let plan = super::plan(asked, &view, &nodes(5), None);
    // The one that is drained moves once, and gets its third copy with it.
    assert_eq!((plan.batch.len(), plan.left), (2, 2), "{:?}", plan.batch);
    for to in plan.batch.values() {
        assert!(to.len() == 3 && !to.contains(&4), "{to:?}");
    }
    assert_eq!(counted_anew(&view, &plan.batch).len(), 2);
    let drained = super::plan(drain_of("4"), &view, &nodes(5), None);
    assert!(counted_anew(&view, &drained.batch).is_empty());
    let alone = Asked {
        factors: &three,
        ..Asked::default()
    };
    let alone = super::plan(alone, &view, &nodes(5), None);
    assert_eq!(alone.told().unwrap(), "moving replicas: 2 partitions left");
}

#[test]
fn fewer_copies_let_a_drain_begin_that_lacked_brokers() {
    let view = view(&[(&[0, 1, 2], &[0, 1, 2])]);
    let two = factor(2);
    let asked = Asked {
        factors: &two,
        ..drain_of("1,3,4")
    };
    assert!(
        plan(drain_of("1,3,4"), &view, &nodes(5), None)
            .refused
            .is_some()
    );
    let plan = plan(asked, &view, &nodes(5), None);
    assert_eq!(plan.refused, None);
    let to = plan.batch.values().next().unwrap();
    assert_eq!(to, &[0, 2]);
}

#[test]
fn a_topic_that_lacks_brokers_waits_and_keeps_nobody_else() {
    let view = view(&[(&[4, 0], &[4, 0])]);
    let five = factor(5);
    let asked = Asked {
        factors: &five,
        ..drain_of("4")
    };
    let plan = plan(asked, &view, &nodes(5), None);
    assert_eq!(plan.batch.len(), 1);
    let told = plan.told().unwrap();
    assert!(
        told.ends_with("topic t is to have 5 copies, and only 4 brokers may have one"),
        "{told}"
    );
}

#[test]
fn what_has_begun_to_get_more_copies_is_not_asked_for_again() {
    let mut view = view(&[(&[0, 1, 2], &[0, 1]), (&[1, 2], &[1, 2])]);
    view.reassignments = vec![moving(0, &[0, 1, 2], &[2], &[])];
    let three = factor(3);
    let asked = Asked {
        factors: &three,
        ..Asked::default()
    };
    let plan = plan(asked, &view, &nodes(5), None);
    assert_eq!((plan.batch.len(), plan.left), (1, 2));
}
