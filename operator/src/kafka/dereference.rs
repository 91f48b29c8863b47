//! What is read of Kubernetes before anything is decided.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::DeserializeGuard;

use super::certificates::{self, Secrets};
use super::crd::{KafkaCluster, Role};
use super::moves::Factors;
use super::validate::{Found, set_names};
use super::{COMPONENT, admin_name, external};
use crate::context::Context;
use crate::rbac::Rule;
use crate::reconcile::{Error, Owner, racks, storage};
use crate::topic::crd::KafkaTopic;
use crate::types::GROUP;

/// What the operator must be allowed to read, beyond what it makes.
pub(super) fn rules() -> Vec<Rule> {
    let topics = Rule::new(
        GROUP,
        &["kafkatopics"],
        &["list", "watch"],
        "Make and remove copies of partitions where a topic asks for another number.",
    );
    vec![racks::rule(), topics]
}

pub(super) async fn dereference(context: &Context, cluster: &KafkaCluster) -> Result<Found, Error> {
    let owner = Owner::of(cluster)?;
    let spec = &cluster.spec;
    let mut found = Found {
        now: Timestamp::now(),
        ..Found::default()
    };
    let sets = context.namespaced::<StatefulSet>(&owner.namespace);
    for name in set_names(spec, &owner.name) {
        let live = sets
            .get_opt(&name)
            .await
            .map_err(Error::doing("reading a StatefulSet"))?
            .filter(|live| owner.owns(&live.metadata));
        if let Some(live) = live {
            let replicas = live.spec.as_ref().and_then(|spec| spec.replicas);
            found.replicas.insert(name.clone(), replicas.unwrap_or(1));
            found.templates.insert(name, storage::templates_of(&live));
        }
    }
    // Once it has worked, no volume says anything new.
    if cluster.status.as_ref().is_none_or(|s| !s.bootstrapped) {
        found.former_volumes = former_volumes(context, &owner, cluster).await?;
    }
    if let Some(secure) = spec.listeners.as_ref().and_then(|l| l.secure.as_ref()) {
        found.pods = pods(context, &owner).await?;
        let name = &owner.name;
        found.secrets = Secrets {
            authority: secret(context, &owner, &certificates::authority_name(name)).await?,
            given: match &secure.certificate_authority {
                Some(given) => secret(context, &owner, &given.secret_name).await?,
                None => None,
            },
            nodes: secret(context, &owner, &certificates::secret_name(name))
                .await?
                .unwrap_or_default(),
            operator: secret(context, &owner, &admin_name(name))
                .await?
                .unwrap_or_default(),
        };
    }
    if spec
        .listeners
        .as_ref()
        .is_some_and(|l| l.external.is_some())
    {
        found.services = services(context, &owner).await?;
    }
    if let Some(rack) = &spec.rack {
        found.racks = racks::racks(context, &rack.topology_key).await?;
    }
    Ok(found)
}

/// How many copies the partitions of topics are to have, where a KafkaTopic asks for another number.
pub(super) async fn factors(context: &Context, owner: &Owner) -> Result<Factors, Error> {
    let topics = context
        .namespaced::<DeserializeGuard<KafkaTopic>>(&owner.namespace)
        .list(&ListParams::default())
        .await
        .map_err(Error::doing("listing KafkaTopics"))?;
    Ok(topics
        .into_iter()
        .filter_map(|topic| topic.0.ok())
        .filter(|topic| topic.spec.kafka.as_deref() == Some(owner.name.as_str()))
        .filter_map(|topic| Some((topic.topic_name().to_owned(), topic.asked_factor()?)))
        .collect())
}

async fn pods(context: &Context, owner: &Owner) -> Result<Vec<Pod>, Error> {
    let pods = context
        .namespaced::<Pod>(&owner.namespace)
        .list(&selected(owner))
        .await
        .map_err(Error::doing("listing the pods"))?;
    Ok(pods.items)
}

fn selected(owner: &Owner) -> ListParams {
    let labels: Vec<String> = owner
        .selector(COMPONENT)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    ListParams::default().labels(&labels.join(","))
}

async fn secret(
    context: &Context,
    owner: &Owner,
    name: &str,
) -> Result<Option<BTreeMap<String, ByteString>>, Error> {
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(name)
        .await
        .map_err(Error::doing("reading a Secret"))?;
    Ok(secret.map(|secret| secret.data.unwrap_or_default()))
}

async fn services(context: &Context, owner: &Owner) -> Result<BTreeMap<String, Service>, Error> {
    let services = context
        .namespaced::<Service>(&owner.namespace)
        .list(&selected(owner))
        .await
        .map_err(Error::doing("listing the Services"))?;
    let first = external::bootstrap_name(&owner.name);
    Ok(services
        .into_iter()
        .filter(|service| owner.owns(&service.metadata))
        .map(|service| (service.name_any(), service))
        .filter(|(name, _)| name.starts_with(&first))
        .collect())
}

/// Whether a controller's volume is older than the resource.
async fn former_volumes(
    context: &Context,
    owner: &Owner,
    cluster: &KafkaCluster,
) -> Result<bool, Error> {
    let spec = &cluster.spec;
    let mut sets: Vec<(String, i32)> = spec
        .nodes
        .iter()
        .map(|nodes| (owner.name.clone(), *nodes))
        .collect();
    let pools = spec.pools.iter();
    sets.extend(
        pools
            .filter(|pool| pool.roles.contains(&Role::Controller))
            .map(|pool| (format!("{}-{}", owner.name, pool.name), pool.replicas)),
    );
    let claims = sets.into_iter().flat_map(|(set, replicas)| {
        (0..replicas).map(move |ordinal| format!("data-{set}-{ordinal}"))
    });
    storage::has_former(context, owner, &cluster.metadata, claims).await
}
