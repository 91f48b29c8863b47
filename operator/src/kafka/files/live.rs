//! What a node is told when it starts next.

use super::super::nodes::Pool;
use super::super::validate::{Founding, ValidatedKafka};
use crate::reconcile::{approval, racks};

/// What the names of these files start with.
pub const LIVE: &str = approval::LIVE;

pub(super) fn entries(kafka: &ValidatedKafka, pool: &Pool) -> Vec<(String, String)> {
    let quorum: Vec<String> = kafka
        .nodes()
        .filter(|node| node.controller)
        .map(|node| node.controller_address())
        .collect();
    let founder = match kafka.founding {
        Founding::By(id) => id.to_string(),
        Founding::Done => "none".into(),
        Founding::Refused => "refused".into(),
    };
    let mut entries = vec![
        ("cluster-id".into(), kafka.cluster_id.clone()),
        ("founder".into(), founder),
        // Any of them leads a node to the others. Here and not in the settings, so that a controller more or less
        // restarts nobody.
        ("quorum".into(), quorum.join(",")),
        (
            "metadata-version".into(),
            kafka
                .metadata_version
                .clone()
                .unwrap_or_else(|| "latest".into()),
        ),
    ];
    if let Some(external) = kafka.external.as_ref().filter(|_| pool.broker) {
        let own = pool.all_nodes(&kafka.owner);
        entries.extend(own.iter().filter_map(|node| {
            let address = external.brokers.get(&node.id)?;
            Some((format!("advertised-{}", node.id), address.to_string()))
        }));
    }
    if let Some(racks) = kafka.racks.as_ref().filter(|_| pool.broker) {
        entries.push(("racks".into(), racks::table(racks)));
    }
    entries
}
