//! Servers that are restarted by a changed setting, one after the other, and all at once.

use std::time::Instant;

use serde_json::json;

use crate::drill_support::{LIMIT, Nodes, clock, condition, fresh};
use crate::{HDFS, JOB, KAFKA, NAME_NODES, Scene, ZOOKEEPER};

/// Changes the spec of a resource, and waits until each of its pods is another one. Gives them in the order in which they
/// became so. Before each look `watch` is told which were so by then.
fn restarted(
    scene: &Scene<'_>,
    resource: (&str, &str),
    spec: &serde_json::Value,
    mut watch: impl FnMut(&[String]),
) -> Vec<String> {
    let selector = format!("app.kubernetes.io/instance={}", resource.1);
    let before = scene.nodes.pods(&selector);
    scene.nodes.patch(resource, &json!({"spec": spec}));
    let mut order: Vec<String> = Vec::new();
    while order.len() < before.len() {
        let what = format!("a restart after those of {order:?}");
        let next = scene.nodes.wait(&what, LIMIT, || {
            watch(&order);
            let is_new = |(name, uid): &(String, String)| {
                let of_before = before.iter().find(|pod| pod.0 == *name);
                !order.contains(name) && of_before.is_some_and(|pod| pod.1 != *uid)
            };
            scene.nodes.pods(&selector).into_iter().find(is_new)
        });
        order.push(next.0);
    }
    order
}

/// JournalNodes come first, then NameNodes with the active one last, then DataNodes; another NameNode is active then.
pub fn hdfs(scene: &mut Scene<'_>) -> String {
    let at = clock();
    // Of no matter to anybody, and read at the start.
    let period = (3600 + fresh() % 1000).to_string();
    let change = json!({"hdfsSite": {"dfs.namenode.checkpoint.period": period}});
    let mut active = None;
    let order = restarted(scene, HDFS, &change, |order| {
        // Who is active when the turn of the NameNodes comes counts; another one may be it by then.
        if !order.iter().any(|pod| NAME_NODES.contains(&pod.as_str())) {
            active = scene.active().or(active);
        }
    });
    let (active, _) = active.expect("nobody was active before a NameNode was restarted");
    scene.wait_settled("HDFS restarted by a changed setting");
    let role = |pod: &String| pod.rsplit_once('-').unwrap().0.to_owned();
    let mut roles: Vec<String> = order.iter().map(role).collect();
    roles.dedup();
    assert_eq!(
        roles,
        ["lake-journalnode", "lake-namenode", "lake-datanode"],
        "{order:?}"
    );
    let name_nodes: Vec<&String> = order
        .iter()
        .filter(|pod| pod.contains("namenode"))
        .collect();
    assert_eq!(name_nodes.len(), NAME_NODES.len(), "{order:?}");
    assert_eq!(
        name_nodes[NAME_NODES.len() - 1],
        active,
        "{order:?}: the active one comes last"
    );
    let (now, since) = scene.wait_active();
    assert!(now != active && since > at, "{active} is active again");
    scene.wait_told_active(now);
    format!(
        "{} pods: JournalNodes, the standbys, the active NameNode, DataNodes",
        order.len()
    )
}

/// The leader comes last, and another one leads then.
pub fn zookeeper(scene: &mut Scene<'_>) -> String {
    let mut leader = scene.wait_text(ZOOKEEPER, "leader");
    let connections = (100 + fresh() % 100).to_string();
    let change = json!({"config": {"maxClientCnxns": connections}});
    let order = restarted(scene, ZOOKEEPER, &change, |order| {
        if order.is_empty() {
            leader = scene.wait_text(ZOOKEEPER, "leader");
        }
    });
    scene.wait_settled("ZooKeeper restarted by a changed setting");
    assert_eq!(order.len(), 3, "{order:?}");
    assert_eq!(order[2], leader, "{order:?}: the leader comes last");
    scene.nodes.wait("another leader", LIMIT, || {
        let told = scene.wait_text(ZOOKEEPER, "leader");
        (told != leader).then_some(())
    });
    "the leader last".to_owned()
}

/// What a NameNode has noted of its file system when it was formatted.
fn version(nodes: &Nodes, pod: &str) -> Vec<String> {
    let cat = [
        "exec",
        pod,
        "-c",
        "namenode",
        "--",
        "cat",
        "/data/name/current/VERSION",
    ];
    let text = nodes.answer(&cat);
    // A comment holds when it was written last.
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn stop(scene: &Scene<'_>, stopped: bool, resources: &[(&str, &str)]) {
    for resource in resources {
        scene
            .nodes
            .patch(*resource, &json!({"spec": {"stopped": stopped}}));
    }
    if !stopped {
        return scene.nodes.wait_settled("a cold start", resources);
    }
    for (kind, name) in resources {
        scene.nodes.wait(&format!("{name} stopped"), LIMIT, || {
            let seen = scene.nodes.get(kind, name)?;
            (condition(&seen, "Stopped") == Some("True")).then_some(())
        });
    }
}

/// Everything is stopped, Kafka too, and started again.
pub fn cold_start(scene: &mut Scene<'_>) -> String {
    let of_each = |nodes: &Nodes| NAME_NODES.map(|pod| version(nodes, pod));
    let (versions, id) = (
        of_each(scene.nodes),
        scene.status(HDFS)["clusterId"].clone(),
    );
    let keys = ["namespaceID=", "clusterID=", "blockpoolID="];
    for key in keys {
        assert!(
            versions[0].iter().any(|line| line.starts_with(key)),
            "{versions:?}"
        );
    }
    // Kafka is stopped too: what a producer sends then is not acknowledged.
    scene.events.pause();
    let (begin, orders) = (Instant::now(), [&[JOB][..], &[HDFS], &[KAFKA, ZOOKEEPER]]);
    for resources in orders {
        stop(scene, true, resources);
    }
    scene.nodes.wait("no pods", LIMIT, || {
        let left = scene.nodes.pods("app.kubernetes.io/part-of=millrace");
        left.is_empty().then_some(())
    });
    let down = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for resources in orders.into_iter().rev() {
        stop(scene, false, resources);
    }
    let up = begin.elapsed().as_secs_f64();
    scene.events.resume();
    assert_eq!(of_each(scene.nodes), versions, "formatted");
    let status = scene.status(HDFS);
    assert_eq!(
        (&status["clusterId"], &status["formatted"]),
        (&id, &json!(true))
    );
    format!(
        "stopped in {down:.0} s, up in {up:.0} s; not formatted: the ids of the file system are the same"
    )
}
