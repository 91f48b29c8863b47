use super::*;
use crate::remote::kafka::{AclOperation, AclPattern, AclPermission, AclResource};

fn acl(name: &str, operation: AclOperation) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: name.into(),
        pattern: AclPattern::Literal,
        operation,
        host: "*".into(),
        permission: AclPermission::Allow,
    }
}

fn wanted(news: Option<News>) -> WantedUser {
    WantedUser {
        name: "alice".into(),
        password: Password {
            text: "hidden".into(),
            iterations: 9000,
            rotated_for: None,
            news,
        },
        acls: BTreeSet::from([
            acl("alerts", AclOperation::Read),
            acl("alerts", AclOperation::Describe),
        ]),
        quotas: Quotas::from([("producer_byte_rate".into(), 1024.0)]),
    }
}

fn settled() -> ObservedUser {
    ObservedUser {
        credentials: vec![Credential {
            mechanism: Mechanism::Sha512,
            iterations: 9000,
        }],
        acls: wanted(None).acls,
        quotas: wanted(None).quotas,
    }
}

fn told(wanted: &WantedUser, observed: &ObservedUser) -> Vec<String> {
    let plan = diff(wanted, observed);
    plan.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_new_user_gets_rules_and_limits_before_the_password() {
    assert_eq!(
        told(&wanted(Some(News::First)), &ObservedUser::default()),
        [
            "user alice: add rule: allow Read on topic alerts",
            "user alice: add rule: allow Describe on topic alerts",
            "user alice: producer_byte_rate: (no limit) → 1024",
            "user alice: set the password: the first one",
        ]
    );
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    assert!(diff(&wanted(None), &settled()).is_settled());
}

#[test]
fn drift_is_put_back() {
    let mut drifted = settled();
    drifted.acls.remove(&acl("alerts", AclOperation::Read));
    drifted.acls.insert(acl("other", AclOperation::Write));
    drifted.quotas = Quotas::from([
        ("producer_byte_rate".into(), 5.0),
        ("consumer_byte_rate".into(), 7.5),
    ]);
    drifted.credentials = vec![
        Credential {
            mechanism: Mechanism::Sha256,
            iterations: 4096,
        },
        Credential {
            mechanism: Mechanism::Sha512,
            iterations: 4096,
        },
    ];
    assert_eq!(
        told(&wanted(None), &drifted),
        [
            "user alice: add rule: allow Read on topic alerts",
            "user alice: remove rule: allow Write on topic other",
            "user alice: producer_byte_rate: 5 → 1024",
            "user alice: consumer_byte_rate: 7.5 → (no limit)",
            "user alice: set the password: Kafka has one that is not of the Secret",
            "user alice: remove the password for SCRAM-SHA-256",
        ]
    );
}

#[test]
fn a_password_is_set_when_it_is_missing_or_new() {
    let mut gone = settled();
    gone.credentials.clear();
    assert_eq!(
        told(&wanted(None), &gone),
        ["user alice: set the password: Kafka has none"]
    );
    for (news, why) in [
        (News::Rotation, "a new one was asked for"),
        (News::Given, "the Secret that gives it holds another one"),
    ] {
        assert_eq!(
            told(&wanted(Some(news)), &settled()),
            [format!("user alice: set the password: {why}")]
        );
    }
}

#[test]
fn no_change_shows_the_password() {
    let plan = diff(&wanted(Some(News::First)), &ObservedUser::default());
    assert!(!format!("{plan} {plan:?}").contains("hidden"));
}
