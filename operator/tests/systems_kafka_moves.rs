//! What a cluster goes through in its life, with real nodes and the operator's own steps: controllers come and go, a
//! broker is emptied, replicas spread, a volume is lost, the metadata is raised. No record gets lost on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod kafka_nodes;
mod kafka_scene;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_nodes::{LIMIT, libs};
use kafka_scene::{RECORDS, Scene, start};
use millrace_operator::kafka::ValidatedKafka;
use millrace_operator::kafka::inside::{self, Inside, Seen};
use millrace_operator::kafka::membership;
use millrace_operator::kafka::throttle::FOLLOWERS;
use millrace_operator::kafka::view::View;
use millrace_operator::remote::kafka::NewTopic;
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::topic::{Mover, RemoteTopic, TopicChange, WantedTopic};
use serde_json::json;

fn copies(view: &View) -> Vec<usize> {
    (0..4).map(|id| view.copies_on(id)).collect()
}

/// Replicas of the topic with the records.
fn of_topic(view: &View) -> usize {
    let partitions = view.partitions().filter(|(topic, _)| topic.name == "t");
    partitions.map(|(_, p)| p.replicas.len()).sum()
}

fn is_quiet(seen: &Seen) -> bool {
    let moved = seen.moved.as_ref().unwrap();
    let plan = &moved.plan;
    moved.moves.is_none()
        && plan.told().is_none()
        && plan.refused.is_none()
        && moved.failed.is_none()
}

fn voters(view: &View) -> BTreeSet<i32> {
    view.quorum.voters.iter().map(|voter| voter.id).collect()
}

fn is_synced(view: &View) -> bool {
    view.partitions()
        .all(|(_, p)| p.in_sync.len() == p.replicas.len())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_cluster_grows_shrinks_and_heals_without_losing_records() {
    let Some(libs) = libs() else {
        return;
    };
    let mut scene = start(libs).await;
    let held = [("metadataVersion", json!("4.2"))];

    // Three controllers come to vote one by one, then a fourth.
    scene.ask(3, json!({}), &held);
    scene
        .until("three vote", |_, view| voters(view) == [0, 1, 2].into())
        .await;
    scene.ask(4, json!({}), &held);
    scene
        .until("four vote", |_, view| voters(view).len() == 4)
        .await;

    let topic = NewTopic {
        name: "t".into(),
        partitions: 8,
        replication_factor: 3,
        config: [("min.insync.replicas".to_owned(), "2".to_owned())].into(),
    };
    scene.admin.create_topic(&topic).await.unwrap();
    scene
        .until("all are in sync", |_, view| {
            view.topics
                .iter()
                .any(|t| t.name == "t" && t.partitions.len() == 8)
                && is_synced(view)
        })
        .await;
    let written = scene.write();
    let ends = scene.ends().await;
    assert_eq!(ends, RECORDS as i64);

    drains(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written.clone()));
    rebalances(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written.clone()));
    a_topic_gets_another_number_of_copies(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written.clone()));
    a_volume_is_replaced(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written));
    the_metadata_is_raised(&mut scene).await;
}

