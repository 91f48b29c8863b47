//! From what was asked for to what can be built. Pure.

mod parts;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::archive::ArchiveConfig;

use super::build::{Api, Served};
use super::crd::{
    Platform, PlatformAnalysts, PlatformArchive, PlatformDetect, PlatformDruid, PlatformFlow,
    PlatformGateway, PlatformHdfs, PlatformKafka, PlatformMaterialize, PlatformMongo,
    PlatformOffers, PlatformOpenWhisk, PlatformPostgres, PlatformScore, PlatformWarnings,
};
use super::external::Outside;
use super::profile::{Sizes, sizes};
use super::racks::Racks;
use super::stop::{self, Level};
use crate::flow::{DruidAt, Token};
use crate::job::lake;
use crate::reconcile::secrets::{self, Found};
use crate::reconcile::{Error, Owner};
use crate::types::{MaintenanceWindow, Windows};

/// Tokens that Secrets of former versions do not have.
pub const ADDED_TOKENS: [&str; 6] = [
    "vehicles-token",
    "operations-token",
    "events-token",
    "drivers-token",
    "audit-token",
    ACTIVATIONS_TOKEN,
];
/// What an OpenWhisk tells of runs of actions by.
pub const ACTIVATIONS_TOKEN: &str = "activations-token";

/// What was read before a platform is built.
#[derive(Clone, Debug)]
pub struct Live {
    /// Whether the Secret of the gateway is there.
    pub gateway_secret: bool,
    /// Tokens that the Secret of the gateway lacks, if it is one that an operator made.
    pub gateway_lacks: Vec<&'static str>,
    /// A token that opens the gateway's flow and canaries.
    pub gateway_token: Option<Token>,
    /// A token by which changes of resources are told to the gateway.
    pub gateway_audit_token: Option<Token>,
    /// The administrator's, for a gateway that does not know the token of changes yet.
    pub gateway_admin_token: Option<Token>,
    /// The operator's own way into the platform's Kafka.
    pub kafka_admin: Option<Secret>,
    /// Where the platform's Druid is asked, as soon as that is known.
    pub druid_at: Option<DruidAt>,
    /// Whether a volume of the platform's Kafka is so full that nothing more is to be written.
    pub kafka_full: bool,
    /// The APIs of others that this cluster has, of those that the spec asks for.
    pub apis: Vec<Served>,
    /// What is known of the parts that somebody else runs.
    pub outside: Outside,
    /// Which parts can have racks, where the profile asks for them.
    pub racks: Racks,
    /// Names of the StreamJobs that exist: what runs is not taken back.
    pub jobs: Vec<String>,
    /// Why the topics are not all available, if they are not.
    pub topics_wait: Option<String>,
}

/// An archive that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedArchive {
    /// What was asked for.
    pub asked: PlatformArchive,
    /// Its configuration, as the job will read it.
    pub config: ArchiveConfig,
}

/// A platform that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedPlatform {
    /// Whose objects they are.
    pub owner: Owner,
    /// The profile's sizes.
    pub sizes: Sizes,
    /// Kafka, if wanted.
    pub kafka: Option<PlatformKafka>,
    /// The gateway, if wanted.
    pub gateway: Option<PlatformGateway>,
    /// Detect, if wanted.
    pub detect: Option<PlatformDetect>,
    /// HDFS, if wanted.
    pub hdfs: Option<PlatformHdfs>,
    /// PostgreSQL, if wanted.
    pub postgres: Option<PlatformPostgres>,
    /// Scores, if wanted.
    pub score: Option<PlatformScore>,
    /// What analysts ask for, if wanted.
    pub analysts: Option<PlatformAnalysts>,
    /// The archive, if wanted.
    pub archive: Option<ValidatedArchive>,
    /// Druid, if wanted.
    pub druid: Option<PlatformDruid>,
    /// MongoDB, if wanted.
    pub mongo: Option<PlatformMongo>,
    /// Documents, if wanted.
    pub materialize: Option<PlatformMaterialize>,
    /// Offers, if wanted.
    pub offers: Option<PlatformOffers>,
    /// OpenWhisk, if wanted.
    pub openwhisk: Option<PlatformOpenWhisk>,
    /// The warnings, if wanted.
    pub warnings: Option<PlatformWarnings>,
    /// Content of the gateway's Secret when it has to be made; one that is there is used as it is.
    pub gateway_secret: Option<BTreeMap<String, ByteString>>,
    /// What the gateway's Secret is completed by.
    pub gateway_additions: BTreeMap<String, ByteString>,
    /// A token that opens the gateway's flow and canaries.
    pub gateway_token: Option<Token>,
    /// A token by which changes of resources are told to the gateway.
    pub gateway_audit_token: Option<Token>,
    /// The administrator's, for a gateway that does not know the token of changes yet.
    pub gateway_admin_token: Option<Token>,
    /// The operator's own way into the platform's Kafka.
    pub kafka_admin: Option<Secret>,
    /// Where the platform's Druid is asked, as soon as that is known.
    pub druid_at: Option<DruidAt>,
    /// Whether a volume of the platform's Kafka is so full that nothing more is to be written.
    pub kafka_full: bool,
    /// How the flow is watched.
    pub flow: PlatformFlow,
    /// When restarts may happen without approval.
    pub windows: Vec<MaintenanceWindow>,
    /// How many levels of the platform run.
    pub level: Level,
    /// The APIs of others that can be used.
    pub apis: Vec<Served>,
    /// What is known of the parts that somebody else runs.
    pub outside: Outside,
    /// Which parts can have racks, where the profile asks for them.
    pub racks: Racks,
    /// Jobs that exist.
    pub jobs: Vec<String>,
    /// Why jobs that do not exist yet have to wait, if they have to.
    pub jobs_wait: Option<String>,
}

