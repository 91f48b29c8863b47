//! The resources that a platform consists of. Pure.

mod analysts;
mod detect;
mod druid;
mod exposure;
mod gateway;
mod hdfs;
mod ingest;
mod kafka;
mod mongo;
mod offers;
mod outside;
mod postgres;
mod score;
mod users;
mod warnings;
mod whisk;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, ObjectMeta};

use super::crd::PlatformKafka;
use super::stop::Level;
use super::validate::ValidatedPlatform;
use crate::action::crd::Action;
use crate::batch::crd::BatchJob;
use crate::druid::crd::DruidCluster;
use crate::eventsource::crd::EventSource;
use crate::hdfs::crd::HdfsCluster;
use crate::ingestion::crd::DruidIngestion;
use crate::job::crd::StreamJob;
use crate::kafka::crd::KafkaCluster;
use crate::mongo::crd::MongoCluster;
use crate::openwhisk::crd::OpenWhisk;
use crate::postgres::crd::PostgresCluster;
use crate::reconcile::{Error, Prepared, Resources};
use crate::topic::crd::KafkaTopic;
use crate::user::crd::KafkaUser;
use crate::zookeeper::crd::ZooKeeperEnsemble;

pub use druid::druid_binding;
pub use exposure::{Api, Served, exposing_kinds, exposure, needs};
pub use gateway::{gateway_secret, gateway_secret_additions, gateway_secret_name, gateway_url};
pub use hdfs::hdfs_cluster;
pub use kafka::{kafka_admin, kafka_cluster};
pub use warnings::dispatch_groups;

/// The component's name in labels.
pub const COMPONENT: &str = "platform";

/// Kinds of this project that a platform consists of. Not Secrets: see [`gateway_secret`].
#[must_use]
pub fn own_kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<KafkaCluster>(&()),
        ApiResource::erase::<KafkaTopic>(&()),
        ApiResource::erase::<KafkaUser>(&()),
        ApiResource::erase::<ZooKeeperEnsemble>(&()),
        ApiResource::erase::<HdfsCluster>(&()),
        ApiResource::erase::<PostgresCluster>(&()),
        ApiResource::erase::<MongoCluster>(&()),
        ApiResource::erase::<DruidCluster>(&()),
        ApiResource::erase::<DruidIngestion>(&()),
        ApiResource::erase::<OpenWhisk>(&()),
        ApiResource::erase::<Action>(&()),
        ApiResource::erase::<StreamJob>(&()),
        ApiResource::erase::<BatchJob>(&()),
        ApiResource::erase::<EventSource>(&()),
    ]
}

/// Name of a part of the platform.
#[must_use]
pub fn part(platform: &ValidatedPlatform, part: &str) -> String {
    format!("{}-{part}", platform.owner.name)
}

/// A job that is wanted and waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The StreamJob.
    pub job: String,
    /// Why.
    pub reason: String,
}

