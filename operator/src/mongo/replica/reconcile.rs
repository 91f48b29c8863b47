//! The reconciler of a replica set: reads as a table of contents.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::CronJob;
use kube::Resource;

use super::backup::backup_name;
use super::gate;
use super::inside::{Inside, bring_about, learn, login, wanted};
use super::status::{Seen, status};
use super::{Found, pod_of};
use crate::context::Context;
use crate::controller::Reconciled;
use crate::mongo::build::{self, VOLUME};
use crate::mongo::crd::{MongoCluster, MongoClusterStatus};
use crate::mongo::validate::ValidatedMongo;
use crate::mongo::{BACKUP_COMPONENT, COMPONENT};
use crate::network::{self, Reach};
use crate::pods;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll;
use crate::reconcile::{self, Applied, Error, Preparation, Prepared, Resources, storage};
use crate::remote::mongo::{Login, RemoteMongo, step_down};
use crate::remote::pipeline;

/// What a reconcile would bring about.
pub(in crate::mongo) async fn prepare(
    context: &Context,
    cluster: &MongoCluster,
    (mut mongo, found): (ValidatedMongo, Found),
) -> Result<Preparation, Error> {
    let before = cluster.status.as_ref();
    let (login, wanted) = (login(&mongo), wanted(&mongo, found.counted, before));
    let mut inside = Preparation::default();
    if found.answers && !mongo.operation.stopped {
        match pipeline::plan(&RemoteMongo::new(&login, &wanted)).await {
            Ok(plan) => inside = plan.into(),
            Err(error) => inside.unseen.push(error.to_string()),
        }
    } else {
        let told = "the replica set and its users are made when servers answer";
        inside.steps.push(told.into());
    }
    learn(&mut mongo, &found, &Inside::Asleep);
    let resources = objects(context, &mongo)?;
    let mut preparation = Preparation::of(mongo.owner.clone(), resources, build::kinds());
    let live = before.and_then(|s| s.storage.as_deref());
    preparation.grow_volumes(live, &mongo.storage.size);
    let dumps = backup_name(&mongo.owner.name);
    if mongo.backup.is_some() && !storage::is_there(context, &mongo.owner, &dumps).await? {
        let told = format!("make the volume claim {dumps}, which outlives the cluster");
        preparation.steps.push(told);
    }
    preparation.steps.extend(inside.steps);
    preparation.refused.extend(inside.refused);
    preparation.unseen.extend(inside.unseen);
    Ok(preparation)
}

pub(in crate::mongo) async fn reconcile(
    context: &Context,
    cluster: &MongoCluster,
    (mut mongo, found): (ValidatedMongo, Found),
) -> Result<Reconciled<MongoClusterStatus>, Error> {
    let before = cluster.status.as_ref();
    let (login, wanted) = (login(&mongo), wanted(&mongo, found.counted, before));
    // MongoDB is told first, so that Secrets hold what it knows, and pods go that it has let go.
    let inside = if found.answers && !mongo.operation.stopped {
        bring_about(&login, &wanted).await
    } else {
        Inside::Asleep
    };
    learn(&mut mongo, &found, &inside);
    for change in inside.look().into_iter().flat_map(|look| &look.made) {
        let (reason, told) = (change.reason(), change.to_string());
        let object = cluster.object_ref(&());
        context.event(&object, false, reason, &told).await;
    }
    let owner = &mongo.owner;
    let observed = inside.look().map(|look| &look.observed);
    let activities = observed
        .into_iter()
        .flat_map(|observed| &observed.activities);
    let activities = activities.map(|(host, activity)| (pod_of(host).to_owned(), *activity));
    context
        .metrics
        .tell_mongo(&owner.namespace, &owner.name, activities);
    let resources = objects(context, &mongo)?;
    let applied = reconcile::apply(context, owner, resources, &build::kinds()).await?;
    let set = applied.get::<StatefulSet>(&owner.name);
    let (servers, size) = (mongo.servers(), &mongo.storage.size);
    let volumes = storage::grow(context, owner, VOLUME, &owner.name, servers, size)
        .await
        .map_err(Error::doing("growing volumes"))?;
    let dumps = match &mongo.backup {
        Some(backup) => {
            let name = backup_name(&owner.name);
            storage::single(context, owner, BACKUP_COMPONENT, &name, &backup.storage).await?
        }
        None => storage::Volumes::default(),
    };
    let worked = before.is_some_and(|status| status.initialized);
    let seen = Seen {
        rolling: roll(
            context,
            &mongo,
            (&login, &inside, worked),
            &applied,
            set.as_ref(),
        )
        .await?,
        pending: applied.pending().to_vec(),
        trouble: pods::trouble(context, owner, COMPONENT).await,
        cron_job: applied.get::<CronJob>(&backup_name(&owner.name)),
        set,
        inside,
        volumes,
        dumps,
    };
    Ok(status(cluster, &mongo, &seen))
}

fn objects(context: &Context, mongo: &ValidatedMongo) -> Result<Resources<Prepared>, Error> {
    let mut resources = build::build(mongo)?;
    let mut add = |component| {
        let settings = &context.settings;
        network::add(
            &mut resources,
            settings,
            &mongo.owner,
            component,
            Reach::Table,
        )
    };
    add(COMPONENT)?;
    if mongo.backup.is_some() {
        add(BACKUP_COMPONENT)?;
    }
    Ok(resources)
}

/// Restarts members one by one. The primary hands over before it goes: clients wait for an election of a second instead of
/// one that begins when nobody has heard of it for ten.
async fn roll(
    context: &Context,
    mongo: &ValidatedMongo,
    (login, inside, worked): (&Login, &Inside, bool),
    applied: &Resources<Applied>,
    set: Option<&StatefulSet>,
) -> Result<Rolling, Error> {
    if mongo.operation.stopped {
        return Ok(Rolling::default());
    }
    let sets: Vec<StatefulSet> = set.cloned().into_iter().collect();
    let named = [(CONFIG, "its settings or the keyfile changed")];
    let pods = Pods::of(context, &mongo.owner, &sets, &named).await?;
    let view = inside.look().and_then(|look| look.observed.set.as_ref());
    let worked = worked || view.is_some();
    let mut decision = roll::next(
        &pods.members,
        |member| gate::rank(member, view),
        |member| gate::gate(member, view, mongo.members, worked),
    );
    let primary = view.and_then(|view| view.primary.as_deref());
    if let Some(primary) = primary.filter(|_| mongo.members > 1)
        && let Some(now) = &decision.now
        && now.pod == pod_of(primary)
    {
        let waits = match step_down(login, primary).await {
            Ok(()) => "another member becomes the primary".to_owned(),
            Err(error) => error.to_string(),
        };
        decision.postpone(waits);
    }
    let pending = applied.pending();
    restarts::carry_out(context, &mongo.owner, &pods, &decision, pending).await
}
