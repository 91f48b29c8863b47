use super::*;
use crate::remote::kafka::PartitionView;
use proptest::prelude::*;

fn wanted() -> WantedTopic {
    WantedTopic {
        name: "alerts".to_owned(),
        partitions: 6,
        replication_factor: 1,
        config: BTreeMap::from([
            ("cleanup.policy".to_owned(), "compact, delete".to_owned()),
            ("retention.ms".to_owned(), "1000".to_owned()),
        ]),
        managed: BTreeSet::new(),
        rebind: None,
    }
}

fn observed(
    partitions: i32,
    replicas: i32,
    config: &[(&str, &str, ConfigSource)],
) -> ObservedTopic {
    ObservedTopic {
        view: TopicView {
            name: "alerts".to_owned(),
            id: uuid::Uuid::nil(),
            internal: false,
            partitions: (0..partitions)
                .map(|index| PartitionView {
                    index,
                    leader: Some(0),
                    replicas: (0..replicas).collect(),
                    in_sync: vec![0],
                })
                .collect(),
        },
        config: config
            .iter()
            .map(|(key, value, source)| {
                let entry = ConfigEntry {
                    value: Some((*value).to_owned()),
                    source: *source,
                };
                ((*key).to_owned(), entry)
            })
            .collect(),
        copies: [replicas].into(),
        holds_records: true,
    }
}

const AS_WANTED: [(&str, &str, ConfigSource); 2] = [
    ("cleanup.policy", "compact,delete", ConfigSource::Topic),
    ("retention.ms", "1000", ConfigSource::Topic),
];

#[test]
fn a_missing_topic_is_created_with_its_settings() {
    assert_eq!(
        diff(&wanted(), None).to_string(),
        "create topic alerts with 6 partitions and 1 replica, cleanup.policy=compact, delete retention.ms=1000"
    );
}

#[test]
fn a_topic_as_asked_for_needs_nothing() {
    assert!(diff(&wanted(), Some(&observed(6, 1, &AS_WANTED))).is_settled());
}

#[test]
fn partitions_grow_and_settings_are_set_one_by_one() {
    let now = observed(
        3,
        1,
        &[
            ("cleanup.policy", "delete", ConfigSource::Topic),
            ("retention.ms", "1000", ConfigSource::Default),
            ("segment.ms", "7", ConfigSource::Topic),
        ],
    );
    let plan = diff(&wanted(), Some(&now));
    assert_eq!(
        plan.to_string(),
        "topic alerts: add partitions, 3 → 6 (new records of a key may land in another partition)\n\
         topic alerts: cleanup.policy: delete → compact, delete\n\
         topic alerts: retention.ms: (default) → 1000"
    );
}

#[test]
fn only_what_was_ours_is_unset() {
    let mut wanted = wanted();
    wanted.managed = ["retention.ms", "segment.ms", "flush.ms"]
        .map(String::from)
        .into();
    let mut config = AS_WANTED.to_vec();
    config.extend([
        ("segment.ms", "7", ConfigSource::Topic),
        ("flush.ms", "9", ConfigSource::Broker),
        ("max.message.bytes", "5", ConfigSource::Topic),
    ]);
    assert_eq!(
        diff(&wanted, Some(&observed(6, 1, &config))).to_string(),
        "topic alerts: segment.ms: 7 → (default)"
    );
}

#[test]
fn what_kafka_cannot_do_is_refused_with_a_cure_while_the_rest_is_done() {
    let mut config = AS_WANTED.to_vec();
    config[1].1 = "5";
    let plan = diff(&wanted(), Some(&observed(8, 3, &config)));
    assert_eq!(
        plan.to_string(),
        "topic alerts: retention.ms: 5 → 1000\n\
         topic alerts: copies of each partition, 3 → 1\n\
         refused: spec.partitions: 6: the topic has 8 partitions and Kafka cannot take any away; give 8 or more, or delete the topic and create it again"
    );
}

#[test]
fn a_topic_with_records_stays_bound_to_its_schema() {
    let mut wanted = wanted();
    let current = BoundSchema::current;
    wanted.rebind = Some((current(TopicSchema::Alert), current(TopicSchema::Audit)));
    let mut now = observed(6, 1, &AS_WANTED);
    assert_eq!(
        diff(&wanted, Some(&now)).to_string(),
        "refused: spec.schema: audit: the topic holds records of schema alert, which no reader of audit understands; put alert back, or make a KafkaTopic with another spec.topicName"
    );
    now.holds_records = false;
    assert_eq!(
        diff(&wanted, Some(&now)).to_string(),
        "topic alerts: schema: alert → audit"
    );
}