/// Node 3 is to go: its vote and its replicas do, slowly, and adjusted on the way.
async fn drains(scene: &mut Scene) {
    let slow = [
        ("metadataVersion", json!("4.2")),
        ("replicaMoveRate", json!("64Ki")),
    ];
    scene.ask(3, json!({"millrace.dev/drain": "3"}), &slow);
    let hold = |kafka: &ValidatedKafka, view: &View| {
        let inside = membership::Inside::of(&view.quorum, &view.topics);
        membership::hold(&mut kafka.clone(), Some(&inside))
    };
    let view = scene.view().await.unwrap();
    assert!(!hold(&scene.kafka, &view).is_empty());
    // It is noted before anything is throttled.
    let (first, _) = scene.reconcile().await.unwrap();
    assert!(first.moved.unwrap().moves.is_some());
    assert!(scene.rates().await.is_empty());
    scene
        .until("it moves", |_, view| !view.reassignments.is_empty())
        .await;
    scene.throttle_at("65536").await;
    let lists = scene.throttled().await;
    assert!(
        lists.iter().any(|list| list.starts_with(FOLLOWERS)),
        "{lists:?}"
    );
    let (seen, _) = scene.reconcile().await.unwrap();
    assert!(seen.moved.unwrap().plan.drain[0].bytes_left.unwrap() > 0);
    // What moves is made faster.
    let fast = [
        ("metadataVersion", json!("4.2")),
        ("replicaMoveRate", json!("100Mi")),
    ];
    scene.ask(3, json!({"millrace.dev/drain": "3"}), &fast);
    let (seen, _) = scene.reconcile().await.unwrap();
    assert_eq!(seen.moved.unwrap().failed, None);
    scene.throttle_at("104857600").await;
    scene
        .until("it is empty", |seen, view| {
            is_quiet(seen) && voters(view).len() == 3
        })
        .await;
    let view = scene.view().await.unwrap();
    assert_eq!(view.copies_on(3), 0);
    assert!(is_synced(&view));
    assert!(scene.resource.status.as_ref().unwrap().drain[0].done);
    assert_eq!(hold(&scene.kafka, &view), Vec::<String>::new());
    scene.nothing_is_throttled().await;
}

/// Node 3 is asked for again and gets its share.
async fn rebalances(scene: &mut Scene) {
    let held = [("metadataVersion", json!("4.2"))];
    scene.ask(4, json!({"millrace.dev/rebalance": "1"}), &held);
    scene
        .until("it begins", |_, view| {
            !view.reassignments.is_empty() || view.copies_on(3) > 0
        })
        .await;
    scene
        .until("it is even", |seen, view| {
            is_quiet(seen) && voters(view).len() == 4
        })
        .await;
    let view = scene.view().await.unwrap();
    let copies = copies(&view);
    assert!(
        copies.iter().max().unwrap() - copies.iter().min().unwrap() <= 1,
        "{copies:?}"
    );
    let remembered = scene.resource.status.clone().unwrap().rebalance.unwrap();
    assert!(remembered.done && remembered.value == "1");
    scene.nothing_is_throttled().await;
}

/// What the reconciler of a topic asks its cluster for: another number of copies, if it wants one.
async fn asks(scene: &Scene, copies: i32) -> Option<usize> {
    let wanted = WantedTopic {
        name: "t".into(),
        partitions: 8,
        replication_factor: copies,
        config: Default::default(),
        managed: Default::default(),
        rebind: None,
    };
    let remote = RemoteTopic {
        admin: &scene.admin,
        wanted: &wanted,
        mover: Mover::Cluster,
    };
    let outcome = converge(&remote).await.unwrap();
    outcome.made.iter().find_map(|change| match change {
        TopicChange::SetReplicationFactor { to, .. } => usize::try_from(*to).ok(),
        _ => None,
    })
}

