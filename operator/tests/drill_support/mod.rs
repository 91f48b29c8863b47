//! What drills share: three nodes, what is done to them, and how they are seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each drill uses a part of it")]

pub mod lake;
pub mod load;
pub mod pods;
pub mod probe;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Where everything of the drills lives.
pub const NAMESPACE: &str = "drill";

/// A whole round of restarts on two cores takes its time.
pub const LIMIT: Duration = Duration::from_secs(900);

/// The cluster that `cargo xtask soak` made.
#[derive(Clone)]
pub struct Nodes {
    kubeconfig: String,
    hyperkube: String,
    script: String,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Nodes {
    /// `None` where no cluster is named.
    pub fn find() -> Option<Self> {
        Some(Self {
            kubeconfig: variable("MILLRACE_KUBECONFIG")?,
            hyperkube: variable("MILLRACE_HYPERKUBE")?,
            script: variable("MILLRACE_CLUSTER_SCRIPT")?,
        })
    }

    /// An image that the nodes have: `KAFKA`, `FORMER_KAFKA`, `HADOOP` or `STREAM`.
    pub fn image(&self, name: &str) -> String {
        let name = format!("MILLRACE_{name}_IMAGE");
        variable(&name).unwrap_or_else(|| panic!("{name} is not set"))
    }

    /// Makes the namespace, unless a run before left it, and removes the pods of a drill that was broken off.
    pub fn found(&self) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        });
        self.apply(&namespace);
        self.remove_clients();
    }

    /// Removes the pods of a drill, but not those of what is drilled.
    pub fn remove_clients(&self) {
        self.kubectl(&["delete", "pod", "-l", pods::LABEL]);
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
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(format!(
            "kubectl {}: {}\n{said}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    /// `kubectl`, which has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// `kubectl` for what may be asked again: waits until it succeeds.
    pub fn answer(&self, arguments: &[&str]) -> String {
        let what = format!("kubectl {}", arguments.join(" "));
        self.wait(&what, LIMIT, || self.try_kubectl(arguments).ok())
    }

    /// Applies an object, whoever else has changed it.
    pub fn apply(&self, object: &Value) {
        let mut child = self
            .command(&["apply", "--server-side", "--force-conflicts", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let text = object.to_string();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
    }

    /// Changes an object by a merge patch.
    pub fn patch(&self, (kind, name): (&str, &str), change: &Value) {
        let change = change.to_string();
        self.kubectl(&["patch", kind, name, "--type=merge", "-p", &change]);
    }

    /// An object as JSON, if it is there.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.try_kubectl(&["get", kind, name, "-o", "json"]).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// An object as JSON; waits until it can be had.
    pub fn wait_get(&self, kind: &str, name: &str) -> Value {
        let what = format!("{kind} {name}");
        self.wait(&what, LIMIT, || self.get(kind, name))
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
                let resources = self.try_kubectl(&["get", "millrace", "-o", "yaml"]);
                let pods = self.try_kubectl(&["get", "pods", "-o", "wide"]);
                panic!(
                    "{what}: not within {limit:?}\n{}\n{}",
                    resources.unwrap_or_default(),
                    pods.unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Available, nothing under way, and that of the present spec.
    pub fn settled(&self, (kind, name): (&str, &str)) -> Option<()> {
        let seen = self.get(kind, name)?;
        let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
        (current
            && condition(&seen, "Available") == Some("True")
            && condition(&seen, "Progressing") == Some("False"))
        .then_some(())
    }

    /// Waits until all of these are settled.
    pub fn wait_settled(&self, what: &str, resources: &[(&str, &str)]) {
        let all = || resources.iter().try_for_each(|one| self.settled(*one));
        // A change is seen a moment after it was made.
        std::thread::sleep(Duration::from_secs(3));
        self.wait(what, LIMIT, all);
        // Twice: between two steps of a longer work it may look done.
        std::thread::sleep(Duration::from_secs(5));
        self.wait(what, LIMIT, all);
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

/// A value that no drill before has used: the seconds of the clock.
pub fn fresh() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Milliseconds of the clock, which is that of the nodes too.
pub fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// The rows of a table whose name holds the text of `MILLRACE_SOAK_ONLY`, or one of several with `|` between them, with their
/// number in it.
pub fn chosen<T: Copy>(rows: &[(&'static str, T)]) -> Vec<(usize, &'static str, T)> {
    let only = std::env::var("MILLRACE_SOAK_ONLY").unwrap_or_default();
    let chosen: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(_, (what, _))| only.split('|').any(|text| what.contains(text)))
        .map(|(number, (what, row))| (number, *what, *row))
        .collect();
    assert!(
        !chosen.is_empty(),
        "MILLRACE_SOAK_ONLY={only:?} is in no row's name"
    );
    chosen
}