/// All resources of a platform except its [`exposure`], and the jobs that have to wait.
///
/// # Errors
/// A resource cannot be written as JSON.
pub fn build(platform: &ValidatedPlatform) -> Result<(Resources<Prepared>, Vec<Waiting>), Error> {
    let mut resources = Resources::new();
    let mut waiting = Vec::new();
    let mut add_job = |resources: &mut Resources<Prepared>, job: StreamJob| -> Result<(), Error> {
        let name = job.metadata.name.clone().unwrap_or_default();
        match &platform.jobs_wait {
            // A job that starts before its topics exist would only fail and be put off longer and longer.
            Some(reason) if !platform.jobs.contains(&name) => waiting.push(Waiting {
                job: name,
                reason: reason.clone(),
            }),
            _ => resources.add(&job)?,
        }
        Ok(())
    };
    if let Some(wanted) = &platform.kafka {
        let volume = wanted
            .storage
            .as_ref()
            .unwrap_or(&platform.sizes.kafka_storage);
        for topic in kafka::platform_topics(platform, wanted, volume) {
            resources.add(&topic)?;
        }
        if wanted.external.is_none() {
            resources.add(&kafka::cluster(platform, wanted))?;
        }
        for user in users::users(platform) {
            resources.add(&user)?;
        }
    }
    if let Some(wanted) = platform
        .hdfs
        .as_ref()
        .filter(|hdfs| hdfs.external.is_none())
    {
        if let Some(ensemble) = hdfs::zookeeper(platform, wanted) {
            resources.add(&ensemble)?;
        }
        resources.add(&hdfs::cluster(platform, wanted))?;
    }
    if let Some(wanted) = &platform.postgres
        && wanted.external.is_none()
    {
        resources.add(&postgres::cluster(platform, wanted))?;
    }
    if let Some(wanted) = &platform.mongo
        && wanted.external.is_none()
    {
        resources.add(&mongo::cluster(platform, wanted))?;
    }
    if let Some(wanted) = &platform.druid {
        if wanted.external.is_none() {
            if let Some(ensemble) = druid::zookeeper(platform) {
                resources.add(&ensemble)?;
            }
            resources.add(&druid::cluster(platform, wanted))?;
        }
        for ingestion in druid::ingestions(platform, wanted) {
            resources.add(&ingestion)?;
        }
    }
    if let Some(openwhisk) = &platform.openwhisk {
        resources.add(&whisk::whisk(platform, openwhisk))?;
    }
    if let Some(order) = ingest::order(platform) {
        resources.add(&order)?;
    }
    if let Some(wanted) = &platform.gateway {
        add_job(&mut resources, gateway::gateway_job(platform, wanted))?;
    }
    if let Some(wanted) = &platform.detect {
        add_job(&mut resources, detect::detect_job(platform, wanted))?;
    }
    if let (Some(archive), Some(wanted)) = (&platform.archive, &platform.hdfs) {
        let job = hdfs::archive_job(platform, wanted, &archive.asked);
        add_job(&mut resources, job)?;
        for job in analysts::archives(platform, wanted) {
            add_job(&mut resources, job)?;
        }
    }
    if let (Some(wanted), Some(mongo)) = (&platform.materialize, &platform.mongo) {
        let job = mongo::materialize_job(platform, mongo, wanted);
        add_job(&mut resources, job)?;
    }
    if let (Some(score), Some(hdfs), Some(postgres)) =
        (&platform.score, &platform.hdfs, &platform.postgres)
    {
        resources.add(&score::job(platform, hdfs, postgres, score))?;
    }
    if let (Some(wanted), Some(hdfs), Some(postgres)) =
        (&platform.analysts, &platform.hdfs, &platform.postgres)
    {
        resources.add(&analysts::job(platform, hdfs, postgres, wanted))?;
    }
    if let Some(warnings) = &platform.warnings {
        for action in warnings::actions(platform, warnings) {
            resources.add(&action)?;
        }
        for source in warnings::event_sources(platform, warnings) {
            resources.add(&source)?;
        }
    }
    if let (Some(offers), Some(mongo)) = (&platform.offers, &platform.mongo) {
        resources.add(&offers::action(platform, mongo, offers))?;
        resources.add(&offers::event_source(platform))?;
    }
    let windows = serde_json::to_value(&platform.windows)?;
    resources.change_specs(|kind, name, spec| {
        if platform.level.stops(kind, name) {
            spec["stopped"] = true.into();
        }
        let has_pods = Level::Nothing.stops(kind, name);
        if has_pods && !platform.windows.is_empty() {
            spec["maintenanceWindows"] = windows.clone();
        }
    });
    Ok((resources, waiting))
}

