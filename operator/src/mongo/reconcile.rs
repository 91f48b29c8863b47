//! The reconciler of MongoCluster.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::ApiResource;

use super::build::{self, VOLUME};
use super::crd::{Engine, MongoCluster, MongoClusterStatus};
use super::validate::{ValidatedMongo, validate};
use super::{COMPONENT, PORT, binding_name, replica};
use crate::context::Context;
use crate::controller::{Component, Reconciled, status_of};
use crate::network::{self, Reach};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll::{self, Gate};
use crate::reconcile::storage::{self, Volumes};
use crate::reconcile::{self, Applied, Error, Owner, Preparation, Prepared, Resources};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::types::{BindingStatus, tell_stopped};

/// The reconciler of MongoCluster.
pub struct Mongo;

impl Component for Mongo {
    type Kind = MongoCluster;
    type Error = Error;
    const NAME: &'static str = "mongo";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("mongoclusters", &build::kinds());
        rules.extend(storage::rules());
        rules.push(storage::single_rule());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    async fn serves(context: &Context, object: &MongoCluster) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => pods::set_serves(context, &owner).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, object: &MongoCluster) -> Result<Preparation, Error> {
        let (mongo, found) = look(context, object).await?;
        if mongo.engine == Engine::Mongodb {
            return replica::prepare(context, object, (mongo, found)).await;
        }
        let resources = objects(context, &mongo)?;
        let mut preparation = Preparation::of(mongo.owner, resources, build::kinds());
        let live = object.status.as_ref().and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &mongo.storage.size);
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        object: &MongoCluster,
    ) -> Result<Reconciled<MongoClusterStatus>, Error> {
        let (mongo, found) = look(context, object).await?;
        if mongo.engine == Engine::Mongodb {
            return replica::reconcile(context, object, (mongo, found)).await;
        }
        let prepared = objects(context, &mongo)?;
        let owner = &mongo.owner;
        let applied = reconcile::apply(context, owner, prepared, &build::kinds()).await?;
        let size = &mongo.storage.size;
        let volumes = storage::grow(context, owner, VOLUME, &owner.name, 1, size)
            .await
            .map_err(Error::doing("growing volumes"))?;
        let set = applied.get::<StatefulSet>(&owner.name);
        let rolling = roll(context, &mongo, &applied, set.as_ref()).await?;
        let trouble = pods::trouble(context, owner, COMPONENT).await;
        let seen = Seen {
            applied,
            set,
            rolling,
            volumes,
            trouble,
        };
        Ok(status(object, &mongo, seen))
    }
}

/// Reads and checks; writes nothing.
async fn look(
    context: &Context,
    object: &MongoCluster,
) -> Result<(ValidatedMongo, replica::Found), Error> {
    let found = replica::dereference(context, object).await?;
    let images = &context.settings.images;
    let mongo = validate(object, &found, images, Timestamp::now())?;
    Ok((mongo, found))
}

fn objects(context: &Context, mongo: &ValidatedMongo) -> Result<Resources<Prepared>, Error> {
    let mut resources = build::build(mongo)?;
    network::add(
        &mut resources,
        &context.settings,
        &mongo.owner,
        COMPONENT,
        Reach::Table,
    )?;
    Ok(resources)
}

async fn roll(
    context: &Context,
    mongo: &ValidatedMongo,
    applied: &Resources<Applied>,
    set: Option<&StatefulSet>,
) -> Result<Rolling, Error> {
    if mongo.operation.stopped {
        return Ok(Rolling::default());
    }
    let sets: Vec<StatefulSet> = set.cloned().into_iter().collect();
    let named = [(CONFIG, "its settings changed")];
    let pods = Pods::of(context, &mongo.owner, &sets, &named).await?;
    // There is no other server that would have to be asked.
    let decision = roll::next(&pods.members, |_| 0, |_| Gate::Open);
    restarts::carry_out(context, &mongo.owner, &pods, &decision, applied.pending()).await
}

/// What was seen after the objects were applied.
struct Seen {
    applied: Resources<Applied>,
    set: Option<StatefulSet>,
    rolling: Rolling,
    volumes: Volumes,
    trouble: Option<String>,
}

fn status(
    object: &MongoCluster,
    mongo: &ValidatedMongo,
    seen: Seen,
) -> Reconciled<MongoClusterStatus> {
    let generation = object.metadata.generation;
    let mut status = status_of(object);
    status.binding = Some(BindingStatus {
        name: binding_name(&mongo.owner.name),
    });
    status.address = Some(format!("{}:{PORT}", mongo.host()));
    status.storage = seen.volumes.size.map(|size| size.0);
    status.restarts = seen.rolling.restarts;
    status.pending_restarts = seen.applied.pending().to_vec();
    let pods = seen.set.and_then(|set| set.status);
    let ready = pods.as_ref().and_then(|pods| pods.ready_replicas);
    let available = ready.unwrap_or_default() > 0;
    let (reason, told) = match (available, seen.trouble) {
        (true, _) => ("Ready", "the server takes connections".to_owned()),
        (false, Some(trouble)) => ("PodNotReady", trouble),
        (false, None) => ("PodNotReady", "the server is starting".to_owned()),
    };
    let conditions = &mut status.conditions;
    set_condition(conditions, AVAILABLE, available, reason, &told, generation);
    let (progressing, reason, step) = match &seen.rolling.told {
        Some(step) => (true, "Restarting", step.as_str()),
        None if available => (false, "Settled", ""),
        None => (true, "Starting", told.as_str()),
    };
    set_condition(
        conditions,
        PROGRESSING,
        progressing,
        reason,
        step,
        generation,
    );
    let stopped = mongo.operation.stopped;
    tell_stopped(
        conditions,
        stopped,
        pods.map_or(0, |p| p.replicas),
        generation,
    );
    if let Some(refused) = &seen.volumes.refused {
        let reason = "VolumeCannotGrow";
        set_condition(conditions, DEGRADED, true, reason, refused, generation);
    }
    let settled = stopped || (available && !progressing);
    Reconciled::Status(status, Duration::from_secs(if settled { 300 } else { 15 }))
}
