//! The CronJob that makes base backups, and the Job that restores. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Container, PersistentVolumeClaimVolumeSource, PodAffinity, PodAffinityTerm,
    PodTemplateSpec, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use serde::Serialize;

use super::files::{BACKUPS, BINDING, SOURCE};
use super::{
    ARCHIVE_COMPONENT, BACKUP_COMPONENT, BACKUP_ROLE, RESTORE_COMPONENT, ValidatedRestore,
    backup_name,
};
use crate::pods::{self, Schedule};
use crate::postgres::build::{files_name, shared_memory};
use crate::postgres::crd::Backup;
use crate::postgres::files::{FILES, VOLUME_AT};
use crate::postgres::validate::{MEMORY, ValidatedPostgres};
use crate::postgres::{COMPONENT, role_binding_name};
use crate::reconcile::{Error, fingerprint};
use crate::types::PodResources;

/// A base backup that takes longer is ended, in seconds.
const LONGEST_SECONDS: i64 = 12 * 3600;
/// What making a base backup needs: it streams.
const BACKUP_MEMORY: &str = "256Mi";
/// How often a restore that failed is tried again: what it reads may be on its way.
const RETRIES: i32 = 2;

/// Name of the volume of backups in pods.
const BACKUPS_VOLUME: &str = "backups";

/// Whether a pod ends by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Runs {
    /// It does, and is not started again: its Job does that.
    ToItsEnd,
    /// It does not.
    ForEver,
}

/// The volume of backups in the server's pod, and where it is mounted.
pub(in crate::postgres) fn in_the_server(postgres: &ValidatedPostgres) -> (Volume, VolumeMount) {
    let claim = backup_name(&postgres.owner.name);
    (
        claimed(BACKUPS_VOLUME, claim),
        pods::mount(BACKUPS_VOLUME, BACKUPS),
    )
}

fn claimed(name: &str, claim: String) -> Volume {
    Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim,
            read_only: None,
        }),
        ..Volume::default()
    }
}

pub(super) fn script(name: &str) -> Vec<String> {
    vec!["/bin/sh".to_owned(), format!("{FILES}/{name}")]
}

/// The volume of backups and the way in, of pods that write there.
pub(super) fn writing(postgres: &ValidatedPostgres) -> (Vec<Volume>, Vec<VolumeMount>) {
    let name = &postgres.owner.name;
    let volumes = vec![
        pods::secret_volume("binding", &role_binding_name(name, BACKUP_ROLE)),
        claimed(BACKUPS_VOLUME, backup_name(name)),
    ];
    let mounts = vec![
        pods::read_only_mount("binding", BINDING),
        pods::mount(BACKUPS_VOLUME, BACKUPS),
    ];
    (volumes, mounts)
}

/// On the node of the pod that has the volume of a cluster's backups mounted: most volumes are on one node at a time.
fn beside(component: &str, cluster: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        topology_key: "kubernetes.io/hostname".into(),
        label_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([
                ("app.kubernetes.io/name".into(), component.into()),
                ("app.kubernetes.io/instance".into(), cluster.into()),
            ])),
            ..LabelSelector::default()
        }),
        ..PodAffinityTerm::default()
    }
}

pub(super) fn template(
    postgres: &ValidatedPostgres,
    (component, runs): (&str, Runs),
    (mut container, mut volumes): (Container, Vec<Volume>),
    affinity: Option<PodAffinity>,
) -> Result<PodTemplateSpec, Error> {
    let owner = &postgres.owner;
    container.name = "postgres".into();
    container.image = Some(postgres.image.clone());
    // The last line says what went wrong.
    container.termination_message_policy = Some("FallbackToLogsOnError".into());
    container.volume_mounts.get_or_insert_default().extend([
        pods::read_only_mount("files", FILES),
        VolumeMount {
            sub_path: Some("passwd".into()),
            ..pods::read_only_mount("files", "/etc/passwd")
        },
    ]);
    volumes.push(pods::config_volume("files", &files_name(postgres)));
    let mut pod = pods::pod(container, volumes, 30);
    pod.restart_policy = (runs == Runs::ToItsEnd).then(|| "Never".into());
    pod.affinity = affinity.map(|pods| Affinity {
        pod_affinity: Some(pods),
        ..Affinity::default()
    });
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(owner.labels(component)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    postgres.operation.override_pods(&mut template)?;
    Ok(template)
}

/// The CronJob that makes base backups.
///
/// # Errors
/// What is laid over pods is not in the form of a pod template.
pub(in crate::postgres) fn cron_job(
    postgres: &ValidatedPostgres,
    backup: &Backup,
) -> Result<CronJob, Error> {
    let owner = &postgres.owner;
    let name = backup_name(&owner.name);
    let (volumes, mounts) = writing(postgres);
    let container = Container {
        command: Some(script("backup.sh")),
        resources: Some(pods::resources(
            Some(&PodResources::default()),
            BACKUP_MEMORY,
            "50m",
        )),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let holder = if postgres.is_ha() {
        ARCHIVE_COMPONENT
    } else {
        COMPONENT
    };
    let affinity = PodAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![beside(
            holder,
            &owner.name,
        )]),
        ..PodAffinity::default()
    };
    let template = template(
        postgres,
        (BACKUP_COMPONENT, Runs::ToItsEnd),
        (container, volumes),
        Some(affinity),
    )?;
    let schedule = Schedule {
        cron: &backup.schedule,
        zone: "Etc/UTC",
        suspended: postgres.operation.stopped,
        retries: 1,
        longest_seconds: LONGEST_SECONDS,
        kept: 1,
    };
    let metadata = owner.meta(name, BACKUP_COMPONENT);
    Ok(pods::cron_job(metadata, &schedule, template))
}

