//! The objects of a cluster. Pure.

mod binding;
mod services;
mod stateful_set;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;

use super::roles::{Role, RoleKind};
use super::validate::ValidatedHdfs;
use super::{COMPONENT, ROLE_LABEL, client_name, files};
use crate::pods;
use crate::reconcile::{Error, Prepared, Resources};

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// All objects of a cluster.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn build(hdfs: &ValidatedHdfs) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    for role in hdfs.roles() {
        let mut data = files::fixed(hdfs, role);
        data.extend(files::live(hdfs, role));
        resources.add(&config_map(hdfs, role.files_name(), data))?;
    }
    let name = client_name(&hdfs.owner.name);
    resources.add(&config_map(hdfs, name, files::client(hdfs)))?;
    for service in services::services(hdfs) {
        resources.add(&service)?;
    }
    resources.add(&binding::binding(hdfs))?;
    for role in hdfs.roles() {
        resources.add(&budget(hdfs, role))?;
    }
    for role in hdfs.roles() {
        resources.add(&stateful_set::stateful_set(hdfs, role)?)?;
    }
    Ok(resources)
}

fn config_map(
    hdfs: &ValidatedHdfs,
    name: String,
    data: std::collections::BTreeMap<String, String>,
) -> ConfigMap {
    ConfigMap {
        metadata: hdfs.owner.meta(name, COMPONENT),
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// The labels that find the pods of a role.
fn selector(hdfs: &ValidatedHdfs, role: &Role) -> std::collections::BTreeMap<String, String> {
    hdfs.owner
        .pool_selector(COMPONENT, ROLE_LABEL, Some(role.kind.name()))
}

/// Two copies of each block stay where there are more, and a majority of JournalNodes.
fn budget(hdfs: &ValidatedHdfs, role: &Role) -> PodDisruptionBudget {
    let most = match role.kind {
        RoleKind::DataNode => (hdfs.replication - 2).max(1),
        RoleKind::JournalNode | RoleKind::NameNode => 1,
    };
    let metadata = hdfs.owner.meta(role.set.clone(), COMPONENT);
    pods::disruption_budget(metadata, selector(hdfs, role), most)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, found, ha, images, one, valid};
    use super::super::validate::{Found, validate};
    use super::*;
    use crate::reconcile::restarts::CONFIG;
    use serde_json::{Value, json};

    #[test]
    fn the_objects_of_one_name_node() {
        insta::assert_snapshot!(without_files(&valid(one())));
    }

    #[test]
    fn the_objects_of_several_name_nodes() {
        let mut spec = ha();
        spec["rack"] = json!({});
        spec["nameNodes"]["podOverrides"] = json!({"spec": {"priorityClassName": "names"}});
        insta::assert_snapshot!(without_files(&valid(spec)));
    }

    // The files have snapshots of their own.
    fn without_files(hdfs: &ValidatedHdfs) -> String {
        let built = build(hdfs).unwrap().to_yaml().unwrap();
        let parts = built.split("---\n");
        let rest: Vec<&str> = parts
            .filter(|part| !part.contains("kind: ConfigMap") && !part.is_empty())
            .collect();
        rest.join("---\n")
    }

    fn hashes(hdfs: &ValidatedHdfs) -> Vec<String> {
        let built = build(hdfs).unwrap();
        hdfs.roles()
            .map(|role| {
                let set: StatefulSet = built.get(&role.set).unwrap();
                let template = set.spec.unwrap().template.metadata.unwrap();
                template.annotations.unwrap()[CONFIG].clone()
            })
            .collect()
    }

    #[test]
    fn what_is_told_while_servers_run_restarts_nobody() {
        let mut spec = ha();
        spec["rack"] = json!({});
        let before = hashes(&valid(spec.clone()));
        let mut other = cluster(spec.clone());
        other.status = serde_json::from_value(json!({"formatted": true})).unwrap();
        let found = Found {
            racks: [("n".to_owned(), "r".to_owned())].into(),
            ..found()
        };
        let mut hdfs = validate(&other, &found, &images()).unwrap();
        hdfs.data_nodes.replicas = 4;
        assert_eq!(before, hashes(&hdfs));
        let files: ConfigMap = build(&hdfs).unwrap().get("h-namenode-files").unwrap();
        let told = files.data.unwrap();
        assert_eq!(told["live.founder"], "none");
        assert_eq!(told["live.excludes"], "h-datanode-3.h-nodes.ns.svc\n");
        spec["hdfsSite"] = json!({"dfs.blocksize": "64m"});
        assert_ne!(before, hashes(&valid(spec)));
    }

    #[test]
    fn budgets_follow_the_number_of_copies() {
        let most = |replication: i32| {
            let mut spec = one();
            spec["dataNodes"]["replicas"] = json!(9);
            spec["replication"] = json!(replication);
            let hdfs = valid(spec);
            let budget = serde_json::to_value(budget(&hdfs, &hdfs.data_nodes)).unwrap();
            budget["spec"]["maxUnavailable"].clone()
        };
        assert_eq!([1, 2, 3, 4, 6].map(most), [1, 1, 1, 2, 4].map(Value::from));
    }
}
