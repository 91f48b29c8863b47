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
/// pods are found by the host name that they were given.
///
/// # Errors
/// No local cluster is running, or this is not root: the environment of others' processes cannot be read then.
pub fn memory(context: &Context, target: &Target) -> anyhow::Result<()> {
    anyhow::ensure!(
        cluster::is_local(target),
        "--context: the processes of another cluster are not on this machine; leave it out"
    );
    let cluster = cluster::running(context, target)?;
    let selector = "app.kubernetes.io/part-of=millrace";
    let arguments = ["get", "pods", "-A", "-l", selector, "-o", "json"];
    let pods: Value = serde_json::from_str(&output(cluster.kubectl().args(arguments))?)?;
    let names = names(&pods);
    let found = found(Path::new("/proc"), &names)?;
    let (mut sum, mut seen) = (Resident::default(), 0);
    println!("| component | pod | MiB resident (not backed by files) |\n|---|---|---|");
    for (pod, component) in &names {
        let Some(resident) = found.get(pod) else {
            continue;
        };
        println!("| {component} | {pod} | {} |", told(*resident));
        sum.all += resident.all;
        sum.anonymous += resident.anonymous;
        seen += 1;
    }
    anyhow::ensure!(
        seen > 0,
        "no process of {} pods is found here; run this as root",
        names.len()
    );
    println!("| all | {seen} pods | {} |", told(sum));
    Ok(())
}

fn told(resident: Resident) -> String {
    format!("{} ({})", resident.all / 1024, resident.anonymous / 1024)
}

/// Pods that run, with their component.
fn names(pods: &Value) -> BTreeMap<String, String> {
    let items = pods["items"].as_array().into_iter().flatten();
    items
        .filter(|pod| pod["status"]["phase"] == "Running")
        .filter_map(|pod| {
            let name = pod["metadata"]["name"].as_str()?;
            let component = &pod["metadata"]["labels"]["app.kubernetes.io/name"];
            Some((
                name.to_owned(),
                component.as_str().unwrap_or("-").to_owned(),
            ))
        })
        .collect()
}

/// The memory of the processes of each pod.
fn found(
    proc: &Path,
    names: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<String, Resident>> {
    let mut found = BTreeMap::<String, Resident>::new();
    for entry in proc.read_dir().context("/proc cannot be read")? {
        let process = entry?.path();
        // Processes end while they are looked at.
        let (Ok(environment), Ok(status)) = (
            std::fs::read(process.join("environ")),
            std::fs::read_to_string(process.join("status")),
        ) else {
            continue;
        };
        let Some(pod) = host(&environment).filter(|host| names.contains_key(host)) else {
            continue;
        };
        let one = resident(&status);
        let sum = found.entry(pod).or_default();
        sum.all += one.all;
        sum.anonymous += one.anonymous;
    }
    Ok(found)
}

/// The name of its pod, as containers are given it.
fn host(environment: &[u8]) -> Option<String> {
    let mut variables = environment.split(|byte| *byte == 0);
    let name = variables.find_map(|variable| variable.strip_prefix(b"HOSTNAME="))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn resident(status: &str) -> Resident {
    let of = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    Resident {
        all: of("VmRSS:"),
        anonymous: of("RssAnon:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn processes_are_counted_with_their_pod() {
        let running = |name: &str| json!({"metadata": {"name": name, "labels": {"app.kubernetes.io/name": "kafka"}}, "status": {"phase": "Running"}});
        let done = json!({"metadata": {"name": "b"}, "status": {"phase": "Succeeded"}});
        let names = names(&json!({"items": [running("a"), done]}));
        assert_eq!(names, BTreeMap::from([("a".into(), "kafka".into())]));

        let proc = std::env::temp_dir().join(format!("xtask-memory-{}", std::process::id()));
        let process = |pid: &str, environment: &str, status: &str| {
            let at = proc.join(pid);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join("environ"), environment.replace(' ', "\0")).unwrap();
            std::fs::write(at.join("status"), status).unwrap();
        };
        let status = "Name:\tjava\nVmRSS:\t  2048 kB\nRssAnon:\t 1024 kB\n";
        process("1", "PATH=/bin HOSTNAME=a X=1", status);
        process("2", "HOSTNAME=a", status);
        process("3", "HOSTNAME=machine", status);
        process("4", "HOSTNAME=b", status);
        let found = found(&proc, &names).unwrap();
        std::fs::remove_dir_all(&proc).unwrap();
        let both = Resident {
            all: 4096,
            anonymous: 2048,
        };
        assert_eq!(found, BTreeMap::from([("a".into(), both)]));
        assert_eq!(told(both), "4 (2)");
    }
}
