//! Kafka administration against a real broker, with a restart in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kafka_support;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_support::write;
use millrace_operator::remote::kafka::{
    Access, ConfigChange, ConfigSource, Isolation, KafkaAdmin, NewTopic, Timeouts, lag,
};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::topic::{BoundSchema, Mover, RemoteTopic, WantedTopic, explain};
use millrace_operator::topic::crd::TopicSchema;
use millrace_testkit::Kafka;

fn limits() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(3),
        request: Duration::from_secs(10),
        call: Duration::from_secs(40),
    }
}

fn topic(name: &str, partitions: i32, config: &[(&str, &str)]) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        config: pairs(config),
    }
}

fn pairs(config: &[(&str, &str)]) -> BTreeMap<String, String> {
    config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn topic_settings(admin: &KafkaAdmin, name: &str) -> BTreeMap<String, String> {
    admin
        .topic_config(name)
        .await
        .unwrap()
        .into_iter()
        .filter(|(_, entry)| entry.source == ConfigSource::Topic)
        .filter_map(|(key, entry)| Some((key, entry.value?)))
        .collect()
}

/// Brokers learn of a change a moment after the controller has made it.
async fn settles<T: PartialEq + std::fmt::Debug>(wanted: T, mut look: impl AsyncFnMut() -> T) {
    for _ in 0..100 {
        if look().await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(look().await, wanted);
}

#[tokio::test]
#[ignore = "systems tier"]
async fn topics_live_and_change_and_survive_a_restart() {
    let Some(mut kafka) = Kafka::start().unwrap() else {
        return;
    };
    let admin = KafkaAdmin::new(&kafka.bootstrap(), limits()).unwrap();

    let cluster = admin.cluster().await.unwrap();
    assert_eq!(cluster.brokers.len(), 1);
    assert!(cluster.cluster_id.is_some() && cluster.controller.is_some());

    created_once(&admin).await;
    refusals_are_told_apart(&admin).await;
    settings_change_one_by_one(&admin).await;

    // The broker goes away under open connections.
    kafka.restart().unwrap();
    assert_eq!(
        admin
            .topic("telemetry")
            .await
            .unwrap()
            .unwrap()
            .partitions
            .len(),
        3
    );
    admin.grow_topic("telemetry", 6).await.unwrap();
    settles(6, async || {
        admin
            .topic("telemetry")
            .await
            .unwrap()
            .map_or(0, |t| t.partitions.len())
    })
    .await;
    let too_few = admin.grow_topic("telemetry", 2).await.unwrap_err();
    assert!(too_few.is_invalid_request(), "{too_few}");

    positions(&admin).await;
    the_pipeline_corrects_drift(&admin).await;
    records_bind_a_topic_to_its_schema(&admin, &Access::plain(&kafka.bootstrap())).await;

    admin.delete_topic("telemetry").await.unwrap();
    settles(None, async || admin.topic("telemetry").await.unwrap()).await;
    assert!(
        admin
            .delete_topic("telemetry")
            .await
            .unwrap_err()
            .is_unknown_topic()
    );
    assert!(
        admin
            .topic_config("telemetry")
            .await
            .unwrap_err()
            .is_unknown_topic()
    );
}

async fn created_once(admin: &KafkaAdmin) {
    let wanted = topic("telemetry", 3, &[("retention.ms", "3600000")]);
    admin.validate_topic(&wanted).await.unwrap();
    assert!(admin.topic("telemetry").await.unwrap().is_none());
    let id = admin.create_topic(&wanted).await.unwrap();
    assert!(!id.is_nil());
    settles(Some(id), async || {
        admin.topic("telemetry").await.unwrap().map(|t| t.id)
    })
    .await;
    let seen = admin.topic("telemetry").await.unwrap().unwrap();
    assert_eq!((seen.partitions.len(), seen.replication_factor()), (3, 1));

    let again = admin.create_topic(&wanted).await.unwrap_err();
    assert!(again.is_already_exists(), "{again}");
    assert!(
        again
            .to_string()
            .starts_with("Kafka refused to create topic telemetry: TopicAlreadyExists"),
        "{again}"
    );
}

async fn refusals_are_told_apart(admin: &KafkaAdmin) {
    let many_replicas = NewTopic {
        replication_factor: 3,
        ..topic("three", 1, &[])
    };
    for (wrong, in_words) in [
        (many_replicas, "InvalidReplicationFactor"),
        (topic("bad name", 1, &[]), "InvalidTopicException"),
        (topic("zero", 0, &[]), "InvalidPartitions"),
        (
            topic("odd", 1, &[("no.such.setting", "1")]),
            "InvalidConfig",
        ),
    ] {
        let error = admin.create_topic(&wrong).await.unwrap_err();
        assert!(error.is_invalid_request(), "{error}");
        assert!(error.to_string().contains(in_words), "{error}");
        assert!(
            admin.topic(&wrong.name).await.is_ok_and(|t| t.is_none()) || wrong.name.contains(' ')
        );
    }
}

async fn settings_change_one_by_one(admin: &KafkaAdmin) {
    let set = |key: &str, value: &str| ConfigChange::Set(key.to_owned(), value.to_owned());
    let first = [
        set("segment.ms", "600000"),
        set("cleanup.policy", "compact, delete"),
    ];
    admin
        .change_topic_config("telemetry", &first)
        .await
        .unwrap();
    // What was not named keeps its value.
    settles(
        pairs(&[
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "3600000"),
            ("segment.ms", "600000"),
        ]),
        async || topic_settings(admin, "telemetry").await,
    )
    .await;
    let second = [
        ConfigChange::Unset("segment.ms".to_owned()),
        set("retention.ms", "7200000"),
    ];
    admin
        .change_topic_config("telemetry", &second)
        .await
        .unwrap();
    settles(
        pairs(&[
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "7200000"),
        ]),
        async || topic_settings(admin, "telemetry").await,
    )
    .await;
    let wrong = admin
        .change_topic_config("telemetry", &[set("retention.ms", "soon")])
        .await
        .unwrap_err();
    assert!(wrong.is_invalid_request(), "{wrong}");
    assert!(wrong.to_string().contains("retention.ms"), "{wrong}");
}

