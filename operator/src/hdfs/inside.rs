//! Looks into a running cluster. That it cannot be asked is no failure of a reconcile: NameNodes may be on their way.

use futures::future;

use super::NAME_NODE_HTTP_PORT;
use super::roles::Node;
use super::view::View;
use crate::remote::hdfs::NameNodeClient;

/// Asks these NameNodes at once.
pub(super) async fn look(nodes: &[Node]) -> View {
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
    let answered = future::join_all(asked).await;
    View {
        name_nodes: answered.into_iter().flatten().collect(),
    }
}
