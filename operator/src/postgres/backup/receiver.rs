//! The pod that takes in the log of several members, as whoever is the primary writes it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{Container, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::build::{Runs, script, template, writing};
use super::files::receive;
use super::{ARCHIVE_COMPONENT, ARCHIVE_PORT, STATE_PATH, backup_name};
use crate::pods;
use crate::postgres::validate::ValidatedPostgres;
use crate::reconcile::restarts::CONFIG;
use crate::reconcile::{Error, Prepared, Resources, fingerprint};
use crate::types::PodResources;

/// What taking in the log needs: it streams, and packs.
const MEMORY: &str = "128Mi";
/// Name of the port at which it tells how the archive stands.
const PORT_NAME: &str = "state";

/// Where the operator asks how the archive of several members stands.
#[must_use]
pub(in crate::postgres) fn address(postgres: &ValidatedPostgres) -> String {
    let owner = &postgres.owner;
    let name = backup_name(&owner.name);
    format!(
        "http://{name}.{}.svc:{ARCHIVE_PORT}{STATE_PATH}",
        owner.namespace
    )
}

/// Adds what takes in the log of several members.
///
/// # Errors
/// What is laid over pods is not in the form of a pod template, or an object cannot be written as JSON.
pub(in crate::postgres) fn add(
    postgres: &ValidatedPostgres,
    resources: &mut Resources<Prepared>,
) -> Result<(), Error> {
    let owner = &postgres.owner;
    let name = backup_name(&owner.name);
    resources.add(&Service {
        metadata: owner.meta(name, ARCHIVE_COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(owner.selector(ARCHIVE_COMPONENT)),
            ports: Some(vec![pods::service_port(PORT_NAME, ARCHIVE_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })?;
    Ok(resources.add(&deployment(postgres)?)?)
}

fn deployment(postgres: &ValidatedPostgres) -> Result<Deployment, Error> {
    let owner = &postgres.owner;
    let (volumes, mounts) = writing(postgres);
    let container = Container {
        command: Some(script("receive.sh")),
        ports: Some(vec![pods::port(PORT_NAME, ARCHIVE_PORT)]),
        resources: Some(pods::resources(
            Some(&PodResources::default()),
            MEMORY,
            "50m",
        )),
        readiness_probe: Some(pods::http_probe(STATE_PATH, ARCHIVE_PORT, 10, 3)),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let what = (ARCHIVE_COMPONENT, Runs::ForEver);
    let mut template = template(postgres, what, (container, volumes), None)?;
    // It reads its script once.
    let metadata = template.metadata.get_or_insert_default();
    let config = (CONFIG.to_owned(), fingerprint(&receive(postgres)));
    let annotations = metadata.annotations.take().unwrap_or_default();
    metadata.annotations = Some(
        annotations
            .into_iter()
            .chain([config])
            .collect::<BTreeMap<_, _>>(),
    );
    Ok(Deployment {
        metadata: owner.meta(backup_name(&owner.name), ARCHIVE_COMPONENT),
        spec: Some(DeploymentSpec {
            replicas: Some(postgres.operation.replicas(1)),
            selector: LabelSelector {
                match_labels: Some(owner.selector(ARCHIVE_COMPONENT)),
                ..LabelSelector::default()
            },
            // Its volume is on one node at a time, and two would write over each other.
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".into()),
                rolling_update: None,
            }),
            revision_history_limit: Some(2),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::CronJob;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::postgres::build;
    use crate::postgres::validate::tests::valid;

    #[test]
    fn several_members_have_a_pod_that_takes_in_their_log() {
        let spec = json!({"members": 3, "backup": {"schedule": "@daily"}});
        let postgres = valid(spec);
        let resources = build(&postgres).unwrap();
        let deployment: Deployment = resources.get("p-backup").unwrap();
        let service: Service = resources.get("p-backup").unwrap();
        let shown = json!({"deployment": deployment.spec, "service": service.spec});
        insta::assert_snapshot!(serde_yaml_ng::to_string(&shown).unwrap());
        assert_eq!(address(&postgres), "http://p-backup.ns.svc:8009/state.json");
        // Base backups are made where that pod has the volume.
        let cron_job: CronJob = resources.get("p-backup").unwrap();
        let text = json!(cron_job).to_string();
        assert!(text.contains(r#""app.kubernetes.io/name":"postgres-archive""#));
        let files: ConfigMap = resources.get("p-files").unwrap();
        let files = files.data.unwrap();
        assert!(files["receive.sh"].contains("http.server 8009 "));
        assert!(files["backup.sh"].contains("received=yes\n"));
        // No member has the volume, and none brings anything there.
        let set: k8s_openapi::api::apps::v1::StatefulSet = resources.get("p").unwrap();
        assert!(!json!(set).to_string().contains("p-backup"));
        assert!(!files.contains_key("archive.sh"));
        let shared = crate::postgres::patroni::files::shared(&postgres);
        let parameters = &shared["postgresql"]["parameters"];
        assert_eq!(parameters["archive_mode"], json!(null));
        assert_eq!(parameters["archive_timeout"], "300s");
        assert_eq!(parameters["wal_keep_size"], "640MB");
    }

    #[test]
    fn several_members_are_restored_into_the_first_one() {
        let spec = json!({"members": 3, "bootstrap": {"restore": {"from": {"cluster": "q"}}}});
        let postgres = valid(spec);
        let files: ConfigMap = build(&postgres).unwrap().get("p-files").unwrap();
        let files = files.data.unwrap();
        assert!(files.contains_key("restore.sh") && files.contains_key("patroni.yaml"));
        assert!(files["postgresql.conf"].contains("shared_buffers"));
    }
}