fn meta(platform: &ValidatedPlatform, name: &str) -> ObjectMeta {
    platform.owner.meta(part(platform, name), COMPONENT)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::validate::tests::{live, platform};
    use super::super::validate::{Live, validate};
    use super::*;
    use crate::eventsource::crd::StartingPosition;
    use crate::reconcile::OWNER_LABEL;

    fn everything() -> Value {
        json!({"kafka": {}, "gateway": {"service": {"type": "NodePort"}}, "openwhisk": {},
            "detect": {"rules": {"overheating": {"warningAt": 107.0}}}, "warnings": {"language": "de"}})
    }

    #[test]
    fn the_resources_of_a_platform() {
        let (resources, waiting) =
            build(&validate(&platform(everything()), live(None)).unwrap()).unwrap();
        assert!(waiting.is_empty());
        insta::assert_snapshot!(resources.to_yaml().unwrap());
    }

    #[test]
    fn jobs_wait_for_their_topics_and_what_runs_is_not_taken_back() {
        let read = Live {
            jobs: vec!["p-detect".into()],
            ..live(Some("KafkaTopic p-telemetry"))
        };
        let (resources, waiting) =
            build(&validate(&platform(everything()), read).unwrap()).unwrap();
        assert_eq!(
            waiting,
            [Waiting {
                job: "p-gateway".into(),
                reason: "KafkaTopic p-telemetry".into()
            }]
        );
        assert!(resources.get::<StreamJob>("p-gateway").is_none());
        assert!(resources.get::<StreamJob>("p-detect").is_some());
    }

    #[test]
    fn the_keys_of_the_gateway_belong_to_nobody() {
        let read = Live {
            gateway_secret: false,
            ..live(None)
        };
        let made = gateway_secret(&validate(&platform(everything()), read).unwrap()).unwrap();
        assert_eq!(made.metadata.name.as_deref(), Some("p-gateway"));
        assert_eq!(made.metadata.owner_references, None);
        assert!(!made.metadata.labels.unwrap().contains_key(OWNER_LABEL));
        let kept = validate(&platform(everything()), live(None)).unwrap();
        assert_eq!(gateway_secret(&kept), None);
    }

    #[test]
    fn parts_can_be_left_out() {
        let (resources, _) =
            build(&validate(&platform(json!({"kafka": {}})), live(None)).unwrap()).unwrap();
        assert!(resources.get::<KafkaCluster>("p-kafka").is_some());
        assert!(resources.get::<OpenWhisk>("p-whisk").is_none());
    }

    #[test]
    fn actions_keep_to_the_plain_port_inside() {
        let url = |gateway: Value| {
            let mut spec = everything();
            spec["gateway"] = gateway;
            let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
            let notify: Action = resources.get("p-notify-driver").unwrap();
            notify.spec.parameters["gateway_url"].clone()
        };
        for gateway in [json!({}), json!({"tls": {"secretName": "s", "only": true}})] {
            assert_eq!(url(gateway), "http://p-gateway-internal.ns.svc:8080");
        }
    }

    #[test]
    fn zones_are_mounted_and_told_to_detect() {
        let spec = json!({"kafka": {}, "gateway": {},
            "detect": {"zones": [{"configMap": "borders"}, {"configMap": "city", "key": "a.geojson"}]}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        let detect = resources.get::<StreamJob>("p-detect").unwrap().spec;
        assert_eq!(
            detect.config["zones"],
            json!({"directories": ["/etc/millrace/zones/borders"], "files": ["/etc/millrace/zones/city/a.geojson"]})
        );
        assert_eq!(detect.files[1].config_map, "city");
        assert_eq!(detect.files[1].directory, "/etc/millrace/zones/city");
    }

    #[test]
    fn channels_bring_their_parameters_and_secrets() {
        let spec = json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {
            "channels": ["vehicle", "webhook", "smtp"],
            "webhook": {"url": "https://example.org/hook", "secretRef": {"name": "hook", "key": "secret"}},
            "smtp": {"secretRef": {"name": "mail", "key": "url"}, "from": "a@example.org", "to": ["b@example.org"]}}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        let notify = |name: &str| {
            let spec = resources.get::<Action>(name).unwrap().spec;
            let secrets: Vec<String> = spec
                .parameters_from
                .iter()
                .map(|p| p.name.clone())
                .collect();
            assert_eq!(spec.code.unwrap().builtin.as_deref(), Some("notify-driver"));
            (spec.parameters, secrets)
        };
        let (vehicle, secrets) = notify("p-notify-driver");
        assert_eq!(vehicle["channels"], json!(["vehicle"]));
        assert_eq!(secrets, ["notify_token"]);
        let (webhook, secrets) = notify("p-notify-webhook");
        assert_eq!(webhook["channels"], json!(["webhook"]));
        assert_eq!(webhook["webhook_url"], "https://example.org/hook");
        assert_eq!(secrets, ["webhook_secret"]);
        let (mail, secrets) = notify("p-notify-mail");
        assert_eq!(mail["channels"], json!(["smtp"]));
        assert_eq!(mail["smtp_to"], json!(["b@example.org"]));
        assert_eq!(secrets, ["smtp_url"]);
        // A receiver outside hears of what happens from now on, and hinders nobody.
        let source = |name: &str| resources.get::<EventSource>(name).unwrap().spec;
        assert_eq!(
            source("p-webhook").starting_position,
            StartingPosition::Created
        );
        assert!(source("p-mail").max_in_flight < source("p-warnings").max_in_flight);
        let gateway = resources.get::<StreamJob>("p-gateway").unwrap().spec;
        assert_eq!(
            gateway.config["dispatchGroups"],
            json!(["dispatch-warnings", "dispatch-zones"])
        );
    }

    #[test]
    fn a_platform_may_tell_others_than_the_vehicle() {
        let spec = json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {
            "channels": ["webhook"],
            "webhook": {"url": "https://example.org/hook", "secretRef": {"name": "hook", "key": "secret"}}}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        assert!(resources.get::<EventSource>("p-webhook").is_some());
        assert!(resources.get::<EventSource>("p-warnings").is_none());
        assert!(resources.get::<Action>("p-notify-driver").is_none());
        let gateway = resources.get::<StreamJob>("p-gateway").unwrap().spec;
        assert_eq!(gateway.config["dispatchGroups"], json!([]));
    }
}
