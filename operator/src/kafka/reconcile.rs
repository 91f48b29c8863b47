//! The reconciler of KafkaCluster: reads as a table of contents.

use std::collections::BTreeSet;

use kube::Resource;
use kube::api::ApiResource;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;

use super::crd::{KafkaCluster, KafkaClusterStatus};
use super::dereference::{self, dereference};
use super::inside::Inside;
use super::moves::Factors;
use super::status::{Seen, status};
use super::validate::{ValidatedKafka, set_names, validate};
use super::{COMPONENT, authority, build, disk, inside, membership, rolling, volume};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled};
use crate::network::{self, Reach};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::restarts::Rolling;
use crate::reconcile::storage::{Growing, Volumes};
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources, storage};
use crate::topic::crd::KafkaTopic;

/// The reconciler of KafkaCluster.
pub struct Kafka;

impl Component for Kafka {
    type Kind = KafkaCluster;
    type Error = Error;
    const NAME: &'static str = "kafka";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("kafkaclusters", &build::kinds());
        rules.extend(storage::rules());
        rules.extend(dereference::rules());
        rules.extend(volume::rules());
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
        controller.watches(
            context.scoped::<DeserializeGuard<KafkaTopic>>(scope),
            watcher::Config::default(),
            |topic| {
                let topic = topic.0.ok()?;
                topic.asked_factor()?;
                let name = topic.spec.kafka.as_deref()?;
                Some(ObjectRef::new(name).within(topic.metadata.namespace.as_deref()?))
            },
        )
    }

    async fn serves(context: &Context, object: &KafkaCluster) -> Result<Option<bool>, kube::Error> {
        let Ok(owner) = Owner::of(object) else {
            return Ok(None);
        };
        let mut serves = None;
        for set in set_names(&object.spec, &owner.name) {
            if let Some(ready) = pods::named_set_serves(context, &owner, &set).await? {
                serves = Some(serves == Some(true) || ready);
            }
        }
        Ok(serves)
    }

    async fn prepare(context: &Context, cluster: &KafkaCluster) -> Result<Preparation, Error> {
        let (mut kafka, mut resources, mut held) = prepare(context, cluster, None).await?;
        if !held.is_empty() {
            // Whether nodes may go is known inside only.
            let inside = inside::look(context, cluster).await;
            (kafka, resources, held) = prepare(context, cluster, inside.as_ref()).await?;
        }
        let owner = kafka.owner;
        let mut preparation = Preparation::of(owner.clone(), resources, build::kinds());
        for pool in &kafka.pools {
            for volume in &pool.volumes {
                // The status has the smallest volume of the pool only.
                let (name, set) = (&volume.name, &pool.set);
                let live = storage::live_size(context, &owner, name, set, pool.replicas).await?;
                let live = live.as_ref().map(|live| live.0.as_str());
                preparation.grow_volumes(live, &volume.storage.size);
            }
        }
        preparation.refused.extend(held);
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        cluster: &KafkaCluster,
    ) -> Result<Reconciled<KafkaClusterStatus>, Error> {
        // Once, for everything that follows.
        let inside = inside::look(context, cluster).await;
        let (mut kafka, mut prepared, mut held) =
            prepare(context, cluster, inside.as_ref()).await?;
        if kafka.lacks_addresses() {
            // Nodes wait until they know what to advertise: so that is brought about first.
            let mut services = Resources::new();
            for service in build::external_services(&kafka) {
                services.add(&service)?;
            }
            reconcile::ensure(context, &kafka.owner, services).await?;
            (kafka, prepared, held) = prepare(context, cluster, inside.as_ref()).await?;
        }
        // Before what it issued: what an authority issues that nobody remembers is worth nothing.
        authority::keep(context, &kafka).await?;
        let applied = reconcile::apply(context, &kafka.owner, prepared, &build::kinds()).await?;
        let asked = asked_controllers(&kafka);
        let factors = match &inside {
            Some(_) => dereference::factors(context, &kafka.owner).await?,
            None => Factors::new(),
        };
        let settled = inside::settle(cluster, &kafka, &asked, &factors, inside.as_ref()).await;
        let volumes = grow(context, cluster, &kafka, &settled.volumes).await?;
        let inside = inside::refreshed(context, cluster, inside, &settled).await;
        let view = inside.as_ref().map(|inside| &inside.view);
        let pods_now = rolling::pods(context, &kafka, &applied).await?;
        let members = &pods_now.members;
        let replacement = volume::replace(context, cluster, &kafka, members, view).await?;
        // What is to be deleted with its volumes is not restarted beside it.
        let pending = applied.pending();
        let rolling = if volume::is_deleting(replacement.as_ref()) {
            Rolling::default()
        } else {
            rolling::roll(context, cluster, &kafka, &pods_now, pending, view).await?
        };
        let version = inside::raise_metadata(&kafka, inside.as_ref(), rolling.settled).await;
        let trouble = pods::trouble(context, &kafka.owner, COMPONENT).await;
        let (status, event) = status(
            cluster,
            &kafka,
            &applied,
            Seen {
                volumes,
                rolling,
                trouble,
                held,
                inside: settled,
                replacement,
                version,
            },
        );
        if let Some((reason, told)) = event {
            let object = cluster.object_ref(&());
            context.event(&object, true, reason, &told).await;
        }
        Ok(status)
    }
}

/// What a cluster is to be, before anything is written.
async fn prepare(
    context: &Context,
    cluster: &KafkaCluster,
    inside: Option<&Inside>,
) -> Result<(ValidatedKafka, Resources<Prepared>, Vec<String>), Error> {
    let found = dereference(context, cluster).await?;
    let mut kafka = validate(cluster, &found, &context.settings.images)?;
    let mut held = Vec::new();
    if has_worked(cluster) && kafka.pools.iter().any(membership::shrinks) {
        let known =
            inside.map(|inside| membership::Inside::of(&inside.view.quorum, &inside.view.topics));
        held = membership::hold(&mut kafka, known.as_ref());
    }
    let mut prepared = build::build(&kafka)?;
    network::add(
        &mut prepared,
        &context.settings,
        &kafka.owner,
        COMPONENT,
        Reach::Table,
    )?;
    Ok((kafka, prepared, held))
}

fn has_worked(cluster: &KafkaCluster) -> bool {
    let status = cluster.status.as_ref();
    status.is_some_and(|status| status.bootstrapped)
}

/// The controllers of the spec, without those that are only held.
fn asked_controllers(kafka: &ValidatedKafka) -> BTreeSet<i32> {
    kafka
        .pools
        .iter()
        .filter(|pool| pool.controller)
        .flat_map(|pool| (0..pool.asked).map(|ordinal| pool.first_node_id + ordinal))
        .collect()
}

/// Grows the volumes of all pools, by the spec and where they fill. Gives them by StatefulSet. `seen` says how full they are.
async fn grow(
    context: &Context,
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    seen: &[disk::Volume],
) -> Result<Vec<(String, Volumes)>, Error> {
    let mut all = Vec::new();
    for pool in &kafka.pools {
        // Each of its own size: the volumes of a node need not be alike.
        for volume in &pool.volumes {
            let growing = Growing {
                template: &volume.name,
                set: &pool.set,
                replicas: pool.replicas,
                storage: &volume.storage,
                growth: cluster.spec.storage_growth.as_ref(),
            };
            let rooms = |_: &_| disk::rooms(pool, volume, seen);
            let grown = storage::grow_filling(context, &kafka.owner, &growing, rooms).await?;
            all.push((pool.set.clone(), grown));
        }
    }
    Ok(all)
}
