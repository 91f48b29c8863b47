//! MongoDB of a platform, and the job that writes documents into it. Pure.

use super::kafka::kafka_binding;
use super::users::User as KafkaUser;
use super::{meta, part, whisk};
use crate::action::crd::{ActionSpec, SecretParameter};
use crate::job::crd::{Job, StreamJob, StreamJobSpec};
use crate::mongo::binding_name;
use crate::mongo::crd::{Engine, MongoCluster, MongoClusterSpec, Right, Role, User};
use crate::platform::crd::{PlatformMaterialize, PlatformMongo};
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::types::{DeletionPolicy, KeyRef, Operation, PodResources, Quantity};

/// The parameters of an action that get into MongoDB, and the entry of the binding that each is.
const ENTRIES: [(&str, &str); 8] = [
    ("mongodb_uri", "uri"),
    ("mongodb_host", "host"),
    ("mongodb_port", "port"),
    ("mongodb_username", "username"),
    ("mongodb_password", "password"),
    ("mongodb_auth_source", "authSource"),
    ("mongodb_database", "database"),
    ("mongodb_ca", "ca.crt"),
];
/// Those that name databases, and the key of the configuration of `materialize` that each is.
const DATABASES: [(&str, &str); 2] = [
    ("mongodb_database", "database"),
    ("mongodb_identity_database", "identityDatabase"),
];

/// Which server it is.
fn engine(platform: &ValidatedPlatform, wanted: &PlatformMongo) -> Engine {
    wanted.engine.unwrap_or(platform.sizes.mongo_engine)
}

pub(super) fn cluster(platform: &ValidatedPlatform, wanted: &PlatformMongo) -> MongoCluster {
    let sizes = &platform.sizes;
    let engine = engine(platform, wanted);
    MongoCluster {
        metadata: meta(platform, "mongo"),
        spec: MongoClusterSpec {
            engine,
            members: wanted.members.unwrap_or(match engine {
                Engine::Wire => 1,
                Engine::Mongodb => sizes.mongo_members,
            }),
            image: wanted.image.clone(),
            storage: wanted
                .storage
                .clone()
                .unwrap_or_else(|| sizes.mongo_storage.clone()),
            resources: Some(or_profile(
                wanted.resources.as_ref(),
                &memory(engine, &sizes.mongo),
            )),
            database: "millrace".into(),
            users: users(platform, wanted),
            backup: wanted.backup.clone(),
            deletion_policy: DeletionPolicy::Retain,
            operation: Operation::default(),
            paused: false,
        },
        status: None,
    }
}

/// Whether clients log in.
pub(super) fn has_users(platform: &ValidatedPlatform, mongo: &PlatformMongo) -> bool {
    mongo.external.is_none() && engine(platform, mongo) == Engine::Mongodb
}

/// An OpenWhisk of Apache has a database and a user of its own: keys are not for who writes documents.
fn users(platform: &ValidatedPlatform, wanted: &PlatformMongo) -> Vec<User> {
    if !whisk::is_apache(platform) || !has_users(platform, wanted) {
        return Vec::new();
    }
    vec![User {
        name: whisk::DATABASE.to_owned(),
        roles: vec![Right {
            database: whisk::DATABASE.to_owned(),
            role: Role::ReadWrite,
        }],
    }]
}

/// What the profile gives, and no less than mongod starts with.
fn memory(engine: Engine, profile: &PodResources) -> PodResources {
    let least = || Quantity::from("512Mi");
    let memory = profile.memory.clone();
    PodResources {
        memory: match engine {
            Engine::Mongodb => memory.map(|m| {
                if m.bytes() < least().bytes() {
                    least()
                } else {
                    m
                }
            }),
            Engine::Wire => memory,
        },
        cpu: profile.cpu.clone(),
    }
}

/// Name of the Secret by which jobs and actions get into the platform's MongoDB.
pub(super) fn binding(platform: &ValidatedPlatform, mongo: &PlatformMongo) -> String {
    match &mongo.external {
        Some(external) => external.binding_secret.clone(),
        None => binding_name(&part(platform, "mongo")),
    }
}

/// Lets an action get to the documents of `materialize`: by all that the binding says, as the job does, and with the databases
/// that the job's configuration names.
pub(super) fn documents(
    platform: &ValidatedPlatform,
    mongo: &PlatformMongo,
    action: &mut ActionSpec,
) {
    let config = platform.materialize.as_ref().map(|wanted| &wanted.config);
    for (parameter, key) in DATABASES {
        let named = config.and_then(|config| config.get(key));
        if let Some(name) = named.filter(|name| !name.is_null()) {
            action.parameters.insert(parameter.to_owned(), name.clone());
        }
    }
    for (parameter, key) in ENTRIES {
        // A value of a Secret would win over the name that is asked for.
        if action.parameters.contains_key(parameter) {
            continue;
        }
        action.parameters_from.push(SecretParameter {
            name: parameter.to_owned(),
            secret_ref: KeyRef {
                name: binding(platform, mongo),
                key: key.to_owned(),
            },
            // Most are: that it has an address is checked with the binding, and by the action.
            optional: true,
        });
    }
}