async fn positions(admin: &KafkaAdmin) {
    let ends = admin
        .end_offsets("telemetry", Isolation::ReadCommitted)
        .await
        .unwrap();
    assert_eq!(ends, (0..6).map(|partition| (partition, 0)).collect());
    // Asking makes the coordinator appear: its topic is created by the first question.
    let committed = admin.group_offsets("detect", "telemetry").await.unwrap();
    assert!(committed.is_empty());
    assert_eq!(lag(&ends, &committed), 0);
    let missing = admin
        .group_offsets("detect", "no-such-topic")
        .await
        .unwrap_err();
    assert!(missing.is_unknown_topic(), "{missing}");
}

fn remote<'a>(admin: &'a KafkaAdmin, wanted: &'a WantedTopic) -> RemoteTopic<'a> {
    RemoteTopic {
        admin,
        wanted,
        mover: Mover::Topic,
    }
}

async fn the_pipeline_corrects_drift(admin: &KafkaAdmin) {
    let mut wanted = WantedTopic {
        name: "detect-state".to_owned(),
        partitions: 2,
        replication_factor: 1,
        config: pairs(&[
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.10"),
        ]),
        managed: Default::default(),
        rebind: None,
    };
    let made = |outcome: Vec<_>| outcome.iter().map(ToString::to_string).collect::<Vec<_>>();
    let first = converge(&remote(admin, &wanted)).await.unwrap();
    assert_eq!(
        made(first.made),
        [
            "create topic detect-state with 2 partitions and 1 replica, cleanup.policy=compact min.cleanable.dirty.ratio=0.10"
        ]
    );
    assert_eq!(first.observed.unwrap().view.partitions.len(), 2);
    // Settings arrive at the broker that is asked together with the topic.
    settles(Vec::<String>::new(), async || {
        made(converge(&remote(admin, &wanted)).await.unwrap().made)
    })
    .await;

    // Somebody changes ours and adds his own.
    let foreign = [
        ConfigChange::Set("cleanup.policy".to_owned(), "delete".to_owned()),
        ConfigChange::Set("segment.ms".to_owned(), "600000".to_owned()),
    ];
    admin
        .change_topic_config("detect-state", &foreign)
        .await
        .unwrap();
    settles(Some("delete".to_owned()), async || {
        topic_settings(admin, "detect-state")
            .await
            .remove("cleanup.policy")
    })
    .await;
    wanted.managed = wanted.config.keys().cloned().collect();
    wanted.config.remove("min.cleanable.dirty.ratio");
    wanted.partitions = 4;
    let second = converge(&remote(admin, &wanted)).await.unwrap();
    assert_eq!(
        made(second.made),
        [
            "topic detect-state: add partitions, 2 → 4 (new records of a key may land in another partition)",
            "topic detect-state: cleanup.policy: delete → compact",
            "topic detect-state: min.cleanable.dirty.ratio: 0.1 → (default)",
        ]
    );
    assert_eq!(second.observed.unwrap().view.partitions.len(), 4);
    settles(
        pairs(&[("cleanup.policy", "compact"), ("segment.ms", "600000")]),
        async || topic_settings(admin, "detect-state").await,
    )
    .await;

    wanted
        .config
        .insert("retention.ms".to_owned(), "soon".to_owned());
    let error = converge(&remote(admin, &wanted)).await.unwrap_err();
    let told = explain(&error, &wanted).unwrap().to_string();
    assert!(
        told.starts_with("spec.config.retention.ms: soon: Kafka says: "),
        "{told}"
    );
}

