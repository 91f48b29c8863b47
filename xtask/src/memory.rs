//! The memory of each pod of the local cluster, as its processes have it: the table of docs/measurements.md.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::context::Context;
use crate::run::output;
use crate::{Target, cluster};

/// Kibibytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Resident {
    all: u64,
    /// What is not backed by files.
    anonymous: u64,
}

/// Prints the memory of each pod that is Millrace's. The nodes of the local cluster are on this machine, so that the processes of its
/// pods are found by the control group, which the kubelet names after the pod's uid. What several processes share, such as buffers of
/// PostgreSQL, is divided among them (proportional set size, proc_pid_smaps_rollup(5)).
///
/// # Errors
/// No local cluster is running, or this is not root: the memory of others' processes cannot be read then.
pub fn memory(context: &Context, target: &Target) -> anyhow::Result<()> {
    anyhow::ensure!(
        cluster::is_local(target),
        "--context: the processes of another cluster are not on this machine; leave it out"
    );
    let cluster = cluster::running(context, target)?;
    let selector = "app.kubernetes.io/part-of=millrace";
    let arguments = ["get", "pods", "-A", "-l", selector, "-o", "json"];
    let pods: Value = serde_json::from_str(&output(cluster.kubectl().args(arguments))?)?;
    let pods = running(&pods);
    let found = found(Path::new("/proc"), &pods)?;
    let (mut sum, mut seen) = (Resident::default(), 0);
    println!("| component | pod | MiB resident (not backed by files) |\n|---|---|---|");
    for (name, pod) in &pods {
        let Some(resident) = found.get(name) else {
            continue;
        };
        println!("| {} | {name} | {} |", pod.component, told(*resident));
        sum.all += resident.all;
        sum.anonymous += resident.anonymous;
        seen += 1;
    }
    anyhow::ensure!(
        seen > 0,
        "no process of {} pods is found here; run this as root",
        pods.len()
    );
    println!("| all | {seen} pods | {} |", told(sum));
    Ok(())
}

fn told(resident: Resident) -> String {
    format!("{} ({})", resident.all / 1024, resident.anonymous / 1024)
}

/// A pod that runs.
#[derive(Debug, PartialEq)]
struct Pod {
    component: String,
    uid: String,
}

/// Pods that run, by their names.
fn running(pods: &Value) -> BTreeMap<String, Pod> {
    let items = pods["items"].as_array().into_iter().flatten();
    items
        .filter(|pod| pod["status"]["phase"] == "Running")
        .filter_map(|pod| {
            let name = pod["metadata"]["name"].as_str()?.to_owned();
            let component = &pod["metadata"]["labels"]["app.kubernetes.io/name"];
            let component = component.as_str().unwrap_or("-").to_owned();
            let uid = pod["metadata"]["uid"].as_str()?.to_owned();
            Some((name, Pod { component, uid }))
        })
        .collect()
}

/// The memory of the processes of each pod.
fn found(proc: &Path, pods: &BTreeMap<String, Pod>) -> anyhow::Result<BTreeMap<String, Resident>> {
    let mut found = BTreeMap::<String, Resident>::new();
    for entry in proc.read_dir().context("/proc cannot be read")? {
        let process = entry?.path();
        // Processes end while they are looked at.
        let (Ok(groups), Ok(rollup)) = (
            std::fs::read_to_string(process.join("cgroup")),
            std::fs::read_to_string(process.join("smaps_rollup")),
        ) else {
            continue;
        };
        let is_of = |pod: &Pod| groups.contains(&format!("/pod{}/", pod.uid));
        let Some((name, _)) = pods.iter().find(|(_, pod)| is_of(pod)) else {
            continue;
        };
        let one = resident(&rollup);
        let sum = found.entry(name.clone()).or_default();
        sum.all += one.all;
        sum.anonymous += one.anonymous;
    }
    Ok(found)
}

fn resident(rollup: &str) -> Resident {
    let of = |field: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    Resident {
        all: of("Pss:"),
        anonymous: of("Pss_Anon:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn processes_are_counted_with_their_pod() {
        let pods = json!({"items": [
            {"metadata": {"name": "a", "uid": "u-a", "labels": {"app.kubernetes.io/name": "kafka"}}, "status": {"phase": "Running"}},
            {"metadata": {"name": "b", "uid": "u-b"}, "status": {"phase": "Succeeded"}},
        ]});
        let pods = running(&pods);
        let pod = Pod {
            component: "kafka".into(),
            uid: "u-a".into(),
        };
        assert_eq!(pods, BTreeMap::from([("a".into(), pod)]));

        let proc = std::env::temp_dir().join(format!("xtask-memory-{}", std::process::id()));
        let process = |pid: &str, groups: &str| {
            let at = proc.join(pid);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join("cgroup"), groups).unwrap();
            let rollup = "7f00-7f01 ---p 00000000 00:00 0 [rollup]\nRss:\t 9999 kB\nPss:\t  2048 kB\nPss_Anon:\t 1024 kB\n";
            std::fs::write(at.join("smaps_rollup"), rollup).unwrap();
        };
        process("1", "0::/kubepods/besteffort/podu-a/c1\n");
        process("2", "4:memory:/kubepods/burstable/podu-a/c2\n");
        process("3", "0::/user.slice\n");
        process("4", "0::/kubepods/besteffort/podu-b/c1\n");
        let found = found(&proc, &pods).unwrap();
        std::fs::remove_dir_all(&proc).unwrap();
        let both = Resident {
            all: 4096,
            anonymous: 2048,
        };
        assert_eq!(found, BTreeMap::from([("a".into(), both)]));
        assert_eq!(told(both), "4 (2)");
    }
}
