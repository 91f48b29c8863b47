//! DataNodes as the NameNode knows them, and one that goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::drill_support::pods::Stage;
use crate::drill_support::{LIMIT, Nodes};
use crate::{DATA_NODES, HDFS, Scene};

/// With so many blocks a decommission takes longer than the operator takes to look again.
const MANY: u64 = 50;

/// Asks for so many DataNodes.
pub fn ask(nodes: &Nodes, count: u32) {
    nodes.patch(HDFS, &json!({"spec": {"dataNodes": {"replicas": count}}}));
}

/// What a NameNode says of a DataNode, which it may hear of no longer, in its `NameNodeInfo`.
fn told_of(info: &Value, pod: &str) -> Option<Value> {
    let name = format!("{pod}.");
    ["LiveNodes", "DeadNodes"].into_iter().find_map(|list| {
        let nodes: BTreeMap<String, Value> = serde_json::from_str(info[list].as_str()?).ok()?;
        let mut nodes = nodes.into_iter();
        nodes.find_map(|(host, node)| host.starts_with(&name).then_some(node))
    })
}

/// The NameNode knows each DataNode in the rack that the node of Kubernetes says.
pub fn nothing(scene: &mut Scene<'_>) -> String {
    for ordinal in 0..DATA_NODES {
        let pod = format!("lake-datanode-{ordinal}");
        let runs_at = scene.nodes.wait_get("pod", &pod)["spec"]["nodeName"].clone();
        let what = format!("{pod} known to the NameNode");
        let told = scene
            .nodes
            .wait(&what, LIMIT, || told_of(&scene.jmx("NameNodeInfo")?, &pod));
        let rack = format!("/{}", runs_at.as_str().unwrap());
        assert_eq!(told["location"], rack, "{pod}: {told}");
    }
    std::thread::sleep(Duration::from_secs(30));
    format!("{DATA_NODES} DataNodes in the racks of their nodes")
}

/// The last DataNode goes when the NameNode calls it decommissioned, and comes back.
pub fn fewer(scene: &mut Scene<'_>) -> String {
    let pod = format!("lake-datanode-{}", DATA_NODES - 1);
    let what = format!("blocks of {pod} that have to be moved");
    let blocks = scene.nodes.wait(&what, LIMIT, || {
        let node = told_of(&scene.jmx("NameNodeInfo")?, &pod)?;
        node["numBlocks"].as_u64().filter(|blocks| *blocks > 0)
    });
    let started = Instant::now();
    ask(scene.nodes, DATA_NODES - 1);
    // What the NameNode said last while the pod was wanted.
    let mut before = None;
    // As the status tells it meanwhile, from what the NameNode says.
    let (mut named, mut most_left) = (false, None);
    // What the NameNode says first after the pod was seen to go. No later answer would do: the DataNode is named among
    // those that are to go only while it is there, and is none of them when the NameNode has read that.
    let info = scene.nodes.wait("a DataNode that goes", LIMIT, || {
        // A pod is looked at before the NameNode is asked: what it says then was so when the pod was seen, or later.
        let stage = scene.nodes.stage(&pod)?;
        let info = scene.jmx("NameNodeInfo")?;
        if stage != Stage::Wanted {
            return Some(info);
        }
        before = told_of(&info, &pod);
        let status = scene.nodes.get(HDFS.0, HDFS.1)?["status"].clone();
        let leaving = &status["decommissions"][0];
        if leaving["pod"] == pod {
            named = true;
            most_left = most_left.max(leaving["blocksLeft"].as_u64());
        }
        None
    });
    let after = told_of(&info, &pod);
    let decommissioned = [&before, &after].into_iter().flatten();
    assert!(
        decommissioned
            .map(|node| &node["adminState"])
            .any(|state| state == "Decommissioned"),
        "{pod} went before the NameNode called it decommissioned: {before:?}, then {after:?}"
    );
    assert_eq!(
        info["NumberOfMissingBlocks"], 0,
        "blocks without a copy when {pod} went"
    );
    assert!(named, "{pod} was never in status.decommissions");
    assert!(
        most_left > Some(0) || blocks < MANY,
        "status.decommissions: {most_left:?} of {blocks} blocks"
    );
    scene.nodes.wait("the pod of a DataNode gone", LIMIT, || {
        (scene.nodes.stage(&pod)? == Stage::Gone).then_some(())
    });
    let gone = started.elapsed().as_secs_f64();
    scene.wait_settled("two DataNodes");
    // Files are written all the time: a block has its second copy a moment later.
    scene.nodes.wait("copies of all blocks", LIMIT, || {
        let seen = scene.jmx("FSNamesystemState")?;
        (seen["UnderReplicatedBlocks"] == 0).then_some(())
    });
    let proof = scene.lake.verify();
    assert!(proof.wrong.is_empty(), "{:?}", proof.wrong);
    ask(scene.nodes, DATA_NODES);
    scene.wait_settled("three DataNodes again");
    format!("{blocks} blocks; decommissioned before its pod ended, after {gone:.0} s; then 2 → 3")
}
