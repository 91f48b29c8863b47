//! What rows do things with: the cluster, ways into its pods, and the Prometheus that looks at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::runtime::Runtime;

use super::door::{Car, Door};
use super::repeat::Repeat;
use super::timeline::Timeline;
use crate::cluster_support::forward;
use crate::drill_support::pods::{Client as DrillPod, processes};
use crate::drill_support::{LIMIT, NAMESPACE, Nodes, fresh};
use crate::prometheus_support::Prometheus;

/// Pods of the jobs of the Platform. Those of the archive's upkeep are its instances too.
pub const GATEWAY: &str = "app.kubernetes.io/instance=d-gateway";
pub const DETECT: &str = "app.kubernetes.io/instance=d-detect";
pub const ARCHIVE: &str = "app.kubernetes.io/instance=d-archive,app.kubernetes.io/name=archive";

/// What is killed and killed again is looked for so often: a server does not come up in so short a time.
const KILL_EVERY: Duration = Duration::from_millis(500);

pub struct Scene {
    pub nodes: Nodes,
    pub client: Client,
    pub runtime: Runtime,
    pub prometheus: Arc<Prometheus>,
    pub timeline: Timeline,
}

impl Scene {
    /// The first pod with these labels.
    pub fn pod(&self, selector: &str) -> String {
        self.nodes.wait(selector, LIMIT, || {
            let pods = self.nodes.pods(selector);
            pods.into_iter().next().map(|(name, _)| name)
        })
    }

    /// An address of loopback that leads to a port of a pod.
    pub fn way(&self, pod: &str, port: u16) -> SocketAddr {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        self.runtime.block_on(forward(pods, pod.to_owned(), port))
    }

    pub fn door(&self, pod: &str, port: u16) -> Door {
        Door::at(self.way(pod, port))
    }

    /// An entry of a Secret.
    pub fn secret(&self, name: &str, key: &str) -> String {
        let entry = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
        let text = self.nodes.answer(&["get", "secret", name, "-o", &entry]);
        text.trim().to_owned()
    }

    /// The gateway, for its administrator.
    pub fn gateway(&self) -> Door {
        let token = self.secret("d-gateway", "admin-token");
        let door = self.door(&self.pod(GATEWAY), 8080);
        door.shown(format!("Bearer {token}"))
    }

    /// A vehicle that nobody has had before.
    pub fn car(&self, name: &str) -> Car {
        let (gateway, vehicle) = (self.gateway(), format!("{name}-{}", fresh()));
        let limit = Duration::from_secs(120);
        self.nodes
            .wait(&vehicle, limit, || Car::enrol(&gateway, &vehicle))
    }

    /// An OpenWhisk, for whoever has its key.
    pub fn whisk(&self, name: &str) -> Door {
        let key = STANDARD.encode(self.secret(&format!("{name}-auth"), "auth"));
        let door = self.door(&format!("{name}-0"), 3233);
        door.shown(format!("Basic {key}"))
    }

    fn uid(&self, pod: &str) -> String {
        let seen = self.nodes.wait_get("pod", pod);
        seen["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// Kills all processes of a pod, and again whenever it has some, until this is dropped: it crashes again and again.
    pub fn crash(&self, pod: &str) -> Repeat {
        let uid = self.uid(pod);
        Repeat::every(KILL_EVERY, move || {
            for process in processes(&uid) {
                if !process.is_pause() {
                    process.signal("-9");
                }
            }
        })
    }

    /// Sends a signal to what has this word in its command line.
    pub fn signal(&self, pod: &str, word: &str, signal: &str) {
        let all = processes(&self.uid(pod));
        let of_word = all.iter().filter(|process| process.has_word(word));
        let told = of_word.filter(|process| process.signal(signal)).count();
        assert!(told > 0, "{pod} has no process {word}");
    }

    /// Deletes a pod, so that another takes its place at once: the kubelet waits for longer and longer before it starts
    /// again what has crashed.
    pub fn replace(&self, pod: &str) {
        self.nodes.kubectl(&["delete", "pod", pod, "--wait=false"]);
    }

    /// Runs a script in a container.
    pub fn shell(&self, pod: &str, container: &str, script: &str) {
        let shell = ["exec", pod, "-c", container, "--", "sh", "-c", script];
        self.nodes.answer(&shell);
    }

    /// Lets the kubelet show pods their files as they are now: a change of a pod is looked at sooner than a change of a
    /// ConfigMap or Secret.
    pub fn show_files(&self, selector: &str) {
        for second in 0..3 {
            let value = format!("millrace.dev/shown={}-{second}", fresh());
            let annotate = ["annotate", "pod", "-l", selector, "--overwrite", &value];
            // Its cure is the next time.
            let _ = self.nodes.try_kubectl(&annotate);
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// Starts a pod that writes numbered lines of text, and waits until it does.
    pub fn produce(&self, name: &str, kafka: &str, topic: &str, more: &[&str]) {
        let (image, servers) = (
            self.nodes.image("STREAM"),
            format!("{kafka}-bootstrap:9092"),
        );
        let command = [
            "millrace-stream",
            "check-sequence",
            "produce",
            "--bootstrap-servers",
            servers.as_str(),
            "--topic",
            topic,
            "--run",
            name,
        ];
        let pod = DrillPod {
            name,
            image: &image,
            command: &[&command, more].concat(),
            bindings: &[],
            files: None,
            env: &[],
            memory: "192Mi",
        };
        self.remove(name);
        self.nodes.apply(&pod.pod());
        self.nodes.wait_for_log(name, &["writing"]);
    }

    /// Removes a pod of the drill.
    pub fn remove(&self, pod: &str) {
        let delete = ["delete", "pod", pod, "--ignore-not-found", "--timeout=120s"];
        self.nodes.kubectl(&delete);
    }
}