impl ValidatedPlatform {
    /// Whether the platform's own Kafka lets in its users only, each job being one.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.kafka.as_ref().is_some_and(PlatformKafka::is_secure)
    }

    /// In which version an API of others can be used, if it can.
    #[must_use]
    pub fn served(&self, api: Api) -> Option<Served> {
        self.apis.iter().find(|served| served.api == api).copied()
    }
}

/// Checks a platform and completes its secrets.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(platform: &Platform, live: Live) -> Result<ValidatedPlatform, Error> {
    let spec = &platform.spec;
    parts::each_has_what_it_needs(spec)?;
    parts::each_can_be_configured(spec)?;
    let archive = match &spec.archive {
        Some(asked) => Some(ValidatedArchive {
            asked: asked.clone(),
            config: lake::config(&asked.config, "spec.archive.config")?,
        }),
        None => None,
    };
    let owner = Owner::of(platform)?;
    let mut gateway_additions = BTreeMap::new();
    for name in &live.gateway_lacks {
        let token = ByteString(secrets::token()?.into_bytes());
        gateway_additions.insert((*name).to_owned(), token);
    }
    let gateway_secret = if spec.gateway.is_some() && !live.gateway_secret {
        let mut random: Vec<(&str, secrets::Make)> = vec![
            ("admin-token", secrets::token),
            ("notify-token", secrets::token),
            ("pseudonym-key", secrets::key),
            ("seal-key", secrets::key),
        ];
        random.extend(ADDED_TOKENS.map(|name| (name, secrets::token as secrets::Make)));
        secrets::complete(&Found::Absent, &random)?.map(|mut data| {
            data.insert("type".into(), ByteString(b"millrace-gateway".to_vec()));
            data.insert("provider".into(), ByteString(b"millrace".to_vec()));
            data
        })
    } else {
        None
    };
    Windows::check(&spec.maintenance_windows, "spec.maintenanceWindows")?;
    let conditions = platform.status.as_ref();
    let conditions = conditions.map_or(&[][..], |status| &status.conditions);
    Ok(ValidatedPlatform {
        owner,
        sizes: sizes(spec.profile),
        kafka: spec.kafka.clone(),
        gateway: spec.gateway.clone(),
        detect: spec.detect.clone(),
        hdfs: spec.hdfs.clone(),
        postgres: spec.postgres.clone(),
        score: spec.score.clone(),
        analysts: spec.analysts.clone(),
        archive,
        druid: spec.druid.clone(),
        mongo: spec.mongo.clone(),
        materialize: spec.materialize.clone(),
        offers: spec.offers.clone(),
        openwhisk: spec.openwhisk.clone(),
        warnings: spec.warnings.clone(),
        gateway_secret,
        gateway_additions,
        gateway_token: live.gateway_token,
        gateway_audit_token: live.gateway_audit_token,
        gateway_admin_token: live.gateway_admin_token,
        kafka_admin: live.kafka_admin,
        druid_at: live.druid_at,
        kafka_full: live.kafka_full,
        flow: spec.flow.clone().unwrap_or_default(),
        windows: spec.maintenance_windows.clone(),
        level: stop::level(spec.stopped, conditions),
        apis: live.apis,
        racks: live.racks,
        jobs: live.jobs,
        jobs_wait: live
            .outside
            .missing
            .first()
            .map(ToString::to_string)
            .or(live.topics_wait),
        outside: live.outside,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::platform) fn platform(spec: serde_json::Value) -> Platform {
        serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "Platform",
            "metadata": {"name": "p", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "generation": 1},
            "spec": spec,
        }))
        .unwrap()
    }

    pub(in crate::platform) fn live(topics_wait: Option<&str>) -> Live {
        Live {
            gateway_secret: true,
            gateway_lacks: Vec::new(),
            gateway_token: None,
            gateway_audit_token: None,
            gateway_admin_token: None,
            kafka_admin: None,
            druid_at: None,
            kafka_full: false,
            apis: Vec::new(),
            outside: Outside::default(),
            racks: Racks {
                kafka: true,
                hdfs: true,
            },
            jobs: Vec::new(),
            topics_wait: topics_wait.map(str::to_owned),
        }
    }

    #[test]
    fn secrets_are_made_once() {
        let spec = json!({"kafka": {}, "gateway": {}});
        let kept = validate(&platform(spec.clone()), live(None)).unwrap();
        assert_eq!(kept.gateway_secret, None, "what is there is left alone");
        let fresh = Live {
            gateway_secret: false,
            ..live(None)
        };
        let made = validate(&platform(spec), fresh.clone()).unwrap();
        let made = made.gateway_secret.unwrap();
        assert_eq!(made.len(), 12);
        assert_eq!(made["type"].0, b"millrace-gateway");
        let none = validate(&platform(json!({"kafka": {}})), fresh).unwrap();
        assert_eq!(none.gateway_secret, None);
    }

    #[test]
    fn older_secrets_are_completed() {
        let older = Live {
            gateway_lacks: vec!["operations-token"],
            ..live(None)
        };
        let valid = validate(&platform(json!({"kafka": {}, "gateway": {}})), older).unwrap();
        assert_eq!(valid.gateway_secret, None);
        let names: Vec<&String> = valid.gateway_additions.keys().collect();
        assert_eq!(names, ["operations-token"]);
    }
}
