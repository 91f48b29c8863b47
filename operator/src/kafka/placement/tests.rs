use super::*;
use proptest::prelude::*;

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic.to_owned(),
        partition,
    }
}

fn partition(topic: &str, number: i32, replicas: &[i32]) -> Partition {
    Partition {
        at: at(topic, number),
        replicas: replicas.to_vec(),
        moves: false,
    }
}

fn brokers(ids: impl IntoIterator<Item = i32>, racks: i32) -> Brokers {
    ids.into_iter()
        .map(|id| (id, (racks > 0).then(|| format!("r{}", id % racks))))
        .collect()
}

fn apply(partitions: &[Partition], targets: &Targets) -> Vec<Partition> {
    let mut after = partitions.to_vec();
    for partition in &mut after {
        if let Some(replicas) = targets.get(&partition.at) {
            partition.replicas.clone_from(replicas);
        }
    }
    after
}

/// Copies that have to be made.
fn copies(partitions: &[Partition], targets: &Targets) -> usize {
    partitions
        .iter()
        .filter_map(|p| Some((p, targets.get(&p.at)?)))
        .map(|(p, to)| to.iter().filter(|id| !p.replicas.contains(id)).count())
        .sum()
}

fn extremes(counts: impl Iterator<Item = usize> + Clone) -> usize {
    counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
}

#[test]
fn a_drain_moves_only_what_is_there_and_keeps_places() {
    let partitions = [
        partition("a", 0, &[3, 1, 2]),
        partition("a", 1, &[1, 2, 0]),
        partition("a", 2, &[2, 3, 4]),
    ];
    let targets = drain(&partitions, &brokers(0..5, 0), &[3, 4].into()).unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[&at("a", 0)], [0, 1, 2]);
    assert_eq!(targets[&at("a", 2)][0], 2);
    let too_few = drain(&partitions, &brokers(1..5, 0), &[3, 4].into()).unwrap_err();
    assert_eq!((too_few.factor, too_few.brokers), (3, 2));
}

#[test]
fn what_is_on_its_way_to_a_drained_broker_is_turned() {
    let moving = Partition {
        moves: true,
        ..partition("a", 0, &[0, 3])
    };
    let targets = drain(&[moving], &brokers(0..4, 0), &[3].into()).unwrap();
    assert_eq!(targets[&at("a", 0)], [0, 1]);
}

#[test]
fn factors_grow_into_other_racks_and_shrink_out_of_shared_ones() {
    let all = [partition("a", 0, &[0]), partition("a", 1, &[1])];
    let racks = brokers(0..4, 2);
    let more = with_factor(&all, &all, &racks, 2).unwrap();
    assert_eq!(more[&at("a", 0)], [0, 3]);
    assert_eq!(more[&at("a", 1)], [1, 2]);
    let three = [partition("a", 0, &[0, 2, 1])];
    let fewer = with_factor(&three, &three, &racks, 2).unwrap();
    assert_eq!(fewer[&at("a", 0)], [0, 1]);
    assert!(with_factor(&all, &all, &racks, 5).is_err());
}

fn all_of(partitions: &[Partition], brokers: &Brokers) -> Targets {
    spread(partitions, brokers, usize::MAX).all
}

/// Partitions of some topics over brokers 0..count, placed at random.
fn scattered() -> impl Strategy<Value = (Vec<Partition>, i32, i32)> {
    (3i32..8, 0i32..4)
        .prop_flat_map(|(count, racks)| {
            let one = (
                0usize..4,
                Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
            );
            (prop::collection::vec(one, 1..40), Just(count), Just(racks))
        })
        .prop_map(|(all, count, racks)| {
            let partitions = all
                .into_iter()
                .enumerate()
                .map(|(number, (topic, ids))| {
                    // A factor belongs to a topic.
                    let factor = 1 + topic % 3;
                    partition(&format!("t{topic}"), number as i32, &ids[..factor])
                })
                .collect();
            (partitions, count, racks)
        })
}

fn sound(before: &[Partition], after: &[Partition]) {
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before.replicas.len(), after.replicas.len(), "{after:?}");
        let unique: BTreeSet<i32> = after.replicas.iter().copied().collect();
        assert_eq!(unique.len(), after.replicas.len(), "{after:?}");
    }
}

