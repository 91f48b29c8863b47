//! The users of a platform's Kafka: one for each job, which may do what docs/security.md says of it. Pure.

use millrace_contract::topics;

use super::kafka::kafka_name;
use super::offers::OFFERS_GROUP;
use super::{meta, part, whisk};
use crate::platform::validate::{ValidatedArchive, ValidatedPlatform};
use crate::user::crd::{
    AclRule, DeletionPolicy, KafkaUser, KafkaUserSpec, Operation, PatternType, Permission,
    ResourceType,
};

/// The group under whose name readers of whole topics ask; nobody ever joins it.
const READER_GROUP: &str = "millrace-reader";
/// Detect's own group, from which its transactional ids are named too.
const DETECT_GROUP: &str = "detect";

/// A job of the platform, as Kafka knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum User {
    /// The gateway.
    Gateway,
    /// Detect.
    Detect,
    /// Every dispatch of the warnings.
    Dispatch,
    /// The archive.
    Archive,
    /// What writes documents.
    Materialize,
    /// Controller and invokers of an Apache OpenWhisk.
    OpenWhisk,
    /// What Druid takes in.
    Druid,
}

impl User {
    /// Name of its KafkaUser.
    pub(super) fn name(self, platform: &ValidatedPlatform) -> String {
        part(platform, self.part())
    }

    fn part(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Detect => "detect",
            Self::Dispatch => "dispatch",
            Self::Archive => "archive",
            Self::Materialize => "materialize",
            Self::OpenWhisk => "whisk",
            Self::Druid => "druid",
        }
    }
}

/// The users of the jobs that are wanted; none where Kafka lets everybody in.
pub(super) fn users(platform: &ValidatedPlatform) -> Vec<KafkaUser> {
    if !platform.has_users() {
        return Vec::new();
    }
    let wanted = [
        (User::Gateway, platform.gateway.is_some()),
        (User::Detect, platform.detect.is_some()),
        (
            User::Dispatch,
            platform.warnings.is_some() || platform.offers.is_some(),
        ),
        (User::Archive, platform.archive.is_some()),
        (User::Materialize, platform.materialize.is_some()),
        (User::OpenWhisk, whisk::has_invokers(platform)),
        (User::Druid, platform.druid.is_some()),
    ];
    wanted
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(user, _)| KafkaUser {
            metadata: meta(platform, user.part()),
            spec: KafkaUserSpec {
                kafka: kafka_name(platform),
                user_name: None,
                authentication: None,
                acls: rules(platform, user),
                quotas: None,
                deletion_policy: DeletionPolicy::Delete,
                paused: false,
            },
            status: None,
        })
        .collect()
}

fn rules(platform: &ValidatedPlatform, user: User) -> Vec<AclRule> {
    use Operation::{Create, Describe, Read, Write};
    let mut rules = vec![group(READER_GROUP, &[Read])];
    match user {
        User::Gateway => {
            for name in [
                topics::TELEMETRY,
                topics::VEHICLE_EVENTS,
                topics::ALERTS,
                topics::DEAD_LETTERS,
                topics::NOTIFICATIONS,
                topics::NOTIFIED,
                topics::VEHICLE_CREDENTIALS,
                topics::VEHICLE_SESSIONS,
                topics::HIRES,
                topics::DRIVERS,
                topics::HIRE_SCORES,
                topics::OFFERS,
                topics::AUDIT,
            ] {
                rules.push(topic(name, &[Read, Write]));
            }
            // How far they are is what it tells of the flow, and what an erasure waits for: archives of a user's own, too.
            rules.push(group("*", &[Describe]));
        }
        User::Detect => {
            rules.push(topic(topics::TELEMETRY, &[Read]));
            rules.push(topic(topics::DETECT_STATE, &[Read, Write]));
            rules.push(topic(topics::ALERTS, &[Write]));
            rules.push(topic(topics::DEAD_LETTERS, &[Write]));
            rules.push(group(DETECT_GROUP, &[Read]));
            rules.push(AclRule {
                pattern_type: PatternType::Prefix,
                ..rule(
                    ResourceType::TransactionalId,
                    &format!("{DETECT_GROUP}-"),
                    &[Write],
                )
            });
        }
        User::Dispatch => {
            rules.push(topic(topics::ALERTS, &[Read]));
            if platform.offers.is_some() {
                rules.push(topic(topics::HIRE_SCORES, &[Read]));
                rules.push(group(OFFERS_GROUP, &[Read]));
            }
            rules.push(topic(topics::DEAD_LETTERS, &[Write]));
            rules.extend(groups(platform).map(|name| group(name, &[Read])));
        }
        User::Materialize => {
            for name in [
                topics::TELEMETRY,
                topics::ALERTS,
                topics::NOTIFIED,
                topics::HIRES,
                topics::DRIVERS,
            ] {
                rules.push(topic(name, &[Read]));
            }
            rules.push(topic(topics::DEAD_LETTERS, &[Write]));
            rules.push(AclRule {
                pattern_type: PatternType::Prefix,
                ..group("materialize-", &[Read])
            });
        }
        User::OpenWhisk => {
            // It makes its topics itself, and its groups have their names.
            let own = format!("{}-", part(platform, "whisk"));
            let prefixed = |rule: AclRule| AclRule {
                pattern_type: PatternType::Prefix,
                ..rule
            };
            rules.push(prefixed(topic(&own, &[Read, Write, Create, Describe])));
            rules.push(prefixed(group(&own, &[Read])));
        }
        User::Druid => {
            rules.extend([topics::TELEMETRY, topics::ALERTS].map(|name| topic(name, &[Read])));
            rules.push(AclRule {
                pattern_type: PatternType::Prefix,
                ..group("druid-", &[Read])
            });
        }
        User::Archive => {
            if let Some(ValidatedArchive { config, .. }) = &platform.archive {
                rules.push(topic(&config.topic, &[Read]));
                rules.push(group(&config.group, &[Read]));
                for (name, of) in super::analysts::archived(platform) {
                    rules.push(topic(name, &[Read]));
                    rules.push(group(&of, &[Read]));
                }
            }
        }
    }
    rules
}

