//! What is read of Kubernetes before anything is decided, and the directory that is made in HDFS.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use millrace_contract::Invalid;

use super::binding_name;
use super::crd::{DruidCluster, Security};
use super::roles::RoleKind;
use super::security::{FoundSecurity, users_name};
use super::validate::{DeepStorage, Found, ValidatedDruid};
use crate::context::Context;
use crate::hdfs::crd::HdfsCluster;
use crate::hdfs::name_node_addresses;
use crate::ingestion::crd::DruidIngestion;
use crate::network::{self, Reach};
use crate::rbac::Rule;
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::{Error, Owner, secrets, storage};
use crate::remote::hdfs::directory::{Directory, ensure};
use crate::topic::crd::KafkaTopic;
use crate::types::GROUP;
use crate::zookeeper;

const ROLES: [RoleKind; 5] = [
    RoleKind::Historical,
    RoleKind::Worker,
    RoleKind::Broker,
    RoleKind::Router,
    RoleKind::Coordinator,
];

/// What the operator must be allowed to read, beyond what it makes.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule::new(
            "",
            &["secrets"],
            &["get"],
            "Read the connection details of ZooKeeper, HDFS and PostgreSQL of a DruidCluster, and its passwords and certificates.",
        ),
        Rule::new(
            GROUP,
            &["hdfsclusters", "zookeeperensembles"],
            &["get", "list", "watch"],
            "Read what is referred to.",
        ),
        Rule::new(
            GROUP,
            &["druidingestions", "kafkatopics"],
            &["get", "list"],
            "See from which Kafka a Druid reads, for its NetworkPolicy.",
        ),
    ]
}

/// The Secrets that a cluster refers to: ZooKeeper, HDFS, PostgreSQL.
fn bindings(cluster: &DruidCluster) -> [Option<String>; 3] {
    let spec = &cluster.spec;
    let ensemble = spec.zookeeper.ensemble.as_deref();
    let hdfs = spec.deep_storage.hdfs.as_deref();
    [
        spec.zookeeper
            .binding_secret
            .clone()
            .or_else(|| ensemble.map(zookeeper::binding_name)),
        spec.deep_storage
            .binding_secret
            .clone()
            .or_else(|| hdfs.map(crate::hdfs::binding_name)),
        spec.metadata.binding_secret.clone(),
    ]
}

pub(super) async fn dereference(context: &Context, cluster: &DruidCluster) -> Result<Found, Error> {
    let owner = Owner::of(cluster)?;
    let mut found = Found::default();
    let sets = context.namespaced::<StatefulSet>(&owner.namespace);
    for kind in ROLES {
        let name = kind.set(&owner.name);
        let live = sets
            .get_opt(&name)
            .await
            .map_err(Error::doing("reading a StatefulSet"))?
            .filter(|live| owner.owns(&live.metadata));
        if let Some(live) = live {
            found.templates.insert(name, storage::templates_of(&live));
        }
    }
    let api = context.namespaced::<Secret>(&owner.namespace);
    let read = async |name: Option<String>| match name {
        None => Ok(None),
        Some(name) => api
            .get_opt(&name)
            .await
            .map_err(Error::doing("reading a binding")),
    };
    let [zookeeper, hdfs, postgres] = bindings(cluster);
    found.zookeeper = read(zookeeper).await?.and_then(|secret| {
        let servers = secrets::text(secret.data.as_ref(), "connection-string");
        servers.map(str::to_owned)
    });
    found.hdfs = read(hdfs).await?;
    found.postgres = read(postgres).await?;
    if let Some(security) = &cluster.spec.security {
        found.security = look_at(context, &owner, security).await?;
    }
    Ok(found)
}

/// The passwords and certificates that there are.
async fn look_at(
    context: &Context,
    owner: &Owner,
    security: &Security,
) -> Result<FoundSecurity, Error> {
    let mut found = FoundSecurity {
        now: Timestamp::now(),
        ..FoundSecurity::default()
    };
    if security.authentication.is_some() {
        let secret = context
            .namespaced::<Secret>(&owner.namespace)
            .get_opt(&users_name(&owner.name))
            .await
            .map_err(Error::doing("reading the Secret of the users"))?;
        // One on its way out is waited for: until it is gone, making another is refused.
        found.users = secret
            .filter(|secret| secret.metadata.deletion_timestamp.is_none())
            .map(|secret| secret.data.unwrap_or_default());
    }
    if security.tls {
        let (authority, certificate) = (authority_name(&owner.name), certificate_name(&owner.name));
        found.authority = secrets::content(context, owner, &authority).await?;
        found.certificate = secrets::content(context, owner, &certificate).await?;
    }
    Ok(found)
}

/// How far the pods must reach: what they use, and what their tasks read, may be somebody else's.
pub(super) async fn reach(context: &Context, cluster: &DruidCluster) -> Result<Reach, Error> {
    let owner = Owner::of(cluster)?;
    let mut bindings: Vec<String> = bindings(cluster).into_iter().flatten().collect();
    if context.settings.network.is_some() {
        bindings.extend(kafkas(context, &owner).await?);
    }
    network::reach(context, &owner, &bindings).await
}

/// The bindings of the Kafkas that data sources of this Druid are fed from.
async fn kafkas(context: &Context, owner: &Owner) -> Result<BTreeSet<String>, Error> {
    let druid = binding_name(&owner.name);
    let fed = context
        .namespaced::<DruidIngestion>(&owner.namespace)
        .list(&ListParams::default())
        .await
        .map_err(Error::doing("listing DruidIngestions"))?;
    let topics = context.namespaced::<KafkaTopic>(&owner.namespace);
    let mut bindings = BTreeSet::new();
    for ingestion in fed.items.iter().filter(|one| one.spec.binding == druid) {
        let topic = topics
            .get_opt(&ingestion.spec.topic)
            .await
            .map_err(Error::doing("reading a KafkaTopic"))?;
        bindings.extend(topic.map(|topic| topic.binding_secret()));
    }
    Ok(bindings)
}

/// Makes the directory of segments in an HdfsCluster, for Druid's user. Gives why it is not as it is to be, if it is not.
///
/// # Errors
/// Kubernetes could not be asked.
pub(super) async fn directory(
    context: &Context,
    druid: &ValidatedDruid,
) -> Result<Option<Invalid>, Error> {
    let DeepStorage::Hdfs(hdfs) = &druid.deep_storage else {
        return Ok(None);
    };
    let Some(name) = &hdfs.cluster else {
        return Ok(None);
    };
    let namespace = &druid.owner.namespace;
    let api = context.namespaced::<HdfsCluster>(namespace);
    let cluster = api
        .get_opt(name)
        .await
        .map_err(Error::doing("reading the HdfsCluster"))?;
    let refused = |problem: String, cure: &str| {
        Ok(Some(Invalid::new(
            "spec.deepStorage.hdfs",
            name,
            problem,
            cure,
        )))
    };
    let Some(cluster) = cluster else {
        return refused(
            "there is no HdfsCluster of that name in this namespace".into(),
            "make it, correct the name, or name the Secret in deepStorage.bindingSecret where it is somebody else's",
        );
    };
    let nodes = name_node_addresses(name, namespace, cluster.spec.name_nodes.replicas);
    let wanted = Directory {
        path: hdfs.path.clone(),
        owner: hdfs.user.clone(),
        permission: "755".into(),
    };
    match ensure(&nodes, &wanted).await {
        Ok(_) => Ok(None),
        Err(error) => refused(
            format!("the directory {} could not be made: {error}", wanted.path),
            "see to the HdfsCluster, or to who owns the directory; this resource follows by itself",
        ),
    }
}
