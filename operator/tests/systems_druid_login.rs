//! Ingestion into a real Druid from a real Kafka that lets its users in only, over TLS: the password is in a file of Druid's servers,
//! and stands in no supervisor; a new one is taken up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod druid_support;
mod kafka_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use druid_support::{bring_about, counted, event, store, until, wanted};
use kafka_support::{SecureKafka, limits, login, topic, write};
use millrace_contract::codec;
use millrace_operator::druid::KAFKA_SECRETS;
use millrace_operator::ingestion::{Source, Wanted};
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::ingestion::{IngestionChange, IngestionError, consumer};
use millrace_operator::remote::kafka::{
    Access, Acl, AclOperation, AclPattern, AclPermission, AclResource, Connection, Credentials,
    KafkaAdmin, KafkaError, TopicView,
};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::user::{News, Password, RemoteUser, WantedUser};
use millrace_testkit::Druid;

const EVENTS: usize = 300;
const USER: &str = "cars";
const FIRST: &str = "the-first-of-two-passwords";
const SECOND: &str = "the-second-of-two-passwords";

async fn send(way_in: &Access, topic: &TopicView, events: std::ops::Range<usize>) {
    let credentials = Credentials {
        tls: way_in.tls().unwrap(),
        login: way_in.login.clone(),
    };
    let opened = Connection::open(&way_in.bootstrap, &credentials, &limits()).await;
    let values = events.map(|n| codec::encode(&event(n)));
    store(&mut opened.unwrap(), topic, values).await;
}

/// The user with this password; it may do what docs/druid.md asks for, and no more.
async fn let_in(admin: &KafkaAdmin, password: &str, iterations: u32, news: News) {
    let rule = |resource, name: &str, pattern| Acl {
        resource,
        name: name.into(),
        pattern,
        operation: AclOperation::Read,
        host: "*".into(),
        permission: AclPermission::Allow,
    };
    let topic = rule(AclResource::Topic, "telemetry", AclPattern::Literal);
    let group = rule(AclResource::Group, "druid-", AclPattern::Prefixed);
    let wanted = WantedUser {
        name: USER.into(),
        password: Password {
            text: password.into(),
            iterations,
            rotated_for: None,
            news: Some(news),
        },
        acls: [topic, group].into(),
        quotas: BTreeMap::new(),
    };
    let remote = RemoteUser {
        admin,
        wanted: &wanted,
    };
    converge(&remote).await.unwrap();
}

/// What Kubernetes would mount: the Secret of the user as a directory.
fn mount(root: &Path, password: &str) {
    let directory = root.join("cars-kafka");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("password"), password).unwrap();
}

async fn is_refused(client: &DruidClient, asked: &Wanted) {
    let told = bring_about(client, asked).await.unwrap_err();
    assert!(matches!(told, IngestionError::Trial(_)), "{told:?}");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn records_of_a_kafka_that_asks_are_read_by_a_password_that_no_supervisor_shows() {
    let starting = std::thread::spawn(Druid::start);
    let Some(kafka) = SecureKafka::start("ns", 58) else {
        return;
    };
    let Some(druid) = starting.join().unwrap().unwrap() else {
        return;
    };
    let way_in = Access::from_secret(&kafka.admin).unwrap();
    let admin = KafkaAdmin::connect(&way_in, limits()).unwrap();
    let telemetry = topic(&admin, "telemetry", Duration::from_secs(60)).await;
    send(&way_in, &telemetry, 0..EVENTS).await;
    let_in(&admin, FIRST, 8200, News::First).await;

    let files = tempfile::tempdir().unwrap();
    // The listener that tells clients an address: the names of pods are known to nobody here.
    let access = login(&kafka.outside, USER, FIRST);
    let consumer = consumer(&access, "cars-kafka", "druid-telemetry");
    let here = files.path().display().to_string();
    let asked = Wanted {
        consumer: consumer
            .into_iter()
            .map(|(name, value)| (name, value.replace(KAFKA_SECRETS, &here)))
            .collect(),
        credentials: Some("1".into()),
        ..wanted(Source::Telemetry, "telemetry", &access.bootstrap)
    };
    let patience = Duration::from_secs(40);
    let client = DruidClient::new(&druid.coordinator(), &druid.broker(), patience).unwrap();

    // Neither without the file, nor with a password that is none of the user's.
    is_refused(&client, &asked).await;
    mount(files.path(), SECOND);
    is_refused(&client, &asked).await;
    assert!(client.supervisor("telemetry").await.unwrap().is_none());

    mount(files.path(), FIRST);
    let made = until(&druid, "a supervisor is taken", || async {
        bring_about(&client, &asked).await.ok()
    })
    .await;
    assert_eq!(made.len(), 3, "{made:?}");
    counted(&druid, &client, "telemetry", EVENTS).await;
    let shown = client.supervisor("telemetry").await.unwrap().unwrap();
    let shown = shown.spec.to_string();
    assert!(shown.contains(USER) && shown.contains("ScramLoginModule"));
    assert!(!shown.contains(FIRST), "{shown}");

    // A new password: until the file has it too, what runs goes on.
    let_in(&admin, SECOND, 8300, News::Rotation).await;
    let former = login(&kafka.outside, USER, FIRST);
    until(&druid, "the broker has heard of it", || async {
        let told = write(&former, &telemetry).await;
        matches!(told, Err(KafkaError::Login { .. })).then_some(())
    })
    .await;
    let changed = Wanted {
        credentials: Some("2".into()),
        ..asked.clone()
    };
    is_refused(&client, &changed).await;
    assert!(client.supervisor("telemetry").await.unwrap().is_some());
    mount(files.path(), SECOND);
    let made = until(&druid, "the new password is taken up", || async {
        bring_about(&client, &changed).await.ok()
    })
    .await;
    let name = "telemetry".to_owned();
    assert_eq!(made, [IngestionChange::Replace { name }]);
    send(&way_in, &telemetry, EVENTS..EVENTS + 100).await;
    counted(&druid, &client, "telemetry", EVENTS + 100).await;
}