/// A topic is bound to another schema while it holds no records, and not afterwards.
async fn records_bind_a_topic_to_its_schema(admin: &KafkaAdmin, access: &Access) {
    let wanted = WantedTopic {
        name: "bound".to_owned(),
        partitions: 1,
        replication_factor: 1,
        config: BTreeMap::new(),
        managed: Default::default(),
        rebind: Some((
            BoundSchema::current(TopicSchema::Alert),
            BoundSchema::current(TopicSchema::Audit),
        )),
    };
    let remote = remote(admin, &wanted);
    converge(&remote).await.unwrap();
    let empty = converge(&remote).await.unwrap();
    assert!(empty.refused.is_empty(), "{:?}", empty.refused);
    assert_eq!(
        empty.made[0].to_string(),
        "topic bound: schema: alert → audit"
    );
    let view = empty.observed.unwrap().view;
    assert_eq!(write(access, &view).await.unwrap(), None);
    let held = converge(&remote).await.unwrap();
    assert!(held.made.is_empty(), "{:?}", held.made);
    assert_eq!(held.refused[0].field, "spec.schema");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_broker_that_is_away_is_named_and_waited_for() {
    let Some(mut kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    kafka.stop();
    let hasty = KafkaAdmin::new(
        &bootstrap,
        Timeouts {
            call: Duration::from_millis(500),
            ..limits()
        },
    )
    .unwrap();
    let error = hasty.topics().await.unwrap_err();
    assert!(error.is_retriable());
    assert_eq!(
        error.to_string(),
        format!("cannot connect to Kafka at {bootstrap}: Connection refused (os error 111)")
    );
    let patient = KafkaAdmin::new(
        &bootstrap,
        Timeouts {
            call: Duration::from_secs(120),
            ..limits()
        },
    )
    .unwrap();
    let asking = tokio::spawn(async move { patient.topics().await });
    // The broker has to live until the question is answered.
    let _kafka = tokio::task::spawn_blocking(move || {
        kafka.start_again().unwrap();
        kafka
    })
    .await
    .unwrap();
    asking.await.unwrap().unwrap();
}
