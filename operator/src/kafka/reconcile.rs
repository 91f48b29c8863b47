//! The reconciler of KafkaCluster: reads as a table of contents.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::binding_name;
use super::build::{self, COMPONENT, VOLUME};
use super::crd::{KafkaCluster, KafkaClusterStatus};
use super::validate::{ValidatedKafka, validate};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, managed, status_of};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::storage::Volumes;
use crate::reconcile::{
    self, Applied, Error, Owner, Preparation, Prepared, Resources, roll, storage,
};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::BindingStatus;

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
        match Owner::of(object) {
            Ok(owner) => pods::set_serves(context, &owner).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, cluster: &KafkaCluster) -> Result<Preparation, Error> {
        let (kafka, resources) = prepare(context, cluster).await?;
        let mut preparation = Preparation::of(kafka.owner, resources, build::kinds());
        let live = cluster.status.as_ref().and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &kafka.storage.size);
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        cluster: &KafkaCluster,
    ) -> Result<Reconciled<KafkaClusterStatus>, Error> {
        let (kafka, prepared) = prepare(context, cluster).await?;
        let applied = reconcile::apply(context, &kafka.owner, prepared, &build::kinds()).await?;
        let volumes = storage::grow(
            context,
            &kafka.owner,
            VOLUME,
            &kafka.owner.name,
            kafka.nodes,
            &kafka.storage.size,
        )
        .await
        .map_err(Error::doing("growing volumes"))?;
        let rolling = match applied.get::<StatefulSet>(&kafka.owner.name) {
            Some(set) => roll::roll(context, &kafka.owner, COMPONENT, &set)
                .await
                .map_err(Error::doing("restarting nodes"))?,
            None => None,
        };
        let trouble = pods::trouble(context, &kafka.owner, COMPONENT).await;
        Ok(status(
            cluster, &kafka, &applied, &volumes, rolling, trouble,
        ))
    }
}

/// Reads, checks and builds; writes nothing.
async fn prepare(
    context: &Context,
    cluster: &KafkaCluster,
) -> Result<(ValidatedKafka, Resources<Prepared>), Error> {
    let template = dereference(context, cluster).await?;
    let kafka = validate(cluster, template, &context.settings.images)?;
    let resources = build::build(&kafka)?;
    Ok((kafka, resources))
}

/// The claim template of the live StatefulSet, which cannot be changed.
async fn dereference(
    context: &Context,
    cluster: &KafkaCluster,
) -> Result<Option<PersistentVolumeClaim>, Error> {
    let owner = Owner::of(cluster)?;
    storage::live_template(context, &owner, &owner.name).await
}

fn status(
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    applied: &Resources<Applied>,
    volumes: &Volumes,
    rolling: Option<String>,
    trouble: Option<String>,
) -> Reconciled<KafkaClusterStatus> {
    let generation = cluster.metadata.generation;
    let ready = applied
        .get::<StatefulSet>(&kafka.owner.name)
        .and_then(|set| set.status)
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0);
    let mut status = status_of(cluster);
    let (host, port) = build::bootstrap(kafka);
    status.bootstrap_servers = Some(format!("{host}:{port}"));
    status.binding = Some(BindingStatus {
        name: binding_name(&kafka.owner.name),
    });
    status.ready_nodes = ready;
    status.pending_restarts = applied.pending().to_vec();
    status.storage = volumes.size.as_ref().map(|size| size.0.clone());
    let conditions = &mut status.conditions;
    let available = ready >= kafka.nodes;
    let counted = format!("{ready} of {} nodes ready", kafka.nodes);
    let told = match (&trouble, available) {
        (Some(trouble), false) => format!("{counted}: {trouble}"),
        _ => counted,
    };
    set_condition(
        conditions,
        AVAILABLE,
        available,
        if available { "Ready" } else { "NodesNotReady" },
        &told,
        generation,
    );
    match &rolling {
        Some(step) => set_condition(
            conditions,
            PROGRESSING,
            true,
            "Restarting",
            step,
            generation,
        ),
        None if available => {
            set_condition(conditions, PROGRESSING, false, "Settled", "", generation)
        }
        None => set_condition(conditions, PROGRESSING, true, "Starting", &told, generation),
    };
    if let Some(refused) = &volumes.refused {
        set_condition(
            conditions,
            DEGRADED,
            true,
            "VolumeCannotGrow",
            refused,
            generation,
        );
    }
    let settled = is_true(&status.conditions, AVAILABLE) && rolling.is_none();
    Reconciled::Status(status, Duration::from_secs(if settled { 300 } else { 15 }))
}
