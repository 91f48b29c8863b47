use super::super::view::tests::{moving, view};
use super::*;

#[test]
fn what_is_copied_is_throttled_and_afterwards_nothing_is() {
    let mut view = view(&[(&[4, 0], &[4, 0]), (&[1, 2, 3], &[1, 2])]);
    view.reassignments = vec![moving(1, &[2, 3], &[3], &[1])];
    let batch: Targets = [(
        crate::remote::kafka::TopicPartition {
            topic: "t".into(),
            partition: 0,
        },
        vec![1, 0],
    )]
    .into();
    let wanted = throttled(&view, &batch);
    let topic = |settings: &[(&str, &str)]| -> TopicSettings {
        let entries = settings.iter().map(|(key, value)| {
            let entry = ConfigEntry {
                value: Some((*value).to_owned()),
                source: ConfigSource::Topic,
            };
            ((*key).to_owned(), entry)
        });
        [("t".to_owned(), entries.collect())].into()
    };
    let lists = [(LEADERS, "0:0,0:4,1:1,1:2"), (FOLLOWERS, "0:1,1:3")];
    let set = |(key, value): (&str, &str)| ConfigChange::Set(key.into(), value.into());
    assert_eq!(list_changes(&wanted, &topic(&[]))["t"], lists.map(set));
    assert!(list_changes(&wanted, &topic(&lists)).is_empty());
    let none = BTreeMap::new();
    assert_eq!(
        list_changes(&none, &topic(&lists))["t"],
        [LEADERS, FOLLOWERS].map(|key| ConfigChange::Unset(key.into()))
    );
    assert!(list_changes(&none, &topic(&[(LEADERS, "")])).is_empty());
}

#[test]
fn another_order_of_replicas_copies_nothing() {
    let view = view(&[(&[0, 1], &[0, 1])]);
    let batch: Targets = [(
        crate::remote::kafka::TopicPartition {
            topic: "t".into(),
            partition: 0,
        },
        vec![1, 0],
    )]
    .into();
    assert!(throttled(&view, &batch).is_empty());
}

#[test]
fn rates_are_set_adjusted_and_taken_away() {
    let entry = |value: &str| ConfigEntry {
        value: Some(value.into()),
        source: ConfigSource::Broker,
    };
    let set: BTreeMap<String, ConfigEntry> = [
        (LEADER_RATE.to_owned(), entry("7")),
        (FOLLOWER_RATE.to_owned(), entry("8")),
    ]
    .into();
    assert_eq!(rate_changes(Some(7), &BTreeMap::new()).len(), 2);
    assert_eq!(
        rate_changes(Some(7), &set),
        [ConfigChange::Set(FOLLOWER_RATE.into(), "7".into())]
    );
    assert_eq!(rate_changes(None, &set).len(), 2);
    assert!(rate_changes(None, &BTreeMap::new()).is_empty());
}
