//! The reconciler of ZooKeeperEnsemble.

use std::time::Duration;

use futures::future;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::ApiResource;

use super::build::{self, VOLUME};
use super::crd::{ZooKeeperEnsemble, ZooKeeperEnsembleStatus};
use super::gate::{self, Modes};
use super::validate::{ValidatedZooKeeper, validate};
use super::{CLIENT_PORT, COMPONENT, binding_name};
use crate::context::Context;
use crate::controller::{Component, Reconciled, status_of};
use crate::network::{self, Reach};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::storage::Volumes;
use crate::reconcile::{
    self, Applied, Error, Owner, Preparation, Prepared, Resources, roll, storage,
};
use crate::remote::zookeeper::{self, Mode};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::types::{BindingStatus, tell_stopped};

/// The reconciler of ZooKeeperEnsemble.
pub struct ZooKeepers;

impl Component for ZooKeepers {
    type Kind = ZooKeeperEnsemble;
    type Error = Error;
    const NAME: &'static str = "zookeeper";

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("zookeeperensembles");
        rules.extend(reconcile::rules(
            &build::kinds(),
            "Make, correct and remove the objects of a component.",
        ));
        rules.extend(storage::rules());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    async fn serves(
        context: &Context,
        object: &ZooKeeperEnsemble,
    ) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => pods::set_serves(context, &owner).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, object: &ZooKeeperEnsemble) -> Result<Preparation, Error> {
        let (zookeeper, resources) = prepare(context, object).await?;
        let mut preparation = Preparation::of(zookeeper.owner, resources, build::kinds());
        let live = object.status.as_ref().and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &zookeeper.storage.size);
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        object: &ZooKeeperEnsemble,
    ) -> Result<Reconciled<ZooKeeperEnsembleStatus>, Error> {
        let (zookeeper, prepared) = prepare(context, object).await?;
        let owner = &zookeeper.owner;
        let applied = reconcile::apply(context, owner, prepared, &build::kinds()).await?;
        let size = &zookeeper.storage.size;
        let servers = zookeeper.servers;
        let volumes = storage::grow(context, owner, VOLUME, &owner.name, servers, size)
            .await
            .map_err(Error::doing("growing volumes"))?;
        let set = applied.get::<StatefulSet>(&owner.name);
        let modes = modes(&zookeeper, set.as_ref()).await;
        let rolling = roll(context, &zookeeper, &applied, set.as_ref(), &modes).await?;
        let trouble = pods::trouble(context, owner, COMPONENT).await;
        let seen = Seen {
            applied,
            set,
            modes,
            rolling,
            volumes,
            trouble,
        };
        Ok(status(object, &zookeeper, seen))
    }
}

/// Reads, checks and builds; writes nothing.
async fn prepare(
    context: &Context,
    object: &ZooKeeperEnsemble,
) -> Result<(ValidatedZooKeeper, Resources<Prepared>), Error> {
    let owner = Owner::of(object)?;
    let live = storage::live_template(context, &owner, &owner.name).await?;
    let zookeeper = validate(object, live, &context.settings.images)?;
    let mut resources = build::build(&zookeeper)?;
    network::add(
        &mut resources,
        &context.settings,
        &zookeeper.owner,
        COMPONENT,
        Reach::Table,
    )?;
    Ok((zookeeper, resources))
}

/// Asks all servers at once. Those of an ensemble that has no ready pod are not asked: nobody would answer.
async fn modes(zookeeper: &ValidatedZooKeeper, set: Option<&StatefulSet>) -> Modes {
    if ready(set) == 0 {
        return Modes::new();
    }
    let asked = zookeeper.pods().map(|pod| async move {
        let address = format!("{}:{CLIENT_PORT}", zookeeper.host(&pod));
        let mode = zookeeper::mode(&address).await?;
        Some((pod, mode))
    });
    future::join_all(asked)
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn roll(
    context: &Context,
    zookeeper: &ValidatedZooKeeper,
    applied: &Resources<Applied>,
    set: Option<&StatefulSet>,
    modes: &Modes,
) -> Result<Rolling, Error> {
    if zookeeper.operation.stopped {
        return Ok(Rolling::default());
    }
    let sets: Vec<StatefulSet> = set.cloned().into_iter().collect();
    let named = [(CONFIG, "its settings changed")];
    let pods = Pods::of(context, &zookeeper.owner, &sets, &named).await?;
    let servers = usize::try_from(zookeeper.servers).unwrap_or_default();
    let decision = roll::next(
        &pods.members,
        |member| gate::rank(member, modes),
        |member| gate::gate(member, modes, servers),
    );
    restarts::carry_out(
        context,
        &zookeeper.owner,
        &pods,
        &decision,
        applied.pending(),
    )
    .await
}

fn ready(set: Option<&StatefulSet>) -> i32 {
    set.and_then(|set| set.status.as_ref()?.ready_replicas)
        .unwrap_or_default()
}

/// What was seen after the objects were applied.
struct Seen {
    applied: Resources<Applied>,
    set: Option<StatefulSet>,
    modes: Modes,
    rolling: Rolling,
    volumes: Volumes,
    trouble: Option<String>,
}

fn status(
    object: &ZooKeeperEnsemble,
    zookeeper: &ValidatedZooKeeper,
    seen: Seen,
) -> Reconciled<ZooKeeperEnsembleStatus> {
    let generation = object.metadata.generation;
    let mut status = status_of(object);
    status.binding = Some(BindingStatus {
        name: binding_name(&zookeeper.owner.name),
    });
    status.storage = seen.volumes.size.map(|size| size.0);
    status.ready_servers = ready(seen.set.as_ref());
    let mut leaders = seen.modes.iter().filter(|(_, m)| **m == Mode::Leader);
    status.leader = leaders.next().map(|(pod, _)| pod.clone());
    status.restarts = seen.rolling.restarts;
    status.pending_restarts = seen.applied.pending().to_vec();
    // A server is ready only as one of a majority.
    let available = status.ready_servers > zookeeper.servers / 2;
    let whole = status.ready_servers >= zookeeper.servers;
    let counted = format!(
        "{} of {} servers serve",
        status.ready_servers, zookeeper.servers
    );
    let told = match (&seen.trouble, whole) {
        (Some(trouble), false) => format!("{counted}: {trouble}"),
        _ => counted,
    };
    let reason = if available { "Ready" } else { "NoMajority" };
    let conditions = &mut status.conditions;
    set_condition(conditions, AVAILABLE, available, reason, &told, generation);
    let (progressing, reason, step) = match &seen.rolling.told {
        Some(step) => (true, "Restarting", step.as_str()),
        None if whole => (false, "Settled", ""),
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
    let pods = seen
        .set
        .and_then(|set| set.status)
        .map_or(0, |s| s.replicas);
    let stopped = zookeeper.operation.stopped;
    tell_stopped(conditions, stopped, pods, generation);
    if let Some(refused) = &seen.volumes.refused {
        let reason = "VolumeCannotGrow";
        set_condition(conditions, DEGRADED, true, reason, refused, generation);
    }
    let settled = stopped || (whole && !progressing);
    Reconciled::Status(status, Duration::from_secs(if settled { 300 } else { 15 }))
}
