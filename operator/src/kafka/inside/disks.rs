//! How full the volumes of brokers are, as they say themselves.

use crate::kafka::disk::Volume;
use crate::kafka::view::View;
use crate::remote::kafka::KafkaAdmin;

/// Asks every broker. One that does not answer is left out.
pub(super) async fn volumes(admin: &KafkaAdmin, view: &View) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for broker in view.registered.iter().filter(|broker| !broker.fenced) {
        let directories = match admin.log_directories(&broker.address).await {
            Ok(directories) => directories,
            Err(error) => {
                tracing::debug!(%error, node = broker.id, "how full its volumes are is not known");
                continue;
            }
        };
        for directory in directories {
            if let (Some(total), Some(usable)) = (directory.total_bytes, directory.usable_bytes) {
                volumes.push(Volume {
                    node: broker.id,
                    directory: directory.path,
                    total,
                    usable,
                });
            }
        }
    }
    volumes
}
