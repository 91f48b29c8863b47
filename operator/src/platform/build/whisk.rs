//! OpenWhisk of a platform: on its own Kafka and MongoDB where it is that of Apache. Pure.

use super::kafka::{copies, external, kafka_name};
use super::users::User;
use super::{gateway_secret_name, gateway_url, meta, mongo, part};
use crate::openwhisk::crd::apache::{Apache, ApacheKafka, ApacheMongo, Controller, Invokers};
use crate::openwhisk::crd::{Mode, OpenWhisk, OpenWhiskSpec, WhiskAudit};
use crate::platform::crd::{PlatformMongo, PlatformOpenWhisk, PlatformWhiskMode};
use crate::platform::profile::or_profile;
use crate::platform::validate::{ACTIVATIONS_TOKEN, ValidatedPlatform};
use crate::types::{DeletionPolicy, KeyRef, Operation};

/// The OpenWhisk namespace of the platform's actions.
const NAMESPACE: &str = "millrace";
/// The database of an Apache OpenWhisk in the platform's MongoDB, and the user that may use it.
pub(super) const DATABASE: &str = "openwhisk";

/// Whether the platform's OpenWhisk is that of Apache.
pub(super) fn is_apache(platform: &ValidatedPlatform) -> bool {
    platform.openwhisk.as_ref().is_some_and(|openwhisk| {
        matches!(
            openwhisk.mode,
            Some(PlatformWhiskMode::Apache | PlatformWhiskMode::Lean)
        )
    })
}

/// Whether it has invokers, which need Kafka.
pub(super) fn has_invokers(platform: &ValidatedPlatform) -> bool {
    let openwhisk = platform.openwhisk.as_ref();
    openwhisk.is_some_and(|openwhisk| openwhisk.mode == Some(PlatformWhiskMode::Apache))
}

pub(super) fn whisk(platform: &ValidatedPlatform, openwhisk: &PlatformOpenWhisk) -> OpenWhisk {
    let mode = match (&openwhisk.external, openwhisk.mode.unwrap_or_default()) {
        (Some(_), _) => Mode::External,
        (None, PlatformWhiskMode::Embedded) => Mode::Embedded,
        (None, PlatformWhiskMode::Apache) => Mode::Apache,
        (None, PlatformWhiskMode::Lean) => Mode::Lean,
    };
    let apache = platform
        .mongo
        .as_ref()
        .filter(|_| matches!(mode, Mode::Apache | Mode::Lean))
        .map(|mongo| apache(platform, openwhisk, mongo));
    OpenWhisk {
        metadata: meta(platform, "whisk"),
        spec: OpenWhiskSpec {
            deletion_policy: DeletionPolicy::Retain,
            operation: Operation::default(),
            mode,
            binding_secret: openwhisk
                .external
                .as_ref()
                .map(|external| external.binding_secret.clone()),
            apache,
            image: openwhisk.image.clone(),
            namespace: NAMESPACE.into(),
            storage: openwhisk
                .storage
                .clone()
                .unwrap_or_else(|| platform.sizes.openwhisk_storage.clone()),
            storage_growth: openwhisk.storage_growth.clone(),
            resources: Some(or_profile(
                openwhisk.resources.as_ref(),
                &platform.sizes.openwhisk,
            )),
            audit: (openwhisk.audit_runs && mode == Mode::Embedded)
                .then(|| audit(platform))
                .flatten(),
            image_actions: openwhisk.image_actions.clone(),
            paused: false,
        },
        status: None,
    }
}

/// The platform's own gateway writes the topic.
fn audit(platform: &ValidatedPlatform) -> Option<WhiskAudit> {
    platform.gateway.as_ref()?;
    Some(WhiskAudit {
        gateway_url: gateway_url(platform),
        token_secret_ref: KeyRef {
            name: gateway_secret_name(&platform.owner.name),
            key: ACTIVATIONS_TOKEN.into(),
        },
    })
}

fn apache(
    platform: &ValidatedPlatform,
    openwhisk: &PlatformOpenWhisk,
    mongo: &PlatformMongo,
) -> Apache {
    let asked = openwhisk.apache.clone().unwrap_or_default();
    let users = mongo::has_users(platform, mongo);
    Apache {
        kafka: has_invokers(platform).then(|| kafka(platform)),
        mongo: match &mongo.external {
            // Whose database it may use, its own connection details say.
            Some(external) => ApacheMongo {
                cluster: None,
                user: None,
                binding_secret: Some(external.binding_secret.clone()),
                database: None,
            },
            None => ApacheMongo {
                cluster: Some(part(platform, "mongo")),
                user: users.then(|| DATABASE.to_owned()),
                binding_secret: None,
                database: Some(DATABASE.to_owned()),
            },
        },
        controller: Controller {
            image: asked.controller_image,
            ..Controller::default()
        },
        invokers: Invokers {
            replicas: asked.invokers.unwrap_or(platform.sizes.dispatch_replicas),
            image: asked.invoker_image,
            ..Invokers::default()
        },
        runtimes: asked.runtimes,
        throttles: Default::default(),
        config: Default::default(),
    }
}

