//! Faults of Kafka: of the one of three nodes, and of the only broker of the Platform.

use std::time::Instant;

use super::row::Fault;
use super::scene::{GATEWAY, Scene};
use crate::drill_support::{LIMIT, Nodes};

/// A node of the Kafka of three.
const ONE: &str = "k-n-1";
const TWO: &str = "k-n-2";
const BROKER: &str = "d-kafka-0";
/// Where a node has its second volume, and the only one of the Platform its first.
const SECOND: &str = "/var/lib/kafka/data-1";
const FIRST: &str = "/var/lib/kafka/data";

/// One node of three crashes again and again. It comes back by itself, however long the kubelet waits: of a pod that is
/// replaced Prometheus forgets that it was down, and the alert would be silent before the node is there again.
pub fn one_node(scene: &Scene) -> Fault {
    let at = Instant::now();
    let crash = scene.crash(TWO);
    Fault::since(at, move |_| drop(crash))
}

/// Two of three do.
pub fn two_nodes(scene: &Scene) -> Fault {
    let at = Instant::now();
    let crashes = [scene.crash(ONE), scene.crash(TWO)];
    Fault::since(at, move |scene| {
        drop(crashes);
        scene.replace(ONE);
        scene.replace(TWO);
    })
}

/// The second volume of a node is full to the last byte, while clients write.
pub fn volume_full(scene: &Scene) -> Fault {
    let writer = "fill";
    scene.produce(writer, "k", "filled", &["--rate", "1000", "--size", "1000"]);
    let at = Instant::now();
    let fill = format!(
        "n=$(df --output=avail -B1 {SECOND} | tail -n 1); fallocate -l \"$n\" {SECOND}/ballast || true; \
         dd if=/dev/zero of={SECOND}/ballast.rest bs=4k 2>/dev/null || true"
    );
    scene.shell(ONE, "kafka", &fill);
    Fault::since(at, move |scene| {
        scene.remove(writer);
        let empty = format!("rm -f {SECOND}/ballast {SECOND}/ballast.rest");
        scene.shell(ONE, "kafka", &empty);
        scene.replace(ONE);
    })
}

/// Each record is flushed to the volume before its request is answered, and clients write more than that lets through.
pub fn busy(scene: &Scene) -> Fault {
    let writers = ["busy-1", "busy-2", "busy-3"];
    let at = Instant::now();
    for writer in writers {
        scene.produce(
            writer,
            "k",
            "flushed",
            &["--rate", "10000", "--size", "100"],
        );
    }
    Fault::since(at, move |scene| {
        for writer in writers {
            scene.remove(writer);
        }
    })
}

/// The volume of the Platform's only broker is nearly full.
pub fn nearly_full(scene: &Scene) -> Fault {
    let at = Instant::now();
    // A fortieth stays: Kafka itself has to go on.
    let fill = format!(
        "set -- $(df --output=size,avail -B1 {FIRST} | tail -n 1); fallocate -l $(($2 - $1 / 40)) {FIRST}/ballast"
    );
    scene.shell(BROKER, "kafka", &fill);
    Fault::since(at, |scene| {
        scene.shell(BROKER, "kafka", &format!("rm -f {FIRST}/ballast"));
        // Else the gateway would be shown its old order, and refuse for another reason than the next row is about.
        wait_taken_in(&scene.nodes);
        scene.show_files(GATEWAY);
    })
}

/// Waits until the operator has seen that there is space, and has told the gateway.
fn wait_taken_in(nodes: &Nodes) {
    nodes.wait("space on the volume of the broker", LIMIT, || {
        let seen = nodes.get("kafkacluster", "d-kafka")?;
        let disk = &seen["status"]["disk"];
        // `full` is left out where it is false.
        (disk["usedPercent"].is_number() && disk["full"] != true).then_some(())
    });
    nodes.wait("telemetry is to be taken in", LIMIT, || {
        let order = nodes.get("configmap", "d-ingest")?;
        let text = order["data"]["ingest.yaml"].as_str()?;
        text.contains("accept: all").then_some(())
    });
}

/// The Platform's only broker crashes again and again, while vehicles send.
pub fn only_broker(scene: &Scene) -> Fault {
    let at = Instant::now();
    let crash = scene.crash(BROKER);
    Fault::since(at, move |scene| {
        drop(crash);
        scene.replace(BROKER);
    })
}
