//! The reconciler of HdfsCluster: reads as a table of contents.

use std::time::{Duration, Instant};

use kube::Resource;
use kube::api::ApiResource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;

use super::crd::{DecommissionStatus, HdfsCluster, HdfsClusterStatus};
use super::dereference::{self, dereference};
use super::roles::{Role, RoleKind};
use super::status::{Seen, status};
use super::validate::{ValidatedHdfs, validate};
use super::view::View;
use super::{COMPONENT, build, decommission, disk, inside, rolling};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected};
use crate::disk as guard;
use crate::network;
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::storage::Volumes;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources, storage};
use crate::types::Quantity;
use crate::zookeeper::crd::ZooKeeperEnsemble;

/// What was seen longer ago is looked at again before a server is restarted for it.
const FRESH: Duration = Duration::from_secs(5);

/// The reconciler of HdfsCluster.
pub struct Hdfs;

impl Component for Hdfs {
    type Kind = HdfsCluster;
    type Error = Error;
    const NAME: &'static str = "hdfs";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("hdfsclusters", &build::kinds());
        rules.extend(storage::rules());
        rules.extend(dereference::rules());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let store = controller.store();
        controller.watches(
            context.scoped::<ZooKeeperEnsemble>(scope),
            watcher::Config::default(),
            move |ensemble: ZooKeeperEnsemble| -> Vec<ObjectRef<_>> {
                let name = ensemble.metadata.name;
                affected(
                    &store,
                    ensemble.metadata.namespace.as_deref(),
                    |cluster: &HdfsCluster| {
                        let zookeeper = cluster.spec.zookeeper.as_ref();
                        zookeeper.is_some_and(|z| z.ensemble.is_some() && z.ensemble == name)
                    },
                )
            },
        )
    }

    async fn serves(context: &Context, object: &HdfsCluster) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => {
                let set = RoleKind::NameNode.set(&owner.name);
                pods::named_set_serves(context, &owner, &set).await
            }
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, cluster: &HdfsCluster) -> Result<Preparation, Error> {
        let look = look(context, cluster).await?;
        let mut preparation = Preparation::of(look.hdfs.owner, look.resources, build::kinds());
        let live = cluster.status.as_ref().and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &look.hdfs.data_nodes.storage.size);
        preparation
            .waiting
            .extend(decommission::told(&look.leaving));
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        cluster: &HdfsCluster,
    ) -> Result<Reconciled<HdfsClusterStatus>, Error> {
        let Look {
            hdfs,
            resources,
            view,
            at,
            leaving,
        } = look(context, cluster).await?;
        let applied = reconcile::apply(context, &hdfs.owner, resources, &build::kinds()).await?;
        let volumes = grow(context, &hdfs, &view).await?;
        let worked = has_worked(cluster);
        // What was seen longer ago says too little to restart a server.
        let view = if at.elapsed() < FRESH {
            view
        } else {
            inside_of(cluster, &hdfs).await
        };
        let rolling = rolling::roll(context, &hdfs, &applied, &view, worked).await?;
        let trouble = pods::trouble(context, &hdfs.owner, COMPONENT).await;
        let seen = Seen {
            view,
            volumes,
            rolling,
            trouble,
            leaving,
        };
        let (reconciled, event) = status(cluster, &hdfs, &applied, seen);
        if let Some((reason, told)) = event {
            let object = cluster.object_ref(&());
            context.event(&object, true, reason, &told).await;
        }
        Ok(reconciled)
    }
}

/// What a cluster is to be, and what it is.
struct Look {
    hdfs: ValidatedHdfs,
    resources: Resources<Prepared>,
    view: View,
    at: Instant,
    leaving: Vec<DecommissionStatus>,
}

/// Reads, checks and builds; writes nothing.
async fn look(context: &Context, cluster: &HdfsCluster) -> Result<Look, Error> {
    let found = dereference(context, cluster).await?;
    let mut hdfs = validate(cluster, &found, &context.settings.images)?;
    let at = Instant::now();
    let view = inside_of(cluster, &hdfs).await;
    let mut leaving = Vec::new();
    if has_worked(cluster) {
        if decommission::shrinks(&hdfs) {
            leaving = decommission::hold(&mut hdfs, &view);
        }
        decommission::follow(&mut hdfs, &view, &found.excludes);
    }
    let mut resources = build::build(&hdfs)?;
    let reach = dereference::reach(context, cluster).await?;
    network::add(
        &mut resources,
        &context.settings,
        &hdfs.owner,
        COMPONENT,
        reach,
    )?;
    Ok(Look {
        hdfs,
        resources,
        view,
        at,
        leaving,
    })
}

/// Asks the servers of a cluster that has worked; of another, nobody would answer.
async fn inside_of(cluster: &HdfsCluster, hdfs: &ValidatedHdfs) -> View {
    if has_worked(cluster) && !hdfs.stopped {
        inside::look(hdfs).await
    } else {
        View::default()
    }
}

fn has_worked(cluster: &HdfsCluster) -> bool {
    let status = cluster.status.as_ref();
    status.is_some_and(|status| status.formatted)
}

/// Grows the volumes of all roles, by the spec and where they fill, and gives them in the order of the roles.
async fn grow(context: &Context, hdfs: &ValidatedHdfs, view: &View) -> Result<Vec<Volumes>, Error> {
    let mut all = Vec::new();
    for role in hdfs.roles() {
        let mut volumes = grow_to(context, hdfs, role, &role.storage.size).await?;
        if let (Some(growth), Some(live)) = (&role.storage_growth, &volumes.size) {
            let servers = disk::servers(hdfs, role, Some(live), view);
            let rooms = servers.iter().map(|server| server.room);
            if let Some(larger) = guard::grown(growth, rooms, live) {
                volumes = grow_to(context, hdfs, role, &larger).await?;
            }
        }
        all.push(volumes);
    }
    Ok(all)
}

async fn grow_to(
    context: &Context,
    hdfs: &ValidatedHdfs,
    role: &Role,
    size: &Quantity,
) -> Result<Volumes, Error> {
    let mut volumes = Volumes::default();
    for (name, _) in role.mounts() {
        let grown = storage::grow(context, &hdfs.owner, &name, &role.set, role.replicas, size)
            .await
            .map_err(Error::doing("growing volumes"))?;
        let smaller = |a: &Volumes, b: &Volumes| {
            let bytes = |v: &Volumes| v.size.as_ref().and_then(|size| size.bytes());
            b.size.is_none() || bytes(a).is_some_and(|a| Some(a) < bytes(b))
        };
        if smaller(&grown, &volumes) {
            volumes.size.clone_from(&grown.size);
        }
        volumes.refused = volumes.refused.or(grown.refused);
    }
    Ok(volumes)
}