fn kafka(platform: &ValidatedPlatform) -> ApacheKafka {
    let external = external(platform);
    let user = platform.has_users() && external.is_none();
    ApacheKafka {
        cluster: external.is_none().then(|| kafka_name(platform)),
        user: user.then(|| User::OpenWhisk.name(platform)),
        binding_secret: external.map(|external| external.binding_secret.clone()),
        replication_factor: copies(platform),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use crate::mongo::crd::{MongoCluster, Role};
    use crate::user::crd::KafkaUser;
    use serde_json::{Value, json};

    fn made(spec: Value) -> (OpenWhiskSpec, Option<MongoCluster>, Option<KafkaUser>) {
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        let whisk: OpenWhisk = resources.get("p-whisk").unwrap();
        (
            whisk.spec,
            resources.get("p-mongo"),
            resources.get("p-whisk"),
        )
    }

    #[test]
    fn that_of_apache_runs_on_the_platforms_own_parts() {
        let (embedded, mongo, _) = made(json!({"kafka": {}, "mongo": {}, "openwhisk": {}}));
        assert_eq!((embedded.mode, &embedded.apache), (Mode::Embedded, &None));
        assert!(mongo.unwrap().spec.users.is_empty());
        let (whisk, mongo, user) =
            made(json!({"kafka": {}, "mongo": {}, "openwhisk": {"mode": "apache"}}));
        assert_eq!(whisk.mode, Mode::Apache);
        let apache = whisk.apache.unwrap();
        assert_eq!(
            serde_json::to_value(apache.kafka).unwrap(),
            json!({"cluster": "p-kafka", "replicationFactor": 1})
        );
        assert_eq!(
            serde_json::to_value(apache.mongo).unwrap(),
            json!({"cluster": "p-mongo", "database": "openwhisk"})
        );
        // The engine of development knows no users.
        assert!(mongo.unwrap().spec.users.is_empty() && user.is_none());
    }

    #[test]
    fn the_gateway_is_told_what_ran_by_the_server_that_can() {
        let audit = |spec: Value| serde_json::to_value(made(spec).0.audit).unwrap();
        assert_eq!(
            audit(json!({"kafka": {}, "gateway": {}, "openwhisk": {"auditRuns": true}})),
            json!({"gatewayUrl": "http://p-gateway-internal.ns.svc:8080",
                "tokenSecretRef": {"name": "p-gateway", "key": "activations-token"}})
        );
        let by_default = json!({"kafka": {}, "gateway": {}, "openwhisk": {}});
        assert_eq!(audit(by_default), Value::Null);
    }

    #[test]
    fn where_there_are_users_it_is_one() {
        let spec = json!({"profile": "standard", "kafka": {"listeners": {"secure": {}}}, "mongo": {},
            "openwhisk": {"mode": "apache", "apache": {"invokers": 5, "invokerImage": "i:1"}}});
        let (whisk, mongo, user) = made(spec);
        let apache = whisk.apache.unwrap();
        assert_eq!(apache.kafka.unwrap().user.as_deref(), Some("p-whisk"));
        assert_eq!(apache.mongo.user.as_deref(), Some("openwhisk"));
        assert_eq!(
            (apache.invokers.replicas, apache.invokers.image.as_deref()),
            (5, Some("i:1"))
        );
        let users = mongo.unwrap().spec.users;
        assert_eq!(users[0].name, "openwhisk");
        assert_eq!(users[0].roles[0].database, "openwhisk");
        assert_eq!(users[0].roles[0].role, Role::ReadWrite);
        let acls = user.unwrap().spec.acls;
        // Nothing but what begins with its own name, and the group of readers.
        let foreign = acls
            .iter()
            .filter(|rule| rule.name.as_deref() != Some("p-whisk-"));
        assert_eq!(foreign.count(), 1, "{acls:?}");
    }

    #[test]
    fn a_lean_one_needs_no_kafka() {
        let (whisk, _, user) = made(json!({"mongo": {"external": {"bindingSecret": "theirs"}},
            "openwhisk": {"mode": "lean"}}));
        let apache = whisk.apache.unwrap();
        assert!(apache.kafka.is_none() && user.is_none());
        assert_eq!(apache.mongo.binding_secret.as_deref(), Some("theirs"));
    }
}
