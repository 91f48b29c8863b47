//! The reconciler of ZooKeeperEnsemble.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Resource;
use kube::api::ApiResource;

use super::build::{self, VOLUME};
use super::crd::{ZooKeeperEnsemble, ZooKeeperEnsembleStatus};
use super::gate::{self, Modes};
use super::validate::{ValidatedZooKeeper, validate};
use super::{CLIENT_PORT, COMPONENT, binding_name};
use crate::context::Context;
use crate::controller::{Component, Reconciled, status_of};
use crate::disk::{self, Room};
use crate::network::{self, Reach};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::storage::{Growing, Volumes};
use crate::reconcile::{
    self, Applied, Error, Owner, Preparation, Prepared, Resources, roll, storage,
};
use crate::remote::zookeeper::{self, Mode};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::types::{BindingStatus, Quantity, tell_stopped};

/// The reconciler of ZooKeeperEnsemble.
pub struct ZooKeepers;

impl Component for ZooKeepers {
    type Kind = ZooKeeperEnsemble;
    type Error = Error;
    const NAME: &'static str = "zookeeper";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("zookeeperensembles", &build::kinds());
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
        let set = applied.get::<StatefulSet>(&owner.name);
        let (modes, stored) = look(&zookeeper, set.as_ref()).await;
        let growing = Growing {
            template: VOLUME,
            set: &owner.name,
            replicas: zookeeper.servers,
            storage: &zookeeper.storage,
            growth: zookeeper.storage_growth.as_ref(),
        };
        let volumes = storage::grow_filling(context, owner, &growing, |live| {
            rooms(&stored, Some(live)).map(|(_, room)| room).collect()
        })
        .await?;
        let rolling = roll(context, &zookeeper, &applied, set.as_ref(), &modes).await?;
        let trouble = pods::trouble(context, owner, COMPONENT).await;
        let seen = Seen {
            applied,
            set,
            modes,
            stored,
            rolling,
            volumes,
            trouble,
        };
        let (reconciled, event) = status(object, &zookeeper, seen);
        if let Some((reason, told)) = event {
            let object = object.object_ref(&());
            context.event(&object, true, reason, &told).await;
        }
        Ok(reconciled)
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

/// Bytes that each server has stored, by pod; of those that say so.
type Stored = BTreeMap<String, u64>;

/// Asks all servers at once. Those of an ensemble that has no ready pod are not asked: nobody would answer.
async fn look(zookeeper: &ValidatedZooKeeper, set: Option<&StatefulSet>) -> (Modes, Stored) {
    let (mut modes, mut stored) = (Modes::new(), Stored::new());
    if ready(set) == 0 {
        return (modes, stored);
    }
    let asked = zookeeper.pods().map(|pod| async move {
        let address = format!("{}:{CLIENT_PORT}", zookeeper.host(&pod));
        let (mode, bytes) =
            future::join(zookeeper::mode(&address), zookeeper::stored(&address)).await;
        (pod, mode, bytes)
    });
    for (pod, mode, bytes) in future::join_all(asked).await {
        if let Some(bytes) = bytes {
            stored.insert(pod.clone(), bytes);
        }
        if let Some(mode) = mode {
            modes.insert(pod, mode);
        }
    }
    (modes, stored)
}

/// The room on the volume of each server that said what it has stored; `live` is the size of the smallest.
fn rooms<'a>(
    stored: &'a Stored,
    live: Option<&'a Quantity>,
) -> impl Iterator<Item = (&'a str, Room)> {
    let rooms = stored.iter();
    rooms.filter_map(move |(pod, bytes)| Some((pod.as_str(), disk::of_claim(*bytes, live)?)))
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
    stored: Stored,
    rolling: Rolling,
    volumes: Volumes,
    trouble: Option<String>,
}

fn status(
    object: &ZooKeeperEnsemble,
    zookeeper: &ValidatedZooKeeper,
    seen: Seen,
) -> (
    Reconciled<ZooKeeperEnsembleStatus>,
    Option<(&'static str, String)>,
) {
    let generation = object.metadata.generation;
    let mut status = status_of(object);
    status.binding = Some(BindingStatus {
        name: binding_name(&zookeeper.owner.name),
    });
    let rooms = rooms(&seen.stored, seen.volumes.size.as_ref());
    // What could not be seen is as it was.
    if let Some(volume) = disk::fullest(rooms, status.disk.as_ref()) {
        status.disk = Some(volume);
    }
    status.storage = seen.volumes.size.clone().map(|size| size.0);
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
    let event = disk::tell_volume(
        conditions,
        status.disk.as_ref(),
        "a server ends when its log cannot be written, and no NameNode can take over without a majority",
        "make volumes larger (spec.storage.size)",
        generation,
    );
    let settled = stopped || (whole && !progressing);
    // That a volume fills sends no event.
    let again = Duration::from_secs(if settled { 60 } else { 15 });
    let used = status.disk.as_ref().map(|disk| disk.used_percent);
    (
        Reconciled::Status(status, disk::look_again(used, again)),
        event,
    )
}