fn groups(platform: &ValidatedPlatform) -> impl Iterator<Item = &'static str> {
    let warnings = platform.warnings.iter();
    let groups = warnings.flat_map(super::dispatch_groups);
    groups.map(|(name, _)| name)
}

fn topic(name: &str, operations: &[Operation]) -> AclRule {
    rule(ResourceType::Topic, name, operations)
}

fn group(name: &str, operations: &[Operation]) -> AclRule {
    rule(ResourceType::Group, name, operations)
}

fn rule(resource: ResourceType, name: &str, operations: &[Operation]) -> AclRule {
    AclRule {
        resource,
        name: Some(name.to_owned()),
        pattern_type: PatternType::Literal,
        operations: operations.to_vec(),
        host: "*".into(),
        permission: Permission::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::*;
    use serde_json::{Value, json};

    fn of(kafka: Value) -> ValidatedPlatform {
        let spec = json!({"kafka": kafka, "gateway": {}, "openwhisk": {}, "detect": {}, "warnings": {}, "hdfs": {}, "archive": {}, "mongo": {}, "materialize": {}, "druid": {}});
        validate(&platform(spec), live(None)).unwrap()
    }

    fn may(user: &KafkaUser, resource: ResourceType, name: &str, operation: Operation) -> bool {
        user.spec.acls.iter().any(|rule| {
            let known = rule.name.as_deref().unwrap_or_default();
            let named = match rule.pattern_type {
                PatternType::Literal => known == name,
                PatternType::Prefix => name.starts_with(known),
            };
            rule.resource == resource && named && rule.operations.contains(&operation)
        })
    }

    #[test]
    fn every_job_is_a_user_that_may_do_what_it_needs_and_no_more() {
        let users = users(&of(json!({"listeners": {"secure": {}}})));
        let names: Vec<_> = users
            .iter()
            .map(|u| u.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "p-gateway",
                "p-detect",
                "p-dispatch",
                "p-archive",
                "p-materialize",
                "p-druid"
            ]
        );
        let [gateway, detect, dispatch, archive, materialize, druid] = &users[..] else {
            panic!("{users:?}");
        };
        use Operation::{Describe, Read, Write};
        use ResourceType::{Group, Topic, TransactionalId};
        assert!(may(gateway, Topic, "telemetry", Write));
        assert!(may(gateway, Topic, "hires", Read) && may(gateway, Group, "*", Describe));
        assert!(!may(gateway, Group, "*", Read) && !may(gateway, Group, "archive", Read));
        assert!(!may(gateway, Topic, "detect-state", Read));
        assert!(may(detect, TransactionalId, "detect-p-detect-0", Write));
        assert!(!may(detect, Topic, "notifications", Write));
        assert!(may(dispatch, Group, "dispatch-warnings", Read));
        assert!(!may(dispatch, Topic, "telemetry", Read));
        assert!(!may(dispatch, Topic, "vehicle-credentials", Read));
        assert!(may(archive, Topic, "telemetry", Read) && may(archive, Group, "archive", Read));
        assert!(may(materialize, Topic, "notified", Read));
        assert!(may(materialize, Group, "materialize-alerts", Read));
        assert!(!may(materialize, Topic, "vehicle-credentials", Read));
        assert!(may(druid, Topic, "telemetry", Read) && may(druid, Group, "druid-alerts", Read));
        assert!(!may(druid, Topic, "telemetry", Write) && !may(druid, Topic, "drivers", Read));
        assert!(!may(archive, Topic, "telemetry", Write) && !may(archive, Topic, "alerts", Read));
    }

    #[test]
    fn nobody_logs_in_where_everybody_is_let_in() {
        assert!(users(&of(json!({}))).is_empty());
    }
}