/// More copies are made under the throttle, and fewer at once. The topic asks, and the cluster moves.
async fn a_topic_gets_another_number_of_copies(scene: &mut Scene) {
    let with_rate = |rate: &str| {
        [
            ("metadataVersion", json!("4.2")),
            ("replicaMoveRate", json!(rate)),
        ]
    };
    scene.ask(4, json!({}), &with_rate("64Ki"));
    assert_eq!(asks(scene, 4).await, Some(4));
    // Whoever asks moves nothing.
    assert!(scene.view().await.unwrap().reassignments.is_empty());
    scene.factors = [("t".to_owned(), 4)].into();
    let (first, _) = scene.reconcile().await.unwrap();
    assert!(first.moved.unwrap().moves.is_some());
    scene
        .until("copies are made", |_, view| view.reassignments.len() == 8)
        .await;
    scene.throttle_at("65536").await;
    // All have begun, so that the topic asks no more. What was set for them stays until they are there.
    assert_eq!(asks(scene, 4).await, None);
    scene.factors.clear();
    for _ in 0..5 {
        let (seen, view) = scene.reconcile().await.unwrap();
        assert!(seen.moved.unwrap().moves.is_some());
        assert_eq!(view.reassignments.len(), 8);
    }
    scene.throttle_at("65536").await;
    let lists = scene.throttled().await;
    let followers = lists.iter().find(|list| list.starts_with(FOLLOWERS));
    assert_eq!(followers.unwrap().split(',').count(), 8, "{lists:?}");
    scene.ask(4, json!({}), &with_rate("100Mi"));
    scene
        .until("copies are there", |seen, _| is_quiet(seen))
        .await;
    let view = scene.view().await.unwrap();
    assert_eq!(of_topic(&view), 32);
    assert!(is_synced(&view));
    scene.nothing_is_throttled().await;

    assert_eq!(asks(scene, 3).await, Some(3));
    scene.factors = [("t".to_owned(), 3)].into();
    scene
        .until("copies are fewer", |seen, view| {
            is_quiet(seen) && of_topic(view) == 24
        })
        .await;
    assert_eq!(asks(scene, 3).await, None);
    scene.factors.clear();
    scene.nothing_is_throttled().await;
}

/// A controller and broker comes back with an empty volume: its former vote goes, it gets a new one, and it is filled.
async fn a_volume_is_replaced(scene: &mut Scene) {
    let before = scene.view().await.unwrap();
    let directory = |view: &View| {
        let voter = view.quorum.voters.iter().find(|voter| voter.id == 1);
        voter.map(|voter| voter.directory)
    };
    let former = directory(&before);
    assert!(former.is_some());
    scene.nodes.kill("k-1");
    fs::remove_dir_all(scene.nodes.local("k-1", "/var/lib/kafka/data")).unwrap();
    scene.nodes.mount(&scene.kafka);
    scene.nodes.start("k-1");
    let told = scene
        .until("it votes again", |_, view| {
            voters(view).len() == 4
                && directory(view) != former
                && membership::change(&view.quorum, &[0, 1, 2, 3].into()).is_none()
                && is_synced(view)
        })
        .await;
    let said = |text: &str| told.iter().any(|line| line.contains(text));
    assert!(said("controller 1 loses its vote"), "{told:?}");
    assert!(said("controller 1 comes to vote"), "{told:?}");
    // It stays so, though the leader still lists the former directory.
    let again = told.iter().filter(|line| line.contains("comes to vote"));
    assert_eq!(again.count(), 1, "{told:?}");
    for _ in 0..5 {
        let (seen, _) = scene.reconcile().await.unwrap();
        assert_eq!(seen.changing, None);
    }
    // Leaders go back to where they belong.
    scene
        .until("leaders are preferred", |_, view| !view.wants_election())
        .await;
}

async fn the_metadata_is_raised(scene: &mut Scene) {
    let raise = async |scene: &Scene, all_run: bool| {
        let inside = Inside {
            admin: Arc::clone(&scene.admin),
            view: scene.view().await.unwrap(),
        };
        inside::raise_metadata(&scene.kafka, Some(&inside), all_run).await
    };
    let before = raise(scene, true).await;
    assert_eq!(before.finalized.as_deref(), Some("4.2-IV1"));
    assert_eq!((before.told, before.refused), (None, None));
    // It follows the image, once all nodes run it.
    scene.ask(4, json!({}), &[]);
    let waits = raise(scene, false).await.told.unwrap();
    assert!(waits.contains("once all nodes run"), "{waits}");
    let raised = raise(scene, true).await;
    assert!(raised.told.is_some(), "{raised:?}");
    let end = Instant::now() + LIMIT;
    loop {
        let now = raise(scene, true).await;
        if now.told.is_none() && now.finalized.as_deref() > Some("4.2-IV1") {
            break;
        }
        assert!(Instant::now() < end, "{now:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    scene.ask(4, json!({}), &[("metadataVersion", json!("4.2"))]);
    let refused = raise(scene, true).await.refused.unwrap();
    assert!(refused.contains("cannot go back"), "{refused}");
}
