//! The reconciler of KafkaCluster: reads as a table of contents.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::crd::{KafkaCluster, KafkaClusterStatus};
use super::dereference::{self, dereference};
use super::status::{Seen, status};
use super::validate::{ValidatedKafka, set_names, validate};
use super::{COMPONENT, authority, build};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, managed};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::storage::Volumes;
use crate::reconcile::{
    self, Applied, Error, Owner, Preparation, Prepared, Resources, roll, storage,
};

/// The reconciler of KafkaCluster.
pub struct Kafka;

impl Component for Kafka {
    type Kind = KafkaCluster;
    type Error = Error;
    const NAME: &'static str = "kafka";

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("kafkaclusters");
        rules.extend(reconcile::rules(
            &build::kinds(),
            "Make, correct and remove the objects of a component.",
        ));
        rules.extend(storage::rules());
        rules.extend(dereference::rules());
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        controller
            .owns(context.scoped::<StatefulSet>(scope), managed())
            .owns(context.scoped::<ConfigMap>(scope), managed())
            .owns(context.scoped::<Service>(scope), managed())
            .owns(context.scoped::<Secret>(scope), managed())
            .owns(context.scoped::<PodDisruptionBudget>(scope), managed())
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
        let (kafka, resources) = prepare(context, cluster).await?;
        let mut preparation = Preparation::of(kafka.owner, resources, build::kinds());
        for pool in &kafka.pools {
            let status = cluster.status.as_ref();
            let known = status.and_then(|s| s.pools.iter().find(|p| p.name == pool.name));
            for volume in &pool.volumes {
                let live = known.and_then(|known| known.storage.as_deref());
                preparation.grow_volumes(live, &volume.storage.size);
            }
        }
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        cluster: &KafkaCluster,
    ) -> Result<Reconciled<KafkaClusterStatus>, Error> {
        let (mut kafka, mut prepared) = prepare(context, cluster).await?;
        if kafka.lacks_addresses() {
            // Nodes wait until they know what to advertise: so that is brought about first.
            let mut services = Resources::new();
            for service in build::external_services(&kafka) {
                services.add(&service)?;
            }
            reconcile::ensure(context, &kafka.owner, services).await?;
            (kafka, prepared) = prepare(context, cluster).await?;
        }
        // Before what it issued: what an authority issues that nobody remembers is worth nothing.
        authority::keep(context, &kafka).await?;
        let applied = reconcile::apply(context, &kafka.owner, prepared, &build::kinds()).await?;
        let volumes = grow(context, &kafka).await?;
        let rolling = roll(context, &kafka, &applied).await?;
        let trouble = pods::trouble(context, &kafka.owner, COMPONENT).await;
        Ok(status(
            cluster,
            &kafka,
            &applied,
            Seen {
                volumes,
                rolling,
                trouble,
            },
        ))
    }
}

/// What a cluster is to be, before anything is written.
async fn prepare(
    context: &Context,
    cluster: &KafkaCluster,
) -> Result<(ValidatedKafka, Resources<Prepared>), Error> {
    let found = dereference(context, cluster).await?;
    let kafka = validate(cluster, &found, &context.settings.images)?;
    let prepared = build::build(&kafka)?;
    Ok((kafka, prepared))
}

/// Grows the volumes of all pools. Gives them by StatefulSet.
async fn grow(context: &Context, kafka: &ValidatedKafka) -> Result<Vec<(String, Volumes)>, Error> {
    let mut all = Vec::new();
    for pool in &kafka.pools {
        for volume in &pool.volumes {
            let size = &volume.storage.size;
            let grown = storage::grow(
                context,
                &kafka.owner,
                &volume.name,
                &pool.set,
                pool.replicas,
                size,
            )
            .await
            .map_err(Error::doing("growing volumes"))?;
            all.push((pool.set.clone(), grown));
        }
    }
    Ok(all)
}

async fn roll(
    context: &Context,
    kafka: &ValidatedKafka,
    applied: &Resources<Applied>,
) -> Result<Option<String>, Error> {
    for pool in &kafka.pools {
        let Some(set) = applied.get::<StatefulSet>(&pool.set) else {
            continue;
        };
        let rolling = roll::roll(context, &kafka.owner, &set)
            .await
            .map_err(Error::doing("restarting nodes"))?;
        if rolling.is_some() {
            return Ok(rolling);
        }
    }
    Ok(None)
}