pub(super) fn materialize_job(
    platform: &ValidatedPlatform,
    mongo: &PlatformMongo,
    wanted: &PlatformMaterialize,
) -> StreamJob {
    let sizes = &platform.sizes;
    let mut config = wanted.config.clone();
    if let Some(offers) = platform
        .offers
        .as_ref()
        .filter(|offers| !offers.rules.is_empty())
    {
        config.insert("offerRules".into(), offers.rules.clone().into());
    }
    // Also without rules: those of before are found by it, and removed.
    let owner = &platform.owner;
    config
        .entry("offerRulesManager")
        .or_insert_with(|| format!("{}/{}", owner.namespace, owner.name).into());
    StreamJob {
        metadata: meta(platform, "materialize"),
        spec: StreamJobSpec {
            job: Job::Materialize,
            image: wanted.image.clone(),
            replicas: wanted.replicas.unwrap_or(sizes.dispatch_replicas),
            bindings: vec![
                kafka_binding(platform, KafkaUser::Materialize),
                binding(platform, mongo),
            ],
            config,
            lake: None,
            files: Vec::new(),
            tls: None,
            service: None,
            resources: Some(or_profile(wanted.resources.as_ref(), &sizes.detect)),
            operation: Operation::default(),
            paused: false,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use crate::action::crd::Action;
    use serde_json::{Value, json};

    fn made(mongo: Value) -> (Option<MongoCluster>, StreamJobSpec) {
        let spec = json!({"kafka": {}, "gateway": {}, "mongo": mongo, "materialize": {"config": {"keep": "30d"}}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        let job = resources.get::<StreamJob>("p-materialize").unwrap();
        (resources.get::<MongoCluster>("p-mongo"), job.spec)
    }

    #[test]
    fn documents_go_into_the_platforms_own_store() {
        let (mongo, job) = made(json!({}));
        assert_eq!(mongo.unwrap().spec.engine, Engine::Wire);
        assert_eq!(job.bindings, ["p-kafka-binding", "p-mongo-binding"]);
        assert_eq!(job.config["keep"], "30d");
    }

    #[test]
    fn larger_profiles_have_a_replica_set() {
        let made = |profile: &str, mongo: Value| {
            let spec = json!({"profile": profile, "kafka": {}, "gateway": {}, "mongo": mongo});
            let valid = validate(&platform(spec), live(None)).unwrap();
            let (resources, _) = build(&valid).unwrap();
            let spec = resources.get::<MongoCluster>("p-mongo").unwrap().spec;
            let memory = spec.resources.and_then(|r| r.memory);
            (spec.engine, spec.members, memory.unwrap().0)
        };
        let of = |engine, members, memory: &str| (engine, members, memory.to_owned());
        let (wire, mongodb) = (Engine::Wire, Engine::Mongodb);
        assert_eq!(made("dev", json!({})), of(wire, 1, "192Mi"));
        assert_eq!(made("standard", json!({})), of(mongodb, 1, "1Gi"));
        assert_eq!(made("ha", json!({})), of(mongodb, 3, "2Gi"));
        assert_eq!(made("ha", json!({"engine": "wire"})), of(wire, 1, "2Gi"));
        assert_eq!(
            made("dev", json!({"engine": "mongodb", "members": 3})),
            of(mongodb, 3, "512Mi")
        );
    }

    #[test]
    fn actions_get_to_the_documents_as_the_job_does() {
        let of = |config: Value| {
            let spec = json!({"kafka": {}, "gateway": {}, "openwhisk": {}, "detect": {}, "warnings": {}, "offers": {},
                "mongo": {"external": {"bindingSecret": "theirs"}}, "materialize": {"config": config}});
            let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
            ["p-make-offer", "p-notify-driver"].map(|name| {
                let spec = resources.get::<Action>(name).unwrap().spec;
                let from = spec.parameters_from.into_iter();
                let entries: Vec<String> = from
                    .filter(|one| one.secret_ref.name == "theirs" && one.optional)
                    .map(|one| format!("{}={}", one.name, one.secret_ref.key))
                    .collect();
                let named = ["mongodb_database", "mongodb_identity_database"]
                    .map(|name| spec.parameters.get(name).cloned());
                (entries, named)
            })
        };
        let all = ENTRIES.map(|(parameter, key)| format!("{parameter}={key}"));
        for (entries, named) in of(json!({})) {
            assert_eq!(entries, all);
            assert_eq!(named, [None, None]);
        }
        for (entries, named) in of(json!({"database": "own", "identityDatabase": "persons"})) {
            assert!(!entries.contains(&"mongodb_database=database".to_owned()));
            assert_eq!(entries.len(), all.len() - 1);
            assert_eq!(named, [Some(json!("own")), Some(json!("persons"))]);
        }
    }

    #[test]
    fn rules_of_offers_are_the_platforms_own() {
        let (_, job) = made(json!({}));
        assert_eq!(job.config["offerRulesManager"], "ns/p");
    }

    #[test]
    fn or_into_that_of_somebody_else() {
        let (mongo, job) = made(json!({"external": {"bindingSecret": "theirs"}}));
        assert!(mongo.is_none());
        assert_eq!(job.bindings[1], "theirs");
    }
}
