//! Looks into a running cluster and changes who belongs to it.
//!
//! That it cannot be reached is no failure of a reconcile: nodes may be on their way. What is not known is not done.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::crd::{KafkaCluster, QuorumStatus};
use super::membership::{self, Change, Inside};
use super::validate::ValidatedKafka;
use super::{CONTROLLER_PORT, reach};
use crate::context::Context;
use crate::remote::kafka::{ClusterKey, Endpoint, KafkaAdmin, KafkaError};

/// What was seen and done inside.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The quorum.
    pub(super) quorum: Option<QuorumStatus>,
    /// The id that the cluster has.
    pub(super) cluster_id: Option<String>,
    /// A partition that lacks a copy in sync, if there is one.
    pub(super) unsynced: Option<String>,
    /// A change of the quorum under way.
    pub(super) changing: Option<String>,
}

/// The way into a cluster that has worked and has a ready node; `None` where there is no hope of an answer.
async fn admin(context: &Context, cluster: &KafkaCluster) -> Option<Arc<KafkaAdmin>> {
    let status = cluster.status.as_ref()?;
    if !status.bootstrapped || status.ready_nodes == 0 {
        return None;
    }
    let key = ClusterKey {
        namespace: cluster.metadata.namespace.clone()?,
        name: cluster.metadata.name.clone()?,
    };
    match reach::admin(context, &key).await {
        Ok(admin) => admin,
        Err(error) => {
            tracing::info!(cluster = key.name, %error, "there is no way into Kafka");
            None
        }
    }
}

/// What has to be known before nodes may go; `None` when Kafka cannot be asked.
pub(super) async fn look(context: &Context, cluster: &KafkaCluster) -> Option<Inside> {
    let admin = admin(context, cluster).await?;
    match facts(&admin).await {
        Ok(inside) => Some(inside),
        Err(error) => {
            tracing::info!(%error, "Kafka could not be asked whether nodes may go");
            None
        }
    }
}

async fn facts(admin: &KafkaAdmin) -> Result<Inside, KafkaError> {
    let quorum = admin.quorum().await?;
    let topics = admin.topics().await?;
    Ok(Inside::of(&quorum, &topics))
}

/// Takes one step towards the membership that is asked for. `asked` are the controllers of the spec.
pub(super) async fn settle(
    context: &Context,
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    asked: &BTreeSet<i32>,
) -> Seen {
    let Some(admin) = admin(context, cluster).await else {
        return Seen::default();
    };
    match step(&admin, kafka, asked).await {
        Ok(seen) => seen,
        Err(error) => {
            tracing::info!(cluster = kafka.owner.name, %error, "the quorum could not be looked at");
            Seen::default()
        }
    }
}

async fn step(
    admin: &KafkaAdmin,
    kafka: &ValidatedKafka,
    asked: &BTreeSet<i32>,
) -> Result<Seen, KafkaError> {
    let view = admin.quorum().await?;
    let topics = admin.topics().await?;
    let inside = Inside::of(&view, &topics);
    let there: BTreeSet<i32> = kafka.all_nodes().map(|node| node.id).collect();
    let registered = admin.registered_brokers().await?;
    for id in membership::forgotten(&registered, &there, &inside) {
        admin.unregister_broker(id).await?;
        tracing::info!(
            cluster = kafka.owner.name,
            id,
            "a broker that is gone was unregistered"
        );
    }
    let mut seen = Seen {
        cluster_id: admin.cluster().await?.cluster_id,
        unsynced: membership::unsynced(&topics),
        ..Seen::default()
    };
    if let Some(change) = membership::change(&view, asked) {
        let told = tell(&change);
        seen.changing = Some(match carry_out(admin, kafka, &change).await {
            Ok(()) => told,
            // The leader takes one change at a time; the next look tries again.
            Err(error) => format!("{told}: {error}"),
        });
    } else if asked
        .iter()
        .any(|id| !view.voters.iter().any(|voter| voter.id == *id))
    {
        seen.changing = Some("a controller has to catch up before it votes".into());
    }
    let mut voters: Vec<i32> = view.voters.iter().map(|voter| voter.id).collect();
    voters.sort_unstable();
    seen.quorum = Some(QuorumStatus {
        leader: (view.leader >= 0).then_some(view.leader),
        voters,
    });
    Ok(seen)
}

async fn carry_out(
    admin: &KafkaAdmin,
    kafka: &ValidatedKafka,
    change: &Change,
) -> Result<(), KafkaError> {
    let told = tell(change);
    match change {
        Change::Add { id, directory } => {
            let Some(node) = kafka.all_nodes().find(|node| node.id == *id) else {
                return Ok(());
            };
            let endpoint = Endpoint {
                listener: "CONTROLLER".into(),
                host: node.host,
                port: u16::try_from(CONTROLLER_PORT).unwrap_or_default(),
            };
            admin.add_voter(*id, *directory, &[endpoint]).await?;
        }
        Change::Remove { id, directory, .. } => admin.remove_voter(*id, *directory).await?,
    }
    tracing::info!(cluster = kafka.owner.name, told, "the quorum was changed");
    Ok(())
}

fn tell(change: &Change) -> String {
    match change {
        Change::Add { id, .. } => format!("controller {id} comes to vote"),
        Change::Remove { id, reason, .. } => format!("controller {id} loses its vote: {reason}"),
    }
}