#[test]
fn a_topic_with_records_goes_back_to_no_former_version() {
    let mut wanted = wanted();
    let now_known = BoundSchema::current(TopicSchema::Alert);
    let later = BoundSchema {
        version: now_known.version.map(|version| version + 1),
        ..now_known.clone()
    };
    wanted.rebind = Some((later, now_known));
    let mut now = observed(6, 1, &AS_WANTED);
    let plan = diff(&wanted, Some(&now));
    assert!(plan.changes.is_empty(), "{plan}");
    assert_eq!(plan.refused[0].field, "spec.schema");
    // Of the same name: nothing changes that a Kafka could tell.
    now.holds_records = false;
    assert!(diff(&wanted, Some(&now)).is_settled());
}

#[test]
fn a_partition_that_has_another_number_of_copies_is_enough_to_change_them() {
    let mut now = observed(6, 1, &AS_WANTED);
    now.copies = [1, 3].into();
    assert_eq!(
        diff(&wanted(), Some(&now)).to_string(),
        "topic alerts: copies of each partition, 3 → 1"
    );
    // On its way counts as there.
    now.view.partitions[0].replicas = vec![0, 1, 2];
    now.copies = [1].into();
    assert!(diff(&wanted(), Some(&now)).is_settled());
}

#[test]
fn too_few_copies_for_writers_are_refused() {
    let mut config = AS_WANTED.to_vec();
    config.push(("min.insync.replicas", "2", ConfigSource::Broker));
    let plan = diff(&wanted(), Some(&observed(6, 3, &config)));
    assert_eq!(
        plan.to_string(),
        "refused: spec.replicationFactor: 1: min.insync.replicas is 2, so that nobody could write with acks=all; give 2 or more, or lower spec.config[min.insync.replicas] with it"
    );
    let mut lowered = wanted();
    lowered
        .config
        .insert("min.insync.replicas".to_owned(), "1".to_owned());
    let plan = diff(&lowered, Some(&observed(6, 3, &config)));
    assert!(plan.refused.is_empty(), "{plan}");
    assert_eq!(plan.changes.len(), 2);
}

#[test]
fn values_are_compared_as_kafka_reads_them() {
    for (one, other) in [
        ("true", "TRUE"),
        ("0.5", "0.50"),
        ("007", "7"),
        ("a, b", "a,b"),
    ] {
        assert!(same_value(one, other), "{one} {other}");
    }
    for (one, other) in [
        ("9223372036854775807", "9223372036854775806"),
        ("true", "1"),
        ("compact", "compact,delete"),
        ("lz4", "LZ4"),
    ] {
        assert!(!same_value(one, other), "{one} {other}");
    }
}

/// What Kafka would have after the changes.
fn after(observed: Option<ObservedTopic>, changes: &[TopicChange]) -> ObservedTopic {
    let mut topic = observed.unwrap_or_else(|| self::observed(0, 0, &[]));
    for change in changes {
        match change {
            TopicChange::Create(new) => {
                topic = self::observed(new.partitions, i32::from(new.replication_factor), &[]);
                for (key, value) in &new.config {
                    set(&mut topic, key, value);
                }
            }
            TopicChange::AddPartitions { to, .. } => {
                let config = std::mem::take(&mut topic.config);
                topic = self::observed(*to, topic.view.replication_factor(), &[]);
                topic.config = config;
            }
            TopicChange::SetReplicationFactor { to, .. } => {
                topic.copies = [*to].into();
            }
            TopicChange::SetConfig { key, to, .. } => set(&mut topic, key, to),
            TopicChange::UnsetConfig { key, .. } => {
                topic.config.remove(key);
            }
            TopicChange::Bind { .. } => {}
        }
    }
    topic
}

fn set(topic: &mut ObservedTopic, key: &str, value: &str) {
    let entry = ConfigEntry {
        value: Some(value.to_owned()),
        source: ConfigSource::Topic,
    };
    topic.config.insert(key.to_owned(), entry);
}

proptest! {
    #[test]
    fn one_round_is_enough(
        exists in any::<bool>(),
        has in 1..9i32,
        asked in 1..9i32,
        ours in proptest::collection::btree_map("[a-d]", "[0-9]{1,2}", 0..4),
        theirs in proptest::collection::btree_map("[a-f]", "[0-9]{1,2}", 0..6),
        managed in proptest::collection::btree_set("[a-f]", 0..6),
    ) {
        let wanted = WantedTopic {
            name: "alerts".to_owned(),
            partitions: asked,
            replication_factor: 1,
            config: ours,
            managed: managed.clone(),
            rebind: None,
        };
        let before = exists.then(|| {
            let mut topic = observed(has, 1, &[]);
            for (key, value) in &theirs {
                set(&mut topic, key, value);
            }
            topic
        });
        let plan = diff(&wanted, before.as_ref());
        let settled = after(before, &plan.changes);
        prop_assert!(diff(&wanted, Some(&settled)).changes.is_empty());
        // What was never ours is still there.
        for (key, value) in theirs.iter().filter(|_| exists) {
            if !managed.contains(key) && !wanted.config.contains_key(key) {
                prop_assert_eq!(settled.config[key].value.as_ref(), Some(value));
            }
        }
    }
}
