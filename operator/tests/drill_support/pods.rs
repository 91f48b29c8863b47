//! Pods: those of a cluster, how their processes are killed, and those of a drill itself.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{LIMIT, NAMESPACE, Nodes};

/// A process of a pod, as this machine sees it.
pub struct Process {
    pid: String,
    command: Vec<u8>,
}

impl Process {
    fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.command.split(|byte| *byte == 0)
    }

    /// Whether one word of its command line is this one.
    pub fn has_word(&self, word: &str) -> bool {
        self.words().any(|one| one == word.as_bytes())
    }

    /// Whether it only holds the namespaces of its pod.
    pub fn is_pause(&self) -> bool {
        self.words()
            .next()
            .is_some_and(|program| program.ends_with(b"pause"))
    }

    /// Sends it a signal, as `kill` has it; whether that was still possible.
    pub fn signal(&self, signal: &str) -> bool {
        let status = Command::new("kill")
            .args([signal, &self.pid])
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }
}

/// The processes of the pod with this uid, those of all its containers. Control groups are named after it; a pod of another
/// cluster on this machine may have the same name.
pub fn processes(uid: &str) -> Vec<Process> {
    let wanted = format!("/pod{uid}/");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.path();
            let groups = std::fs::read_to_string(path.join("cgroup")).ok()?;
            groups.contains(&wanted).then(|| Process {
                pid: entry.file_name().to_string_lossy().into_owned(),
                command: std::fs::read(path.join("cmdline")).unwrap_or_default(),
            })
        })
        .collect()
}

/// How far a pod is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be there.
    Wanted,
    /// It is on its way down.
    Going,
    /// It is not there.
    Gone,
}

impl Nodes {
    /// How far a pod is from its end, where the API server answers.
    pub fn stage(&self, pod: &str) -> Option<Stage> {
        let ask = ["get", "pod", pod, "--ignore-not-found", "-o", "json"];
        let said = self.try_kubectl(&ask).ok()?;
        if said.trim().is_empty() {
            return Some(Stage::Gone);
        }
        let seen: Value = serde_json::from_str(&said).ok()?;
        let wanted = seen["metadata"]["deletionTimestamp"].is_null();
        Some(if wanted { Stage::Wanted } else { Stage::Going })
    }

