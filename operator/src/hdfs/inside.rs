//! Looks into a running cluster. That it cannot be asked is no failure of a reconcile: NameNodes may be on their way.

use futures::future;

use super::validate::ValidatedHdfs;
use super::view::View;
use super::{JOURNAL_NODE_HTTP_PORT, NAME_NODE_HTTP_PORT};
use crate::remote::hdfs::{NameNodeClient, volume};

/// Asks the NameNodes and the JournalNodes at once.
pub(super) async fn look(hdfs: &ValidatedHdfs) -> View {
    let nodes = hdfs.nodes(&hdfs.name_nodes);
    let journals = hdfs.journal_nodes.iter();
    let journals: Vec<_> = journals.flat_map(|role| hdfs.nodes(role)).collect();
    let rooms = journals.iter().map(|node| async move {
        let address = format!("{}:{JOURNAL_NODE_HTTP_PORT}", node.host);
        Some((node.pod.clone(), volume::room(&address).await?))
    });
    let asked = nodes.iter().map(|node| async move {
        let client = NameNodeClient::new(&format!("{}:{NAME_NODE_HTTP_PORT}", node.host));
        match client.look().await {
            Ok(view) => Some((node.pod.clone(), view)),
            Err(error) => {
                tracing::info!(pod = node.pod, %error, "a NameNode could not be asked");
                None
            }
        }
    });
    let (answered, rooms) = future::join(future::join_all(asked), future::join_all(rooms)).await;
    View {
        name_nodes: answered.into_iter().flatten().collect(),
        journals: rooms.into_iter().flatten().collect(),
    }
}
