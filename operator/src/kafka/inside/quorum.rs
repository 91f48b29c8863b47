//! Changes of the quorum of controllers.

use std::collections::BTreeSet;

use crate::kafka::CONTROLLER_PORT;
use crate::kafka::crd::QuorumStatus;
use crate::kafka::membership::{self, Change};
use crate::kafka::validate::ValidatedKafka;
use crate::kafka::view::View;
use crate::remote::kafka::{Endpoint, KafkaAdmin, KafkaError};

/// Takes one step towards the controllers that are asked for. Says what changes, or what a change waits for.
pub(super) async fn step(
    admin: &KafkaAdmin,
    kafka: &ValidatedKafka,
    asked: &BTreeSet<i32>,
    view: &View,
) -> Option<String> {
    let quorum = &view.quorum;
    if let Some(change) = membership::change(quorum, asked) {
        let told = tell(&change);
        return Some(match carry_out(admin, kafka, &change).await {
            Ok(()) => told,
            // The leader takes one change at a time; the next look tries again.
            Err(error) => format!("{told}: {error}"),
        });
    }
    let votes = |id: &i32| quorum.voters.iter().any(|voter| voter.id == *id);
    (!asked.iter().all(votes)).then(|| "a controller has to catch up before it votes".into())
}

/// The quorum as it is told.
pub(super) fn status(view: &View) -> QuorumStatus {
    let mut voters: Vec<i32> = view.quorum.voters.iter().map(|voter| voter.id).collect();
    voters.sort_unstable();
    QuorumStatus {
        leader: (view.quorum.leader >= 0).then_some(view.quorum.leader),
        voters,
    }
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