/// A first run at once, as by the schedule: until there is a base backup the archive is of no use.
pub(in crate::postgres) fn first(postgres: &ValidatedPostgres, cron_job: &CronJob) -> Option<Job> {
    let spec = cron_job.spec.as_ref()?.job_template.spec.clone()?;
    let name = format!("{}-first", backup_name(&postgres.owner.name));
    Some(Job {
        metadata: postgres.owner.meta(hashed(&name, &spec), BACKUP_COMPONENT),
        spec: Some(spec),
        ..Job::default()
    })
}

/// Nothing of a Job can be changed: another one has another name.
fn hashed(name: &str, content: &impl Serialize) -> String {
    let mut hash = fingerprint(content);
    hash.truncate(8);
    format!("{name}-{hash}")
}

/// Name of the claim of the server's volume, which is there before its pod when a cluster is restored.
pub(in crate::postgres) fn data_claim(postgres: &ValidatedPostgres) -> String {
    format!(
        "{}-{}-0",
        crate::postgres::build::VOLUME,
        postgres.owner.name
    )
}

/// The Job that fills the volume of a cluster before its server starts.
///
/// # Errors
/// What is laid over pods is not in the form of a pod template.
pub(in crate::postgres) fn restore_job(
    postgres: &ValidatedPostgres,
    restore: &ValidatedRestore,
) -> Result<Job, Error> {
    let container = Container {
        command: Some(script("restore.sh")),
        // As much as the server: it is one that replays the log.
        resources: Some(pods::resources(Some(&postgres.resources), MEMORY, "100m")),
        volume_mounts: Some(vec![
            pods::mount("data", VOLUME_AT),
            pods::read_only_mount("source", SOURCE),
            pods::mount("shared-memory", "/dev/shm"),
        ]),
        ..Container::default()
    };
    let volumes = vec![
        claimed("data", data_claim(postgres)),
        claimed("source", restore.claim.clone()),
        shared_memory(postgres),
    ];
    // Only if it can be: that cluster may be gone. Of several members the volume is where their log is taken in.
    let affinity = restore.cluster.as_deref().map(|cluster| {
        let term = |(component, weight): (&str, i32)| WeightedPodAffinityTerm {
            weight,
            pod_affinity_term: beside(component, cluster),
        };
        let terms = [(ARCHIVE_COMPONENT, 100), (COMPONENT, 50)].map(term);
        PodAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(terms.into()),
            ..PodAffinity::default()
        }
    });
    let what = (RESTORE_COMPONENT, Runs::ToItsEnd);
    let template = template(postgres, what, (container, volumes), affinity)?;
    let spec = JobSpec {
        backoff_limit: Some(RETRIES),
        suspend: postgres.operation.stopped.then_some(true),
        template,
        ..JobSpec::default()
    };
    Ok(Job {
        metadata: postgres
            .owner
            .meta(restore_name(postgres, restore, &spec), RESTORE_COMPONENT),
        spec: Some(spec),
        ..Job::default()
    })
}

fn restore_name(
    postgres: &ValidatedPostgres,
    restore: &ValidatedRestore,
    spec: &JobSpec,
) -> String {
    let target = restore.target.map(|target| target.to_string());
    let name = format!("{}-restore", postgres.owner.name);
    hashed(&name, &(&spec.template, target))
}
