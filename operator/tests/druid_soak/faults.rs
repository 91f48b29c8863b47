//! What is killed or taken away while events come in, and what answers say meanwhile.

use std::sync::Mutex;
use std::time::Duration;

use millrace_testkit::Platform;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{LIMIT, Scene, patch, shown};
use crate::cluster_support::{get, wait};
use crate::drill_support::pods::processes;
use crate::druid_pods::fleet::Fleet;
use crate::druid_pods::watch::{Sent, load, watch};

/// Events come in for so long, and go on until all are counted.
const LONG: Duration = Duration::from_secs(8);
/// Into them, the fault comes.
const BEFORE: Duration = Duration::from_secs(3);

/// What goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Nothing,
    Historical,
    Worker,
    ZooKeeperLeader,
    NameNode,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Historical => "a historical of two killed, kill -9",
            Self::Worker => "a worker of two killed, kill -9",
            Self::ZooKeeperLeader => "the leader of three ZooKeeper servers killed, kill -9",
            Self::NameNode => "the one NameNode away, and back",
        }
    }

    /// The pod whose processes are killed.
    fn pod(self, platform: &Platform) -> Option<String> {
        match self {
            Self::Nothing | Self::NameNode => None,
            Self::Historical => Some("d-historical-0".to_owned()),
            Self::Worker => Some("d-worker-0".to_owned()),
            Self::ZooKeeperLeader => Some(wait("ZooKeeper's leader", LIMIT, || {
                let ensemble = get(platform, &["zookeeperensemble", "z"]);
                ensemble["status"]["leader"].as_str().map(str::to_owned)
            })),
        }
    }
}

/// Does something that waits for programs, and lets everything else go on.
async fn aside<T: Send + 'static>(
    platform: &Platform,
    act: impl FnOnce(&Platform) -> T + Send + 'static,
) -> T {
    let platform = platform.clone();
    spawn_blocking(move || act(&platform)).await.unwrap()
}

/// How often the containers of a pod were restarted, and whether all are ready.
fn restarts(platform: &Platform, pod: &str) -> Option<(u64, bool)> {
    let seen = get(platform, &["pod", pod]);
    let containers = seen["status"]["containerStatuses"].as_array()?;
    let counts = containers
        .iter()
        .filter_map(|one| one["restartCount"].as_u64());
    let ready = containers.iter().all(|one| one["ready"] == true);
    Some((counts.sum(), ready))
}

/// Kills all that runs in a pod, from outside: a pod's first process cannot be killed from inside it.
fn kill(platform: &Platform, pod: &str) {
    let seen = get(platform, &["pod", pod]);
    let uid = seen["metadata"]["uid"].as_str();
    let all = processes(uid.unwrap_or_else(|| panic!("no pod {pod}: {seen}")));
    let running = all.iter().filter(|process| !process.is_pause());
    let killed = running.filter(|process| process.signal("-9")).count();
    assert!(killed > 0, "{pod} has no process on this machine");
}

/// Takes the NameNode away. Its operator rests meanwhile, who would bring it back.
fn take_name_node(platform: &Platform) {
    patch(
        platform,
        ("hdfscluster", "h"),
        &json!({"spec": {"paused": true}}),
    );
    wait("the NameNode to be gone", LIMIT, || {
        // Again and again: what the operator was doing when it was told to rest may come after the first.
        let none = json!({"spec": {"replicas": 0}});
        patch(platform, ("statefulset", "h-namenode"), &none);
        let now = [
            "delete",
            "pod",
            "h-namenode-0",
            "--ignore-not-found",
            "--grace-period=0",
            "--force",
        ];
        platform.kubectl(&now).unwrap();
        let left = get(platform, &["pod", "h-namenode-0", "--ignore-not-found"]);
        (left == Value::Null).then_some(())
    });
}

fn give_name_node_back(platform: &Platform) {
    let one = json!({"spec": {"replicas": 1}});
    patch(platform, ("statefulset", "h-namenode"), &one);
    let goes_on = json!({"spec": {"paused": false}});
    patch(platform, ("hdfscluster", "h"), &goes_on);
    wait("the NameNode to be back", LIMIT, || {
        restarts(platform, "h-namenode-0").and_then(|(_, ready)| ready.then_some(()))
    });
}

/// Ends when what went is back.
async fn strike(platform: &Platform, fault: Fault) {
    tokio::time::sleep(BEFORE).await;
    if fault == Fault::NameNode {
        aside(platform, take_name_node).await;
        tokio::time::sleep(LONG).await;
        aside(platform, give_name_node_back).await;
        return;
    }
    aside(platform, move |platform| {
        let Some(pod) = fault.pod(platform) else {
            return;
        };
        let known = |pod: &str| wait(pod, LIMIT, || restarts(platform, pod)).0;
        let before = known(&pod);
        kill(platform, &pod);
        wait(&format!("{pod} after kill -9"), LIMIT, || {
            let (count, ready) = restarts(platform, &pod)?;
            (count > before && ready).then_some(())
        });
    })
    .await;
}

/// A line of the table: events come in, something goes, and is back. No answer counts more than was sent, and in the end answers
/// are those that the same events give in Rust.
pub async fn row(scene: &Scene, fleet: &mut Fleet, fault: Fault) {
    let taken = fleet.taken;
    let before = u64::try_from(taken).unwrap();
    let sent = Mutex::new(Sent::after(before));
    let ((), mut watched, ()) = tokio::join!(
        load(
            async |batch: Vec<Vec<u8>>| scene.vehicles.send(batch).await,
            fleet,
            &sent,
            LONG
        ),
        watch(&scene.druid, before, &sent),
        strike(&scene.platform, fault),
    );
    shown(&watched.line(fault.name(), fleet.taken - taken));
    scene.loaded_twice(false).await;
    scene.counted(fleet.taken).await;
    fleet.check(&scene.druid).await;
    // The next row finds both tasks at work.
    scene.both_read(fleet.taken).await;
}
