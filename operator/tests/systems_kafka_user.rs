//! Users of a real Kafka with secure listeners: who gets in, who may do what, and what is put back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod kafka_support;

use std::time::Duration;

use k8s_openapi::ByteString;
use kafka_support::{Data, SecureKafka, limits, login, topic, write};
use millrace_operator::pki::Authority;
use millrace_operator::remote::kafka::scram::Mechanism;
use millrace_operator::remote::kafka::{
    Access, Acl, AclOperation, AclPattern, AclPermission, AclResource, Credential, Isolation,
    KafkaAdmin, KafkaError, Quotas, ResponseError, TopicView,
};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::user::{News, Password, RemoteUser, UserChange, WantedUser, Why};

fn admin(data: &Data) -> KafkaAdmin {
    KafkaAdmin::connect(&Access::from_secret(data).unwrap(), limits()).unwrap()
}

fn rule(name: &str, operation: AclOperation) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: name.into(),
        pattern: AclPattern::Literal,
        operation,
        host: "*".into(),
        permission: AclPermission::Allow,
    }
}

fn wanted(password: &str, iterations: u32, news: Option<News>) -> WantedUser {
    WantedUser {
        name: "alice".into(),
        password: Password {
            text: password.into(),
            iterations,
            rotated_for: None,
            news,
        },
        acls: [rule("alerts", AclOperation::Write)].into(),
        quotas: Quotas::from([
            ("producer_byte_rate".into(), 1_048_576.0),
            ("request_percentage".into(), 12.5),
        ]),
    }
}

/// Brings the user about and gives the changes that were made.
async fn make(admin: &KafkaAdmin, wanted: &WantedUser) -> Vec<UserChange> {
    converge(&RemoteUser { admin, wanted }).await.unwrap().made
}

#[tokio::test]
#[ignore = "systems tier"]
async fn users_get_in_by_their_password_and_do_what_rules_let() {
    let Some(kafka) = SecureKafka::start("ns", 26) else {
        return;
    };
    // A topic is made over TLS in both directions, by the operator's own Secret.
    let admin = admin(&kafka.admin);
    let (alerts, other) = (
        topic(&admin, "alerts", Duration::from_secs(10)).await,
        topic(&admin, "other", Duration::from_secs(10)).await,
    );
    certificates_are_told_apart(&kafka).await;

    let alice = |password: &str| login(&kafka.binding, "alice", password);
    let denied = |answer| matches!(answer, Err(KafkaError::Login { .. }));
    assert!(denied(write(&alice("one"), &alerts).await));
    let first = wanted("one", 8200, Some(News::First));
    assert_eq!(make(&admin, &first).await.len(), 4);
    assert_eq!(write(&alice("one"), &alerts).await.unwrap(), None);
    let refused = Some(ResponseError::TopicAuthorizationFailed);
    assert_eq!(write(&alice("one"), &other).await.unwrap(), refused);
    assert!(denied(write(&alice("two"), &alerts).await));
    let quotas = admin.quotas("alice").await.unwrap();
    assert_eq!(quotas, first.quotas);
    let settled = wanted("one", 8200, None);
    assert_eq!(make(&admin, &settled).await, []);

    // Another password lets in, and the former one no more.
    make(&admin, &wanted("two", 8300, Some(News::Rotation))).await;
    assert_eq!(write(&alice("two"), &alerts).await.unwrap(), None);
    assert!(denied(write(&alice("one"), &alerts).await));

    drift_is_put_back(&admin, &wanted("two", 8300, None)).await;
    assert_eq!(write(&alice("two"), &alerts).await.unwrap(), None);
    assert_eq!(write(&alice("two"), &other).await.unwrap(), refused);

    let outside = login(&kafka.outside, "alice", "two");
    clients_come_in_from_outside(&outside, &admin, &alerts).await;
}

