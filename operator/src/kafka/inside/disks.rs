//! What brokers say of their own directories.

use std::collections::BTreeMap;

use crate::disk::Room;
use crate::kafka::disk::Volume;
use crate::kafka::view::View;
use crate::remote::kafka::{KafkaAdmin, LogDirectory};

/// The directories of brokers, by node id.
pub(super) type Directories = BTreeMap<i32, Vec<LogDirectory>>;

/// Asks every broker. One that does not answer is left out.
pub(super) async fn look(admin: &KafkaAdmin, view: &View) -> Directories {
    let mut all = Directories::new();
    for broker in view.registered.iter().filter(|broker| !broker.fenced) {
        match admin.log_directories(&broker.address).await {
            Ok(directories) => {
                all.insert(broker.id, directories);
            }
            Err(error) => {
                tracing::debug!(%error, node = broker.id, "what its directories hold is not known");
            }
        }
    }
    all
}

/// The file systems that they are on.
pub(super) fn volumes(all: &Directories) -> Vec<Volume> {
    let volume = |(node, directory): (&i32, &LogDirectory)| {
        Some(Volume {
            node: *node,
            directory: directory.path.clone(),
            room: Room {
                total: directory.total_bytes?,
                usable: directory.usable_bytes?,
            },
        })
    };
    all.iter()
        .flat_map(|(node, directories)| directories.iter().map(move |one| (node, one)))
        .filter_map(volume)
        .collect()
}
