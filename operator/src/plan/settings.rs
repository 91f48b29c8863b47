//! How the operator that runs was started: a plan has to use its images, and has to know which build wrote what is there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::context::{Images, MANAGER, Settings, image_variable};
use crate::network::NetworkSettings;
use crate::reconcile::approval;

/// What the command line says of the operator.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The operator's namespace; all are looked at when absent. Without it and without an operator that runs, no
    /// NetworkPolicies are planned.
    pub operator_namespace: Option<String>,
    /// Image of Kafka.
    pub image_kafka: Option<String>,
    /// Image of ZooKeeper.
    pub image_zookeeper: Option<String>,
    /// Image of HDFS.
    pub image_hadoop: Option<String>,
    /// Image of Druid.
    pub image_druid: Option<String>,
    /// Image of PostgreSQL.
    pub image_postgres: Option<String>,
    /// Image of MongoDB.
    pub image_mongodb: Option<String>,
    /// Image of the document store of development.
    pub image_mongo_wire: Option<String>,
    /// Image of the jobs.
    pub image_stream: Option<String>,
    /// Image of OpenWhisk.
    pub image_whisk: Option<String>,
    /// Image of the job score on several machines.
    pub image_ballista: Option<String>,
    /// Where the zips of the built-in actions are.
    pub actions_dir: Option<PathBuf>,
}

impl Given {
    fn image(&self, name: &str) -> Option<String> {
        let given = match name {
            "kafka" => &self.image_kafka,
            "zookeeper" => &self.image_zookeeper,
            "hadoop" => &self.image_hadoop,
            "druid" => &self.image_druid,
            "postgres" => &self.image_postgres,
            "mongodb" => &self.image_mongodb,
            "mongo-wire" => &self.image_mongo_wire,
            "stream" => &self.image_stream,
            "whisk" => &self.image_whisk,
            _ => &self.image_ballista,
        };
        given.clone()
    }
}

/// It cannot be found out how the operator was started.
#[derive(Debug, thiserror::Error)]
#[error(
    "the operator's Deployment: {problem}; name its namespace by --operator-namespace, or give --image-kafka, --image-zookeeper, --image-hadoop, --image-druid, --image-postgres, --image-mongodb, --image-mongo-wire, --image-stream, --image-whisk and --image-ballista"
)]
pub struct SettingsError {
    problem: String,
}

/// The settings of the operator that runs, as far as a plan for a namespace needs them.
///
/// # Errors
/// No operator is found, and the images are not given.
pub async fn settings(
    client: &Client,
    namespace: &str,
    given: &Given,
) -> Result<Settings, SettingsError> {
    let all_given = Images::each(|name| given.image(name).ok_or(())).is_ok();
    let environment = match operator(client, given.operator_namespace.as_deref()).await {
        Ok(environment) => environment,
        Err(_) if all_given => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let image = |name: &'static str| {
        let variable = image_variable(name);
        let found = given
            .image(name)
            .or_else(|| environment.get(&variable).cloned());
        found.ok_or_else(|| SettingsError {
            problem: format!("its environment has no {variable}"),
        })
    };
    let text = |name: &str| environment.get(name).map(String::as_str);
    let network = NetworkSettings::parse(
        text("MILLRACE_NAMESPACE").or(given.operator_namespace.as_deref()),
        text("MILLRACE_NETWORK_POLICIES") != Some("false"),
        text("MILLRACE_NETWORK_METRICS_FROM").unwrap_or("{}"),
    );
    Ok(Settings {
        network: network.map_err(|invalid| SettingsError {
            problem: invalid.to_string(),
        })?,
        images: Images::each(image)?,
        namespaces: Vec::new(),
        actions_dir: given
            .actions_dir
            .clone()
            .unwrap_or_else(|| "/opt/millrace/actions".into()),
        build: build(client, namespace).await,
    })
}

async fn operator(
    client: &Client,
    namespace: Option<&str>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let api: Api<Deployment> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let labels = ListParams::default().labels("app.kubernetes.io/name=millrace-operator");
    let found = api.list(&labels).await.map_err(|error| SettingsError {
        problem: match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        },
    })?;
    let deployment = match found.items.as_slice() {
        [only] => only,
        [] => {
            return Err(SettingsError {
                problem: "there is none with the label app.kubernetes.io/name=millrace-operator"
                    .into(),
            });
        }
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|d| format!("{}/{}", d.namespace().unwrap_or_default(), d.name_any()))
                .collect();
            return Err(SettingsError {
                problem: format!("there are several: {}", names.join(", ")),
            });
        }
    };
    let containers = deployment
        .spec
        .iter()
        .flat_map(|spec| spec.template.spec.iter())
        .flat_map(|pod| &pod.containers);
    Ok(containers
        .flat_map(|container| container.env.iter().flatten())
        .filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)))
        .collect())
}

// The build that most workloads here were last built by. What runs says it: nobody else knows.
async fn build(client: &Client, namespace: &str) -> String {
    let mut builds = builds_of::<StatefulSet>(client, namespace).await;
    builds.extend(builds_of::<Deployment>(client, namespace).await);
    most(&builds)
}

async fn builds_of<K>(client: &Client, namespace: &str) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    // Who may not look has no marks to compare with, and is told so where these objects are planned.
    let Ok(found) = api.list_metadata(&ours).await else {
        return Vec::new();
    };
    found
        .iter()
        .filter_map(|object| approval::build_of(object.annotations()))
        .collect()
}

fn most(builds: &[String]) -> String {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for build in builds {
        *counts.entry(build).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(build, _)| build.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_of_most_counts() {
        let of = |builds: &[&str]| most(&builds.iter().map(|b| (*b).into()).collect::<Vec<_>>());
        assert_eq!(of(&["a", "b", "b"]), "b");
        assert_eq!(of(&[]), "");
    }
}
