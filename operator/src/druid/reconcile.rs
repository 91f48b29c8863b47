//! The reconciler of DruidCluster: reads as a table of contents.

use kube::ResourceExt;
use kube::api::ApiResource;
use kube::runtime::watcher;

use super::build::{self, VOLUME};
use super::crd::{DruidCluster, DruidClusterStatus};
use super::dereference::{self, dereference};
use super::roles::RoleKind;
use super::status::{Seen, status};
use super::validate::{DeepStorage, ValidatedDruid, validate};
use super::view::View;
use super::{COMPONENT, inside, rolling};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled};
use crate::hdfs::crd::HdfsCluster;
use crate::network;
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::storage::Volumes;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources, secrets, storage};
use crate::zookeeper::crd::ZooKeeperEnsemble;

/// The reconciler of DruidCluster.
pub struct Druids;

impl Component for Druids {
    type Kind = DruidCluster;
    type Error = Error;
    const NAME: &'static str = "druid";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("druidclusters", &build::kinds());
        rules.extend(storage::rules());
        rules.push(storage::single_rule());
        rules.extend(dereference::rules());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    fn refers(druid: &DruidCluster) -> Vec<String> {
        let ensemble = druid.spec.zookeeper.ensemble.iter();
        let hdfs = druid.spec.deep_storage.hdfs.iter();
        ensemble.chain(hdfs).cloned().collect()
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let (by_zookeeper, by_hdfs) = (context.references.clone(), context.references.clone());
        controller
            .watches(
                context.scoped::<ZooKeeperEnsemble>(scope),
                watcher::Config::default(),
                move |ensemble| {
                    by_zookeeper.to(ensemble.namespace().as_deref(), &ensemble.name_any())
                },
            )
            .watches(
                context.scoped::<HdfsCluster>(scope),
                watcher::Config::default(),
                move |hdfs| by_hdfs.to(hdfs.namespace().as_deref(), &hdfs.name_any()),
            )
    }

    async fn serves(context: &Context, object: &DruidCluster) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => {
                let set = RoleKind::Broker.set(&owner.name);
                pods::named_set_serves(context, &owner, &set).await
            }
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, cluster: &DruidCluster) -> Result<Preparation, Error> {
        let (druid, resources) = look(context, cluster).await?;
        // What it holds is made once, by whoever does it: nothing of it is for a plan.
        let users = druid.security.users(&druid.owner);
        let mut preparation = Preparation::of(druid.owner, resources, build::kinds());
        preparation.steps.extend(users.map(|secret| {
            let name = secret.name_any();
            format!("make Secret {name} with new passwords")
        }));
        let live = cluster.status.as_ref().and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &cluster.spec.historicals.storage.size);
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        cluster: &DruidCluster,
    ) -> Result<Reconciled<DruidClusterStatus>, Error> {
        let (druid, resources) = look(context, cluster).await?;
        let made = make_place(context, cluster, &druid).await?;
        if let Some(secret) = druid.security.users(&druid.owner) {
            secrets::create(context, &druid.owner, &secret).await?;
        }
        let applied = reconcile::apply(context, &druid.owner, resources, &build::kinds()).await?;
        let volumes = grow(context, &druid).await?;
        let view = inside_of(cluster, &druid).await;
        let before = cluster.status.as_ref().and_then(|s| s.drain.as_ref());
        let rolled = rolling::roll(context, &druid, &applied, &view, before).await?;
        let trouble = pods::trouble(context, &druid.owner, COMPONENT).await;
        let seen = Seen {
            view,
            volumes,
            rolled,
            trouble,
        };
        let mut told = status(cluster, &druid, &applied, seen);
        if let Reconciled::Status(status, _) = &mut told {
            status.directory_made |= made;
        }
        Ok(told)
    }
}

/// Reads, checks and builds; writes nothing.
async fn look(
    context: &Context,
    cluster: &DruidCluster,
) -> Result<(ValidatedDruid, Resources<Prepared>), Error> {
    let found = dereference(context, cluster).await?;
    let druid = validate(cluster, &found, &context.settings.images)?;
    let mut resources = build::build(&druid)?;
    let reach = dereference::reach(context, cluster).await?;
    network::add(
        &mut resources,
        &context.settings,
        &druid.owner,
        COMPONENT,
        reach,
    )?;
    Ok((druid, resources))
}

/// Makes what segments are kept in, before the first server needs it. Whether there is a directory in HDFS.
async fn make_place(
    context: &Context,
    cluster: &DruidCluster,
    druid: &ValidatedDruid,
) -> Result<bool, Error> {
    let status = cluster.status.as_ref();
    match &druid.deep_storage {
        DeepStorage::Volume(_) => Ok(false),
        // An HDFS that is away later takes nothing back.
        DeepStorage::Hdfs(_) if druid.stopped || status.is_some_and(|s| s.directory_made) => {
            Ok(false)
        }
        DeepStorage::Hdfs(_) => match dereference::directory(context, druid).await? {
            None => Ok(true),
            Some(invalid) => Err(Error::Missing {
                reason: "DeepStorageMissing",
                invalid,
            }),
        },
    }
}

/// Asks the servers of a cluster that has worked; of another, nobody would answer.
async fn inside_of(cluster: &DruidCluster, druid: &ValidatedDruid) -> View {
    let status = cluster.status.as_ref();
    let worked = status.is_some_and(|status| status.ready.coordinators > 0);
    if worked && !druid.stopped {
        inside::look(druid).await
    } else {
        View::default()
    }
}

/// Makes the volume that all share, and grows all volumes by the spec.
async fn grow(
    context: &Context,
    druid: &ValidatedDruid,
) -> Result<Vec<(RoleKind, Volumes)>, Error> {
    let owner = &druid.owner;
    let mut all = Vec::new();
    for role in &druid.roles {
        let Some(asked) = &role.storage else {
            continue;
        };
        let size = &asked.size;
        let grown = storage::grow(context, owner, VOLUME, &role.set, role.replicas, size)
            .await
            .map_err(Error::doing("growing volumes"))?;
        all.push((role.kind, grown));
    }
    if let DeepStorage::Volume(asked) = &druid.deep_storage {
        let name = druid.segments_name();
        let grown = storage::single(context, owner, COMPONENT, &name, asked).await?;
        all.push((RoleKind::Coordinator, grown));
    }
    Ok(all)
}
