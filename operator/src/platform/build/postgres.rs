//! PostgreSQL of a platform. Pure.

use super::meta;
use crate::platform::crd::PlatformPostgres;
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::postgres::crd::{Database, PostgresCluster, PostgresClusterSpec, ReadOnly, Role};
use crate::types::{DeletionPolicy, Operation, Quantity};

/// The database of scores, where nobody says otherwise.
const SCORES: &str = "scores";
/// The role that writes them.
pub(super) const SCORE: &str = "score";
/// The role that reads what analysts ask for.
const ANALYST: &str = "analyst";
/// The role whose rights say which reads are told; nobody logs in by it.
const AUDITED: &str = "audited";
/// The schema of the tables that name hires.
const OF_HIRES: &str = "millrace";
/// The least memory of one of several servers, with Patroni beside it.
const LEAST: &str = "384Mi";

/// What a read by a right that this role has is told by, and with the address of the client.
const AUDIT: [(&str, &str); 3] = [
    ("shared_preload_libraries", "pgaudit"),
    ("pgaudit.role", AUDITED),
    ("log_line_prefix", "%m [%p] %q%u@%d %h "),
];

pub(super) fn cluster(platform: &ValidatedPlatform, wanted: &PlatformPostgres) -> PostgresCluster {
    let sizes = &platform.sizes;
    let (databases, mut roles) = if wanted.databases.is_empty() && wanted.roles.is_empty() {
        (
            vec![scores()],
            // Not that of scores, which are of hires: what leads to persons is not for analysts.
            vec![role(SCORE, None), role(ANALYST, Some("analysts"))],
        )
    } else {
        (wanted.databases.clone(), wanted.roles.clone())
    };
    let mut parameters = wanted.parameters.clone();
    if wanted.audit_reads {
        let audited = role(AUDITED, Some(OF_HIRES));
        roles.push(Role {
            login: false,
            ..audited
        });
        for (name, value) in AUDIT {
            let name = name.to_owned();
            parameters.entry(name).or_insert_with(|| value.to_owned());
        }
    }
    let members = wanted.members.unwrap_or(1);
    let mut resources = or_profile(wanted.resources.as_ref(), &sizes.postgres);
    let asked = wanted.resources.as_ref().and_then(|r| r.memory.as_ref());
    if members > 1
        && asked.is_none()
        && resources.memory.as_ref().map(Quantity::bytes) < Some(Quantity::from(LEAST).bytes())
    {
        resources.memory = Some(LEAST.into());
    }
    PostgresCluster {
        metadata: meta(platform, "postgres"),
        spec: PostgresClusterSpec {
            image: wanted.image.clone(),
            members,
            synchronous: wanted.synchronous,
            storage: wanted
                .storage
                .clone()
                .unwrap_or_else(|| sizes.postgres_storage.clone()),
            storage_growth: wanted.storage_growth.clone(),
            resources: Some(resources),
            parameters,
            databases,
            roles,
            backup: wanted.backup.clone(),
            bootstrap: wanted.bootstrap.clone(),
            deletion_policy: DeletionPolicy::Retain,
            operation: Operation::default(),
            paused: false,
        },
        status: None,
    }
}

fn scores() -> Database {
    Database {
        name: SCORES.into(),
        owner: Some(SCORE.into()),
        extensions: Vec::new(),
        deletion_policy: DeletionPolicy::Retain,
    }
}

/// A role of the database of scores, which may read this schema of it.
fn role(name: &str, reads: Option<&str>) -> Role {
    let reads = reads.map(|schema| ReadOnly {
        database: SCORES.to_owned(),
        schemas: vec![schema.to_owned()],
    });
    Role {
        name: name.into(),
        login: true,
        database: None,
        member_of: Vec::new(),
        read_only: reads.into_iter().collect(),
        connection_limit: None,
        deletion_policy: DeletionPolicy::Retain,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use serde_json::{Value, json};

    fn made(postgres: Value) -> Option<PostgresCluster> {
        let spec = json!({"postgres": postgres});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        resources.get::<PostgresCluster>("p-postgres")
    }

    #[test]
    fn several_members_have_room_for_patroni() {
        let of = |postgres: Value| {
            let spec = made(postgres).unwrap().spec;
            (spec.members, spec.resources.unwrap().memory.unwrap().0)
        };
        assert_eq!(of(json!({})), (1, of(json!({"members": 1})).1));
        let memory = of(json!({"members": 3})).1;
        assert!(Quantity::from(memory.as_str()).bytes() >= Quantity::from(LEAST).bytes());
        let asked = json!({"members": 3, "resources": {"memory": "1Gi"}});
        assert_eq!(of(asked), (3, "1Gi".into()));
    }

    #[test]
    fn scores_have_a_database_a_writer_and_a_reader() {
        let spec = made(json!({})).unwrap().spec;
        assert_eq!(spec.databases[0].owner.as_deref(), Some("score"));
        let names: Vec<_> = spec.roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(names, ["score", "analyst"]);
        assert_eq!(spec.roles[1].read_only[0].database, "scores");
        assert_eq!(spec.roles[1].read_only[0].schemas, ["analysts"]);
        assert_eq!(spec.storage.size, "2Gi".into());
        let own = made(json!({"databases": [{"name": "own"}]})).unwrap().spec;
        assert_eq!((own.databases.len(), own.roles.len()), (1, 0));
    }

    #[test]
    fn reads_are_told_where_that_is_asked_for() {
        let spec = made(json!({"auditReads": true, "parameters": {"work_mem": "8MB"}}));
        let spec = spec.unwrap().spec;
        let audited = spec.roles.last().unwrap();
        assert_eq!((audited.name.as_str(), audited.login), ("audited", false));
        assert_eq!(audited.read_only[0].schemas, ["millrace"]);
        for (name, value) in AUDIT.into_iter().chain([("work_mem", "8MB")]) {
            assert_eq!(spec.parameters[name], value);
        }
        assert!(made(json!({})).unwrap().spec.parameters.is_empty());
    }

    #[test]
    fn a_postgres_of_somebody_else_is_not_made() {
        assert!(made(json!({"external": {"bindingSecret": "theirs"}})).is_none());
    }
}
