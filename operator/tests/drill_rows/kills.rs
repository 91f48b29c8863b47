//! Processes that are killed with -9.

use std::time::Duration;

use crate::drill_support::clock;
use crate::{JOB, Scene, ZOOKEEPER};

const NAME_NODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const FAIL_OVER: &str = "org.apache.hadoop.hdfs.tools.DFSZKFailoverController";
const JOURNAL_NODE: &str = "org.apache.hadoop.hdfs.qjournal.server.JournalNode";
const DATA_NODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";
const QUORUM_PEER: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

/// The active NameNode is killed, and what else is named of its pod.
fn kill_active(scene: &Scene<'_>, more: &[&str]) -> String {
    let (active, _) = scene.wait_active();
    let before = scene.nodes.wait_restarts(active, "namenode");
    let killed = clock();
    scene.nodes.kill(active, NAME_NODE);
    for word in more {
        scene.nodes.kill(active, word);
    }
    scene.nodes.wait_restarted(active, "namenode", before);
    scene.wait_settled("a NameNode after kill -9");
    let (other, since) = scene.wait_active();
    assert!(
        other != active && since > killed,
        "{active} is active again"
    );
    scene.wait_told_active(other);
    format!("{other} was active after {:.1} s", seconds(since - killed))
}

/// The active NameNode.
pub fn name_node(scene: &mut Scene<'_>) -> String {
    kill_active(scene, &[])
}

/// The active NameNode, and what would see that it ended.
pub fn name_node_and_controller(scene: &mut Scene<'_>) -> String {
    kill_active(scene, &[FAIL_OVER])
}

/// A JournalNode.
pub fn journal_node(scene: &mut Scene<'_>) -> String {
    let pod = "lake-journalnode-1";
    scene.nodes.kill_and_wait(pod, "journalnode", JOURNAL_NODE);
    scene.wait_settled("a JournalNode after kill -9");
    String::new()
}

/// A DataNode.
pub fn data_node(scene: &mut Scene<'_>) -> String {
    let pod = "lake-datanode-0";
    scene.nodes.kill_and_wait(pod, "datanode", DATA_NODE);
    scene.wait_settled("a DataNode after kill -9");
    String::new()
}

/// The server of ZooKeeper that leads.
pub fn leader(scene: &mut Scene<'_>) -> String {
    let leader = scene.wait_text(ZOOKEEPER, "leader");
    let before = scene.wait_active();
    scene.nodes.kill_and_wait(&leader, "zookeeper", QUORUM_PEER);
    scene.wait_settled("a ZooKeeper server after kill -9");
    let stayed = scene.wait_active() == before;
    let stayed = if stayed { "stayed" } else { "changed" };
    format!("the active NameNode {stayed}")
}

/// One pod of the archive after the other.
pub fn archive(scene: &mut Scene<'_>) -> String {
    let selector = scene.wait_text(JOB, "selector");
    let pods = scene.nodes.pods(&selector);
    assert_eq!(pods.len(), 2);
    for (pod, _) in &pods {
        scene.nodes.kill_and_wait(pod, "archive", "archive");
        scene.wait_settled("the archive after kill -9");
    }
    "one pod after the other".to_owned()
}