proptest! {
    #[test]
    fn drains_keep_factors_empty_the_brokers_and_move_nothing_else(
        (partitions, count, racks) in scattered(), gone in prop::collection::btree_set(0i32..8, 1..3)
    ) {
        let all = brokers(0..count, racks);
        let Ok(targets) = drain(&partitions, &all, &gone) else {
            let stay = (0..count).filter(|id| !gone.contains(id)).count();
            prop_assert!(partitions.iter().any(|p| p.replicas.len() > stay));
            return Ok(());
        };
        let after = apply(&partitions, &targets);
        sound(&partitions, &after);
        for (before, after) in partitions.iter().zip(&after) {
            prop_assert!(after.replicas.iter().all(|id| !gone.contains(id)));
            for (from, to) in before.replicas.iter().zip(&after.replicas) {
                prop_assert!(from == to || gone.contains(from));
            }
            // As many racks as those that stay allow.
            let stay: Brokers = all.iter().filter(|(id, _)| !gone.contains(id)).map(|(id, r)| (*id, r.clone())).collect();
            let kept: Vec<i32> = before.replicas.iter().copied().filter(|id| !gone.contains(id)).collect();
            let possible = racks_of(&all, &stay.keys().copied().collect::<Vec<_>>());
            let most = (racks_of(&all, &kept) + before.replicas.len() - kept.len()).min(possible);
            prop_assert_eq!(racks_of(&all, &after.replicas), most);
        }
        prop_assert_eq!(drain(&after, &all, &gone), Ok(Targets::new()));
    }

    #[test]
    fn spreading_is_even_and_ends((partitions, count, _) in scattered(), added in 0i32..4) {
        let all = brokers(0..count + added, 0);
        let targets = all_of(&partitions, &all);
        let after = apply(&partitions, &targets);
        sound(&partitions, &after);
        let counts = Counts::of(&after);
        for topic in ["t0", "t1", "t2", "t3"] {
            prop_assert!(extremes(all.keys().map(|id| counts.of_topic(topic, *id))) <= 1, "{}", topic);
        }
        prop_assert!(extremes(all.keys().map(|id| counts.total(*id))) <= 1);
        prop_assert_eq!(all_of(&after, &all), Targets::new());
    }

    #[test]
    fn spreading_over_new_brokers_copies_little_else((partitions, count, _) in scattered(), added in 1i32..4) {
        let former = brokers(0..count, 0);
        let even = apply(&partitions, &all_of(&partitions, &former));
        let all = brokers(0..count + added, 0);
        let targets = all_of(&even, &all);
        let after = apply(&even, &targets);
        let counts = Counts::of(&after);
        let arrived: usize = (count..count + added).map(|id| counts.total(id)).sum();
        // Topics are kept even one by one, which may cost a move of each among those that were there.
        prop_assert!(copies(&even, &targets) <= arrived + 4, "{} > {}", copies(&even, &targets), arrived);
    }

    #[test]
    fn racks_are_never_fewer_than_possible((partitions, count, racks) in scattered()) {
        let all = brokers(0..count, racks);
        let targets = all_of(&partitions, &all);
        let after = apply(&partitions, &targets);
        sound(&partitions, &after);
        let possible = racks_of(&all, &(0..count).collect::<Vec<_>>());
        for partition in &after {
            prop_assert_eq!(racks_of(&all, &partition.replicas), partition.replicas.len().min(possible));
        }
        prop_assert_eq!(all_of(&after, &all), Targets::new());
    }

    #[test]
    fn what_moves_is_left_alone((partitions, count, racks) in scattered()) {
        let moving: Vec<Partition> = partitions.into_iter().map(|p| Partition { moves: true, ..p }).collect();
        prop_assert_eq!(all_of(&moving, &brokers(0..count + 2, racks)), Targets::new());
    }

    #[test]
    fn a_batch_may_be_carried_out_alone_and_the_rest_follows((partitions, count, racks) in scattered(), some in 1usize..6) {
        let all = brokers(0..count + 2, racks);
        let mut now = partitions.clone();
        let mut rounds = 0;
        loop {
            let targets: Targets = spread(&now, &all, some).first;
            if targets.is_empty() {
                break;
            }
            prop_assert!(targets.len() <= some);
            now = apply(&now, &targets);
            rounds += 1;
            prop_assert!(rounds < 400);
        }
        if racks == 0 {
            let counts = Counts::of(&now);
            prop_assert!(extremes(all.keys().map(|id| counts.total(*id))) <= 1);
        }
    }
}