    /// Name and uid of the pods with these labels, by name.
    pub fn pods(&self, selector: &str) -> Vec<(String, String)> {
        let text = self.answer(&["get", "pods", "-l", selector, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pods = list["items"].as_array().unwrap().iter();
        pods.map(|pod| {
            (
                text(&pod["metadata"]["name"]),
                text(&pod["metadata"]["uid"]),
            )
        })
        .collect()
    }

    /// How often a container of a pod was restarted, and whether it is ready.
    pub fn restarts(&self, pod: &str, container: &str) -> Option<(u64, bool)> {
        let seen = self.get("pod", pod)?;
        let statuses = seen["status"]["containerStatuses"].as_array()?;
        let of = statuses.iter().find(|status| status["name"] == container)?;
        Some((of["restartCount"].as_u64()?, of["ready"] == true))
    }

    /// Kills the process of a pod that has this word in its command line, with SIGKILL and from outside: a pod's first
    /// process cannot be killed from inside it.
    pub fn kill(&self, pod: &str, word: &str) {
        let seen = self.wait_get("pod", pod);
        let all = processes(seen["metadata"]["uid"].as_str().unwrap());
        let of_word = all.iter().filter(|process| process.has_word(word));
        let killed = of_word.filter(|process| process.signal("-9")).count();
        assert_eq!(killed, 1, "{pod} has no process {word}, or several");
    }

    /// How often a container of a pod was restarted; waits until it is known.
    pub fn wait_restarts(&self, pod: &str, container: &str) -> u64 {
        let what = format!("restarts of {container} in {pod}");
        self.wait(&what, LIMIT, || self.restarts(pod, container)).0
    }

    /// Kills the process of a container, and waits until that is ready again.
    pub fn kill_and_wait(&self, pod: &str, container: &str, word: &str) {
        let before = self.wait_restarts(pod, container);
        self.kill(pod, word);
        self.wait_restarted(pod, container, before);
    }

    /// Waits until a container was restarted once more, and is ready.
    pub fn wait_restarted(&self, pod: &str, container: &str, before: u64) {
        self.wait(&format!("{pod} after kill -9"), LIMIT, || {
            let (count, ready) = self.restarts(pod, container)?;
            (count > before && ready).then_some(())
        });
    }

    /// `Running`, `Succeeded` and so on.
    pub fn phase(&self, pod: &str) -> Option<String> {
        let seen = self.get("pod", pod)?;
        Some(seen["status"]["phase"].as_str()?.to_owned())
    }

    /// Waits until a pod's log holds one of these words.
    pub fn wait_for_log(&self, pod: &str, words: &[&str]) {
        self.wait(pod, LIMIT, || {
            let log = self.try_kubectl(&["logs", pod]).ok()?;
            words.iter().any(|word| log.contains(word)).then_some(())
        });
    }

    /// Asks a pod to end, and waits for it.
    pub fn stop(&self, pod: &str) {
        // Not by deleting it: its log would go with it.
        self.wait(pod, LIMIT, || {
            let stop = ["exec", pod, "--", "sh", "-c", "kill -TERM 1"];
            (self.try_kubectl(&stop).is_ok() || self.phase(pod)? != "Running").then_some(())
        });
        self.wait_ended(pod);
    }

    fn wait_ended(&self, pod: &str) -> String {
        self.wait(pod, LIMIT, || {
            let phase = self.phase(pod)?;
            ["Succeeded", "Failed"]
                .contains(&phase.as_str())
                .then_some(phase)
        })
    }

    /// Asks a pod to end, and gives the line of JSON that it printed last.
    pub fn end(&self, pod: &str) -> Value {
        self.stop(pod);
        self.ended(pod)
    }

    /// Waits for the end of a pod, and gives the line of JSON that it printed last.
    pub fn ended(&self, pod: &str) -> Value {
        let phase = self.wait_ended(pod);
        let log = self.answer(&["logs", pod]);
        let line = log.lines().rev().find_map(|line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value["longestGapMs"].is_u64().then_some(value)
        });
        line.unwrap_or_else(|| panic!("{pod} {phase} without a result:\n{log}"))
    }
}

/// The label of pods of a drill itself.
pub const LABEL: &str = "millrace.dev/drill";

/// A pod of a drill on the first node, which no drill takes away.
pub struct Client<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub command: &'a [&'a str],
    /// Secrets with connection details, mounted under `/bindings` by their names.
    pub bindings: &'a [&'a str],
    /// A ConfigMap, and where it is mounted.
    pub files: Option<(&'a str, &'a str)>,
    pub env: &'a [(&'a str, &'a str)],
    pub memory: &'a str,
}

impl Client<'_> {
    /// The pod.
    pub fn pod(&self) -> Value {
        let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
        for name in self.bindings {
            volumes.push(json!({"name": name, "secret": {"secretName": name}}));
            let path = format!("/bindings/{name}");
            mounts.push(json!({"name": name, "mountPath": path, "readOnly": true}));
        }
        if let Some((map, path)) = self.files {
            volumes.push(json!({"name": "files", "configMap": {"name": map}}));
            mounts.push(json!({"name": "files", "mountPath": path}));
        }
        let mut env = Vec::new();
        if !self.bindings.is_empty() {
            env.push(json!({"name": "SERVICE_BINDING_ROOT", "value": "/bindings"}));
        }
        env.extend(
            self.env
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value})),
        );
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE,
                         "labels": {LABEL: "client", "millrace.dev/uses-kafka": "true", "millrace.dev/uses-hdfs": "true"}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
                "nodeSelector": {"kubernetes.io/hostname": "n1"},
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000,
                                    "seccompProfile": {"type": "RuntimeDefault"}},
                "automountServiceAccountToken": false,
                "volumes": volumes,
                "containers": [{
                    "name": "client", "image": self.image, "command": self.command, "volumeMounts": mounts, "env": env,
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": self.memory}},
                }],
            },
        })
    }
}
