//! What is read of Kubernetes before anything is decided.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::crd::HdfsCluster;
use super::files::EXCLUDES;
use super::roles::{RoleKind, files_name};
use super::validate::Found;
use crate::context::Context;
use crate::network::{self, Reach};
use crate::rbac::Rule;
use crate::reconcile::secrets;
use crate::reconcile::{Error, Owner, racks, storage};
use crate::zookeeper;

/// What the operator must be allowed to read, beyond what it makes.
pub(super) fn rules() -> Vec<Rule> {
    let secret = Rule::new(
        "",
        &["secrets"],
        &["get"],
        "Read the connection details of the ZooKeeper of an HdfsCluster.",
    );
    vec![racks::rule(), secret]
}

pub(super) async fn dereference(context: &Context, cluster: &HdfsCluster) -> Result<Found, Error> {
    let owner = Owner::of(cluster)?;
    let mut found = Found::default();
    let sets = context.namespaced::<StatefulSet>(&owner.namespace);
    for kind in [
        RoleKind::JournalNode,
        RoleKind::NameNode,
        RoleKind::DataNode,
    ] {
        let name = kind.set(&owner.name);
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
    if cluster.status.as_ref().is_some_and(|s| s.formatted) {
        found.excludes = excludes(context, &owner).await?;
    } else {
        // Once it has worked, no volume says anything new.
        let set = RoleKind::NameNode.set(&owner.name);
        let names = 0..cluster.spec.name_nodes.replicas;
        let claims = names.map(|ordinal| format!("data-{set}-{ordinal}"));
        found.former_volumes =
            storage::has_former(context, &owner, &cluster.metadata, claims).await?;
    }
    if let Some(rack) = &cluster.spec.rack {
        found.racks = racks::racks(context, &rack.topology_key).await?;
    }
    if let Some(name) = zookeeper_binding(cluster) {
        found.zookeeper = connection(context, &owner, &name).await?;
    }
    Ok(found)
}

/// What NameNodes are told now of DataNodes that go.
async fn excludes(context: &Context, owner: &Owner) -> Result<String, Error> {
    let files = context
        .namespaced::<ConfigMap>(&owner.namespace)
        .get_opt(&files_name(&RoleKind::NameNode.set(&owner.name)))
        .await
        .map_err(Error::doing("reading the files of NameNodes"))?
        .filter(|files| owner.owns(&files.metadata));
    let mut data = files.and_then(|files| files.data).unwrap_or_default();
    Ok(data.remove(EXCLUDES).unwrap_or_default())
}

/// The Secret with the connection details of the ZooKeeper.
fn zookeeper_binding(cluster: &HdfsCluster) -> Option<String> {
    let zookeeper = cluster.spec.zookeeper.as_ref()?;
    let given = zookeeper.binding_secret.clone();
    given.or_else(|| zookeeper.ensemble.as_deref().map(zookeeper::binding_name))
}

async fn connection(
    context: &Context,
    owner: &Owner,
    secret: &str,
) -> Result<Option<String>, Error> {
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(secret)
        .await
        .map_err(Error::doing("reading the binding of the ZooKeeper"))?;
    let data = secret.and_then(|secret| secret.data);
    Ok(secrets::text(data.as_ref(), "connection-string").map(str::to_owned))
}

/// How far the pods must reach: the ZooKeeper may be somebody else's.
pub(super) async fn reach(context: &Context, cluster: &HdfsCluster) -> Result<Reach, Error> {
    let owner = Owner::of(cluster)?;
    let bindings: Vec<String> = zookeeper_binding(cluster).into_iter().collect();
    network::reach(context, &owner, &bindings).await
}
