//! Faults of the jobs and actions.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::door::Door;
use super::found::{CANARY, Pair, ZONES, certificate, zones};
use super::repeat::Repeat;
use super::row::Fault;
use super::scene::{DETECT, GATEWAY, Scene};

const STATES: (&str, &str) = ("kafkatopic", "d-detect-state");
const PLATFORM: (&str, &str) = ("platform", "d");
/// Bytes of a batch of records. Marks of transactions, of 78 bytes, go into so few, and no state of a vehicle does.
const TOO_FEW: &str = "100";
/// Each takes a process of the action for a moment.
const INVOKE_EVERY: Duration = Duration::from_millis(1000);

/// A vehicle sends what is no telemetry.
pub fn bad_input(scene: &Scene) -> Fault {
    let car = scene.car("wrong");
    let at = Instant::now();
    let wrong = json!([{"vehicle": car.vehicle, "sequence": 0, "time": "yesterday"}]);
    let sending = Repeat::every(Duration::from_secs(3), move || {
        // Where Kafka is slow to take the dead letter it is 503.
        match car.tell(&wrong) {
            Ok((400 | 503, _)) => {}
            other => eprintln!("no telemetry: {other:?}"),
        }
    });
    Fault::since(at, move |_| drop(sending))
}

/// Vehicles that never connect are to be told something, for two seconds each time.
pub fn nobody_hears(scene: &Scene) -> Fault {
    let (gateway, car) = (scene.gateway(), scene.car("parked"));
    let mut number = 0_u32;
    let at = Instant::now();
    let telling = Repeat::every(Duration::from_secs(3), move || {
        number += 1;
        let now = Timestamp::now();
        let notification = json!({
            "id": format!("{}-{number}", car.vehicle), "vehicle": car.vehicle, "rule": "overheating",
            "severity": "warning", "episode": "drill", "event_time": now, "detected_at": now, "language": "en",
            "text": "The engine is too hot", "ssml": "", "expires_at": now + SignedDuration::from_secs(2),
        });
        match gateway.post("/v1/notifications", &notification) {
            Ok((202, _)) => {}
            other => eprintln!("notification {number}: {other:?}"),
        }
    });
    Fault::since(at, move |_| drop(telling))
}

/// Zones that are no GeoJSON, and a certificate with the key of another one.
pub fn bad_files(scene: &Scene) -> Fault {
    let (one, other) = (Pair::new(), Pair::new());
    let at = Instant::now();
    scene.nodes.apply(&zones("{\"type\": \"Feature"));
    scene
        .nodes
        .apply(&certificate(&one.certificate, &other.key));
    scene.show_files(GATEWAY);
    scene.show_files(DETECT);
    Fault::since(at, move |scene| {
        scene.nodes.apply(&zones(ZONES));
        scene.nodes.apply(&certificate(&one.certificate, &one.key));
        scene.show_files(GATEWAY);
        scene.show_files(DETECT);
    })
}

/// An action gets what it cannot read, again and again.
fn invoke(whisk: Door) -> Repeat {
    Repeat::every(INVOKE_EVERY, move || {
        let path = "/api/v1/namespaces/_/actions/assess-vehicle?blocking=true";
        if let Err(error) = whisk.post(path, &json!({})) {
            eprintln!("invocation: {error}");
        }
    })
}

pub fn action_fails(scene: &Scene) -> Fault {
    let whisk = scene.whisk("d-whisk");
    let at = Instant::now();
    let invoking = invoke(whisk);
    Fault::since(at, move |_| drop(invoking))
}

/// Where an OpenWhisk is to tell its runs there is no gateway: something that answers 400.
pub fn no_gateway(scene: &Scene) -> Fault {
    let whisk = scene.whisk("audited");
    let at = Instant::now();
    let invoking = invoke(whisk);
    Fault::since(at, move |_| drop(invoking))
}

/// Records that are no JSON come to an event source without a topic of dead letters.
pub fn junk(scene: &Scene) -> Fault {
    let at = Instant::now();
    scene.produce("junk-writer", "d-kafka", "junk", &["--rate", "5"]);
    Fault::since(at, |scene| scene.remove("junk-writer"))
}

fn flow(scene: &Scene, canary_seconds: u32) {
    let change = json!({"spec": {"flow": {"canarySeconds": canary_seconds}}});
    scene.nodes.patch(PLATFORM, &change);
}

fn largest_state(scene: &Scene, bytes: &Value) {
    let change = json!({"spec": {"config": {"max.message.bytes": bytes}}});
    scene.nodes.patch(STATES, &change);
}

/// The topic of detection's states takes no record: each transaction is aborted, and nothing gets through detection.
pub fn no_states(scene: &Scene) -> Fault {
    flow(scene, 10);
    std::thread::sleep(Duration::from_secs(20));
    let at = Instant::now();
    largest_state(scene, &json!(TOO_FEW));
    // A canary waits for detection by then. No other one follows for long: it keeps what it took.
    std::thread::sleep(Duration::from_secs(30));
    flow(scene, 3600);
    Fault::since(at, |scene| largest_state(scene, &Value::Null))
}

/// Canaries as often as before: the next one is fast.
pub fn usual_canaries(scene: &Scene) {
    flow(scene, CANARY);
    // Where the fault could not be taken back, or was made by half.
    largest_state(scene, &Value::Null);
}
