//! Volumes of DataNodes that run full.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::drill_support::{LIMIT, Nodes, condition};
use crate::{DATA_NODES, HDFS, JOB, Scene};

/// So long volumes stay full after the archive has told that it waits.
const FULL: Duration = Duration::from_secs(60);

fn in_data_nodes(nodes: &Nodes, script: &str) {
    for ordinal in 0..DATA_NODES {
        let pod = format!("lake-datanode-{ordinal}");
        nodes.answer(&["exec", &pod, "--", "sh", "-c", script]);
    }
}

/// Takes away what fills the volumes.
pub fn empty(nodes: &Nodes) {
    in_data_nodes(nodes, EMPTY);
}

const FILL: &str = "n=$(df --output=avail -B1 /data | tail -n 1); fallocate -l \"$n\" /data/ballast || true; \
                    dd if=/dev/zero of=/data/ballast.rest bs=4k 2>/dev/null || true";
const EMPTY: &str = "rm -f /data/ballast /data/ballast.rest";

/// Fills all volumes of DataNodes to the last byte until each pod of the archive tells that it tries in vain, and some time more.
/// Gives how many rows the lake had.
fn fill(scene: &Scene<'_>) -> u64 {
    in_data_nodes(scene.nodes, FILL);
    let selector = scene.wait_text(JOB, "selector");
    for (pod, _) in scene.nodes.pods(&selector) {
        scene.nodes.wait("an archive that waits", LIMIT, || {
            let log = ["logs", &pod, "--since=10s"];
            let log = scene.nodes.try_kubectl(&log).ok()?;
            let words = ["what was not committed is read again", "trying again"];
            words.iter().any(|word| log.contains(word)).then_some(())
        });
    }
    scene.nodes.wait("DiskPressure", LIMIT, || {
        let seen = scene.nodes.get(HDFS.0, HDFS.1)?;
        let full = seen["status"]["disk"]["full"] == true;
        (full && condition(&seen, "DiskPressure") == Some("True")).then_some(())
    });
    let rows = scene.lake.wait_rows();
    std::thread::sleep(FULL);
    assert_eq!(
        scene.lake.wait_rows(),
        rows,
        "committed to a full file system"
    );
    rows
}

/// Waits until the archive commits again, and all is well.
fn recovered(scene: &Scene<'_>, rows: u64, room: Instant) -> String {
    scene.lake.wait_for(rows + 1);
    let again = room.elapsed().as_secs_f64();
    scene.wait_settled("room again");
    scene.nodes.wait("no DiskPressure", LIMIT, || {
        let seen = scene.nodes.get(HDFS.0, HDFS.1)?;
        (condition(&seen, "DiskPressure") != Some("True")).then_some(())
    });
    format!("the archive waited, and committed {again:.0} s after there was room")
}

/// There is room again by hand.
pub fn full_and_emptied(scene: &mut Scene<'_>) -> String {
    let rows = fill(scene);
    let room = Instant::now();
    empty(scene.nodes);
    recovered(scene, rows, room)
}

/// The size of a DataNode's volume in MiB, as its claim asks for it.
fn volume(scene: &Scene<'_>) -> u64 {
    let claim = scene.nodes.wait_get("pvc", "data-lake-datanode-0");
    let size = claim["spec"]["resources"]["requests"]["storage"].clone();
    let size = size.as_str().unwrap();
    let number = |digits: &str| digits.parse::<u64>().unwrap();
    match (size.strip_suffix("Gi"), size.strip_suffix("Mi")) {
        (Some(gibibytes), _) => 1024 * number(gibibytes),
        (_, Some(mebibytes)) => number(mebibytes),
        _ => panic!("{size}"),
    }
}

/// Volumes may grow by themselves from then on, and do.
pub fn full_and_grown(scene: &mut Scene<'_>) -> String {
    let rows = fill(scene);
    let size = volume(scene);
    let maximum = size + 512;
    let room = Instant::now();
    let growth = json!({"maximum": format!("{maximum}Mi"), "stepPercent": 100});
    let change = json!({"spec": {"dataNodes": {"storageGrowth": growth}}});
    scene.nodes.patch(HDFS, &change);
    scene.lake.wait_for(rows + 1);
    // The ballast was no part of the cure, and would stay in the way of the next row.
    let again = room.elapsed();
    empty(scene.nodes);
    assert_eq!(volume(scene), maximum, "grown by storageGrowth");
    let told = recovered(scene, rows, Instant::now().checked_sub(again).unwrap());
    format!("{told}; volumes grew by themselves, {size} → {maximum} MiB")
}
