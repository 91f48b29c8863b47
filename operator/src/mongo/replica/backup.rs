//! Dumps by schedule: a CronJob, and the volume that it writes to.

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume,
};
use kube::api::ObjectMeta;

use super::build::{files_name, script};
use super::files::{BINDING, DUMPS, FILES};
use crate::mongo::crd::{Backup, BackupStatus};
use crate::mongo::validate::{BACKUP, ValidatedMongo};
use crate::mongo::{BACKUP_COMPONENT, user_binding_name};
use crate::pods::{self, Runs, Schedule};
use crate::reconcile::Error;
use crate::types::PodResources;

/// A dump that takes longer is ended, in seconds.
const LONGEST_SECONDS: i64 = 6 * 3600;
/// What mongodump needs: it streams.
const MEMORY: &str = "256Mi";

/// Name of the CronJob, and of the volume claim.
#[must_use]
pub(super) fn backup_name(cluster: &str) -> String {
    format!("{cluster}-backup")
}

/// The CronJob.
///
/// # Errors
/// What is laid over pods is not in the form of a pod template.
pub(super) fn cron_job(mongo: &ValidatedMongo, backup: &Backup) -> Result<CronJob, Error> {
    let owner = &mongo.owner;
    let name = backup_name(&owner.name);
    let container = Container {
        name: "mongo".into(),
        image: Some(mongo.image.clone()),
        command: Some(script("dump.sh")),
        resources: Some(pods::resources(
            Some(&PodResources::default()),
            MEMORY,
            "50m",
        )),
        volume_mounts: Some(vec![
            pods::read_only_mount("files", FILES),
            pods::read_only_mount("binding", BINDING),
            pods::mount("dumps", DUMPS),
        ]),
        ..Container::default()
    };
    let volumes = vec![
        pods::config_volume("files", &files_name(mongo)),
        pods::secret_volume("binding", &user_binding_name(&owner.name, BACKUP)),
        Volume {
            name: "dumps".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.clone(),
                read_only: None,
            }),
            ..Volume::default()
        },
    ];
    let mut pod = pods::pod(container, volumes, 30);
    pod.restart_policy = Some("Never".into());
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(owner.labels(BACKUP_COMPONENT)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    mongo.operation.override_pods(&mut template)?;
    let schedule = Schedule {
        cron: &backup.schedule,
        zone: "Etc/UTC",
        suspended: mongo.operation.stopped,
        retries: 1,
        longest_seconds: LONGEST_SECONDS,
        kept: 1,
    };
    let metadata = owner.meta(name, BACKUP_COMPONENT);
    Ok(pods::cron_job(metadata, &schedule, template))
}

/// What is told of its runs, and of one that did not succeed.
pub(in crate::mongo) fn runs(cron_job: Option<&CronJob>) -> (Option<BackupStatus>, Option<String>) {
    let Some(cron_job) = cron_job else {
        return (None, None);
    };
    let Runs {
        began,
        succeeded,
        trouble,
        ..
    } = pods::runs(cron_job, BACKUP_COMPONENT);
    (Some(BackupStatus { began, succeeded }), trouble)
}
