//! Looks into a running cluster and changes who belongs to it.
//!
//! That it cannot be reached is no failure of a reconcile: nodes may be on their way. What is not known is not done.

mod disks;
mod features;
mod moves;
mod quorum;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::crd::{KafkaCluster, QuorumStatus};
use super::disk::Volume;
use super::membership;
use super::moves::Factors;
use super::reach;
use super::validate::ValidatedKafka;
use super::view::View;
use crate::context::Context;
use crate::remote::kafka::{ClusterKey, KafkaAdmin, KafkaError};

pub use features::Version;
pub use moves::Moved;

/// What was seen and done inside.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The quorum.
    pub quorum: Option<QuorumStatus>,
    /// The id that the cluster has.
    pub cluster_id: Option<String>,
    /// A change of the quorum under way.
    pub changing: Option<String>,
    /// Volumes of the brokers that could be asked.
    pub volumes: Vec<Volume>,
    /// Replicas that are moved; `None` when Kafka could not be asked.
    pub moved: Option<Moved>,
}

impl Seen {
    /// Whether who votes or where replicas are may be another since the view that this was decided from.
    fn may_have_changed(&self) -> bool {
        let moved = self.moved.as_ref();
        self.changing.is_some() || moved.is_some_and(|moved| !moved.plan.batch.is_empty())
    }
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

/// A cluster that can be asked, and what it said.
pub struct Inside {
    /// The way in.
    pub admin: Arc<KafkaAdmin>,
    /// What was seen.
    pub view: View,
}

/// Looks into the cluster; `None` when Kafka cannot be asked.
pub(super) async fn look(context: &Context, cluster: &KafkaCluster) -> Option<Inside> {
    let admin = admin(context, cluster).await?;
    match View::look(&admin).await {
        Ok(view) => Some(Inside { admin, view }),
        Err(error) => {
            tracing::info!(%error, "Kafka could not be asked");
            None
        }
    }
}

/// Takes one step towards the membership and the placement that are asked for. `asked` are the controllers of the spec,
/// `factors` what topics ask for.
pub async fn settle(
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    asked: &BTreeSet<i32>,
    factors: &Factors,
    inside: Option<&Inside>,
) -> Seen {
    let Some(Inside { admin, view }) = inside else {
        return Seen::default();
    };
    let mut seen = Seen {
        cluster_id: view.cluster_id.clone(),
        quorum: Some(quorum::status(view)),
        ..Seen::default()
    };
    if let Err(error) = forget(admin, kafka, view).await {
        tracing::info!(cluster = kafka.owner.name, %error, "a broker that is gone could not be unregistered");
    }
    seen.changing = quorum::step(admin, kafka, asked, view).await;
    let directories = disks::look(admin, view).await;
    seen.volumes = disks::volumes(&directories);
    seen.moved = Some(moves::step(admin, cluster, kafka, view, &directories, factors).await);
    if view.reassignments.is_empty() && view.wants_election() {
        // Brokers do it too, minutes later and only where much is out of place.
        if let Err(error) = admin.elect_preferred_leaders().await {
            tracing::info!(cluster = kafka.owner.name, %error, "preferred leaders could not be elected");
        }
    }
    seen
}

/// The same inside, looked at again when no node may be restarted for what was seen: it is too old, for a reconcile may be
/// slow, or something was changed after it.
pub(super) async fn refreshed(
    context: &Context,
    cluster: &KafkaCluster,
    inside: Option<Inside>,
    settled: &Seen,
) -> Option<Inside> {
    match inside {
        Some(inside) if settled.may_have_changed() || !inside.view.is_fresh() => {
            look(context, cluster).await
        }
        fresh => fresh,
    }
}

/// Raises the version of the metadata if it is to be raised. `all_run` says whether all nodes run what is asked for.
pub async fn raise_metadata(
    kafka: &ValidatedKafka,
    inside: Option<&Inside>,
    all_run: bool,
) -> Version {
    match inside {
        Some(inside) => features::step(&inside.admin, kafka, &inside.view, all_run).await,
        None => Version::default(),
    }
}

/// Unregisters brokers that are gone for good and hold nothing.
async fn forget(admin: &KafkaAdmin, kafka: &ValidatedKafka, view: &View) -> Result<(), KafkaError> {
    let there: BTreeSet<i32> = kafka.all_nodes().map(|node| node.id).collect();
    let holding = membership::Inside::of(&view.quorum, &view.topics);
    for id in membership::forgotten(&view.registered, &there, &holding) {
        admin.unregister_broker(id).await?;
        tracing::info!(
            cluster = kafka.owner.name,
            id,
            "a broker that is gone was unregistered"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::kafka::TopicPartition;

    #[test]
    fn after_a_change_inside_it_is_looked_at_anew() {
        let with = |change: fn(&mut Seen)| {
            let mut seen = Seen {
                moved: Some(Moved::default()),
                ..Seen::default()
            };
            change(&mut seen);
            seen.may_have_changed()
        };
        assert!(!with(|_| {}));
        assert!(!with(|seen| seen.moved = None));
        assert!(with(|seen| seen.changing = Some("controller 3".into())));
        assert!(with(|seen| {
            let at = TopicPartition {
                topic: "t".into(),
                partition: 0,
            };
            let mut moved = Moved::default();
            moved.plan.batch = [(at, vec![1, 2])].into();
            seen.moved = Some(moved);
        }));
    }
}
