//! Looks at a cluster from inside, and tells workers to take tasks or not to.

use std::collections::BTreeMap;

use futures::future;

use super::WORKER_PORT;
use super::roles::{Node, RoleKind};
use super::validate::ValidatedDruid;
use super::view::{View, WorkerView};
use crate::remote::druid::Servers;

/// Asks the coordinator and all workers at once.
pub(super) async fn look(druid: &ValidatedDruid) -> View {
    let servers = match servers(druid) {
        Ok(servers) => servers,
        Err(problem) => {
            tracing::warn!(problem, "a Druid cannot be asked");
            return View::default();
        }
    };
    // One that does not lead sends clients on, who leave their password behind; a router knows who leads.
    let coordinator = match druid.security.passwords {
        None => druid.uri(RoleKind::Coordinator),
        Some(_) => druid.uri(druid.front()),
    };
    let nodes = druid.nodes(RoleKind::Worker);
    let workers = nodes.iter().map(|node| async {
        let at = worker(druid, &node.host);
        Some((node.pod.clone(), seen(&servers, &at).await?))
    });
    let (leader, unavailable, to_load, workers) = future::join4(
        servers.leader(&coordinator),
        servers.unavailable(&coordinator),
        servers.to_load(&coordinator),
        future::join_all(workers),
    )
    .await;
    View {
        leader: leader.ok().map(pod_of),
        unavailable: unavailable.ok(),
        to_load: to_load.ok(),
        workers: workers.into_iter().flatten().collect::<BTreeMap<_, _>>(),
    }
}

fn servers(druid: &ValidatedDruid) -> Result<Servers, String> {
    Servers::new(druid.scheme(), &druid.credentials())
}

fn worker(druid: &ValidatedDruid, host: &str) -> String {
    format!("{}://{host}:{WORKER_PORT}", druid.scheme())
}

async fn seen(servers: &Servers, at: &str) -> Option<WorkerView> {
    let (enabled, tasks) = future::join(servers.is_enabled(at), servers.tasks(at)).await;
    Some(WorkerView {
        enabled: enabled.ok()?,
        tasks: tasks.ok()?,
    })
}

/// The first label of the host of an address is the pod.
fn pod_of(address: String) -> String {
    let host = address.split("://").nth(1).unwrap_or(&address);
    host.split(['.', ':', '/'])
        .next()
        .unwrap_or(host)
        .to_owned()
}

/// Lets a worker take new tasks, or not.
///
/// # Errors
/// Says why it could not be told.
pub(super) async fn set_enabled(
    druid: &ValidatedDruid,
    node: &Node,
    enabled: bool,
) -> Result<(), String> {
    let at = worker(druid, &node.host);
    servers(druid)?.set_enabled(&at, enabled).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_is_known_by_its_pod() {
        for address in [
            "http://d-coordinator-1.d-nodes.ns.svc:8081",
            "https://d-coordinator-1.d-nodes.ns.svc:8081",
            "d-coordinator-1.d-nodes.ns.svc:8081",
        ] {
            assert_eq!(pod_of(address.into()), "d-coordinator-1");
        }
    }
}