/// By the external listener a record is written, and read from the address that the broker tells there.
async fn clients_come_in_from_outside(outside: &Access, admin: &KafkaAdmin, alerts: &TopicView) {
    let read = rule("alerts", AclOperation::Read);
    admin.add_acls("User:alice", &[read]).await.unwrap();
    let client = KafkaAdmin::connect(outside, limits()).unwrap();
    let ends = client.end_offsets("alerts", Isolation::ReadUncommitted);
    let ends = ends.await.unwrap();
    assert_eq!(write(outside, alerts).await.unwrap(), None);
    let brokers = client.cluster().await.unwrap().brokers;
    let told: Vec<_> = brokers.values().map(|broker| &broker.address).collect();
    assert!(
        told.iter().all(|address| address.ends_with(":9095")),
        "{told:?}"
    );
    let mut tries = 0;
    let found = loop {
        match client.waiting("alerts", &ends).await {
            Ok(found) if !found.is_empty() => break found,
            // The new rule comes to the broker, and what was written to its readers, a moment later.
            told => assert!(tries < 100, "{:?}", told.err()),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(found[&0].offset, ends[&0]);
}

async fn certificates_are_told_apart(kafka: &SecureKafka) {
    let with = |key: &str, value: Option<String>| {
        let mut data = kafka.admin.clone();
        match value {
            Some(value) => drop(data.insert(key.into(), ByteString(value.into_bytes()))),
            None => drop(data.remove(key)),
        }
        data
    };
    let stranger = Authority::make("stranger", jiff::Timestamp::now()).unwrap();
    let distrusted = admin(&with("certificates", Some(stranger.certificate)));
    let error = distrusted.cluster().await.unwrap_err();
    let by_us = matches!(
        error,
        KafkaError::Tls {
            by_broker: false,
            ..
        }
    );
    assert!(
        by_us && error.to_string().contains("certificates"),
        "{error}"
    );
    let mut without = with("client-certificate", None);
    without.remove("private-key");
    let error = admin(&without).cluster().await.unwrap_err();
    assert!(
        matches!(
            error,
            KafkaError::Tls {
                by_broker: true,
                ..
            }
        ),
        "{error}"
    );
}

async fn drift_is_put_back(admin: &KafkaAdmin, wanted: &WantedUser) {
    let (own, foreign) = (
        rule("alerts", AclOperation::Write),
        rule("other", AclOperation::Write),
    );
    admin
        .remove_acls("User:alice", std::slice::from_ref(&own))
        .await
        .unwrap();
    admin
        .add_acls("User:alice", std::slice::from_ref(&foreign))
        .await
        .unwrap();
    let changes = [
        ("producer_byte_rate".to_owned(), Some(5.0)),
        ("consumer_byte_rate".to_owned(), Some(6.0)),
        ("request_percentage".to_owned(), None),
    ];
    admin.change_quotas("alice", &changes.into()).await.unwrap();
    for mechanism in [Mechanism::Sha256, Mechanism::Sha512] {
        let credential = Credential {
            mechanism,
            iterations: 4096,
        };
        admin.set_password("alice", credential, "x").await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let made = make(admin, wanted).await;
    let user = || "alice".to_owned();
    for change in [
        UserChange::AddAcl {
            user: user(),
            acl: own.clone(),
        },
        UserChange::RemoveAcl {
            user: user(),
            acl: foreign,
        },
        UserChange::UnsetQuota {
            user: user(),
            key: "consumer_byte_rate".into(),
            from: 6.0,
        },
        UserChange::SetPassword {
            user: user(),
            why: Why::Foreign,
        },
        UserChange::RemovePassword {
            user: user(),
            mechanism: Mechanism::Sha256,
        },
    ] {
        assert!(made.contains(&change), "{change}: {made:?}");
    }
    assert_eq!(admin.acls("User:alice").await.unwrap(), [own].into());
    assert_eq!(admin.quotas("alice").await.unwrap(), wanted.quotas);
    assert_eq!(admin.credentials("alice").await.unwrap().len(), 1);
    assert_eq!(make(admin, wanted).await, []);
}
