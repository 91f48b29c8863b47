//! Pods that try to connect and say what they reached.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use millrace_testkit::Platform;
use serde_json::json;

/// A port of a pod.
#[derive(Clone, Debug)]
pub struct Target {
    /// The component of the pod.
    pub component: &'static str,
    /// The pod's address.
    pub address: String,
    /// The port, on which it listens.
    pub port: i32,
}

/// A pod that tries.
#[derive(Clone, Debug)]
pub struct Probe {
    name: String,
    namespace: &'static str,
    labels: BTreeMap<String, String>,
}

impl Probe {
    pub fn new(name: &str, namespace: &'static str, labels: BTreeMap<String, String>) -> Self {
        Self {
            name: format!("probe-{name}"),
            namespace,
            labels,
        }
    }

    fn home(&self, platform: &Platform) -> Platform {
        let mut home = platform.clone();
        home.namespace = self.namespace.to_owned();
        home
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it. `image` has a bash.
    pub fn start(&self, platform: &Platform, image: &str, targets: &[Target]) {
        // All at once, after policies have come to the new pod; a second time what was closed, lest a slow machine decide.
        let mut script = String::from(
            "try() { for n in 1 2; do timeout 4 bash -c \"</dev/tcp/$1/$2\" 2>/dev/null && { echo \"$1:$2 open\"; return; }; done; echo \"$1:$2 closed\"; }; sleep 5; ",
        );
        for target in targets {
            let _ = write!(script, "try {} {} & ", target.address, target.port);
        }
        script.push_str("wait; echo done");
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.labels},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            // Never ready, so that no Service with these labels sends it anything.
            "readinessGates": [{"conditionType": "millrace.dev/never"}],
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "probe", "image": image, "command": ["bash", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"memory": "32Mi", "cpu": "5m"}, "limits": {"memory": "64Mi"}}}],
        }});
        self.home(platform).apply(&pod.to_string()).unwrap();
    }

    /// What it reached, target by target; `None` until it is through with all.
    pub fn result(&self, platform: &Platform, targets: &[Target]) -> Option<Vec<bool>> {
        let log = self.home(platform).kubectl(&["logs", &self.name]).ok()?;
        let is_done = log.lines().any(|line| line == "done");
        is_done.then(|| {
            targets
                .iter()
                .map(|target| {
                    let said = |word: &str| {
                        let line = format!("{}:{} {word}", target.address, target.port);
                        log.lines().any(|other| other == line)
                    };
                    assert!(said("open") != said("closed"), "{}: {log}", self.name);
                    said("open")
                })
                .collect()
        })
    }

    pub fn stop(&self, platform: &Platform) {
        let home = self.home(platform);
        let _: Result<String, _> = home.kubectl(&["delete", "pod", &self.name, "--wait=false"]);
    }
}
