//! A Kafka on three nodes, what is done to it, and how it is seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

pub mod load;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where everything of the drill lives.
pub const NAMESPACE: &str = "drill";

/// The cluster that `cargo xtask soak --only kafka` made.
pub struct Nodes {
    kubeconfig: String,
    hyperkube: String,
    script: String,
    /// Image of our Kafka.
    pub image: String,
    /// Image of the version before.
    pub former: String,
    /// Image of the jobs.
    pub stream: String,
}

impl Nodes {
    /// `None` where no cluster is named.
    pub fn find() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self {
            kubeconfig: variable("MILLRACE_KUBECONFIG")?,
            hyperkube: variable("MILLRACE_HYPERKUBE")?,
            script: variable("MILLRACE_CLUSTER_SCRIPT")?,
            image: variable("MILLRACE_KAFKA_IMAGE")?,
            former: variable("MILLRACE_FORMER_KAFKA_IMAGE")?,
            stream: variable("MILLRACE_STREAM_IMAGE")?,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.hyperkube);
        command
            .args(["kubectl", "--namespace", NAMESPACE, "--kubeconfig"])
            .arg(&self.kubeconfig)
            .args(arguments);
        command
    }

    /// `kubectl`; an error is what it said.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).output().unwrap();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!(
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    /// `kubectl`, which has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// Applies manifests.
    pub fn apply(&self, manifest: &str) {
        let mut child = self
            .command(&["apply", "--server-side", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifest.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "{manifest}");
    }

    /// An object as JSON, if it is there.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.try_kubectl(&["get", kind, name, "-o", "json"]).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Takes a node off the network (`cut`), or puts it back (`heal`).
    pub fn cable(&self, action: &str, node: &str) {
        let status = Command::new("bash")
            .args([&self.script, action, node])
            .status()
            .unwrap();
        assert!(status.success(), "{action} {node}");
    }

    /// Waits until `look` gives something.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + limit;
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            if Instant::now() > end {
                let cluster = self.try_kubectl(&["get", "kafkacluster", "-o", "yaml"]);
                let pods = self.try_kubectl(&["get", "pods", "-o", "wide"]);
                panic!(
                    "{what}: not within {limit:?}\n{}\n{}",
                    cluster.unwrap_or_default(),
                    pods.unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Kills the Kafka of a pod with SIGKILL, from outside: a pod's first process cannot be killed from inside it.
    pub fn kill(&self, pod: &str) {
        // Control groups are named after the pod's uid; a pod of another cluster on this machine may have the same name.
        let seen = self.get("pod", pod).unwrap();
        let wanted = format!("/pod{}/", seen["metadata"]["uid"].as_str().unwrap());
        let mut killed = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let groups = std::fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            let command = std::fs::read(path.join("cmdline")).unwrap_or_default();
            if !groups.contains(&wanted) || !command.starts_with(b"java\0") {
                continue;
            }
            let pid = entry.file_name().to_string_lossy().into_owned();
            let status = Command::new("kill").args(["-9", &pid]).status().unwrap();
            killed += u32::from(status.success());
        }
        assert_eq!(killed, 1, "{pod} has no process of Kafka, or several");
    }
}

/// The status of a condition of an object.
pub fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == name)?["status"]
        .as_str()
}
