//! The operator by its chart, and one Platform by the environment chart.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{self, Cluster};
use crate::context::Context;
use crate::images::Image;
use crate::steps::Steps;
use crate::{files, run};

/// Where the operator lives.
pub const OPERATOR_NAMESPACE: &str = "millrace-system";
/// Where the Platform lives.
pub const NAMESPACE: &str = "millrace";
/// The Platform's name.
pub const PLATFORM: &str = "dev";
/// Marks the namespaces that `up` made, with the checkout that made them.
const MADE_BY: &str = "millrace.dev/made-by";
/// The step that waits for the Platform.
pub const READY_STEP: &str = "platform ready";

/// Installs or upgrades the operator, unless that very chart with those images is installed.
///
/// # Errors
/// The chart is refused, or the operator does not come up.
pub fn operator(context: &Context, cluster: &Cluster, images: &[Image]) -> anyhow::Result<()> {
    let values: Vec<String> = images
        .iter()
        .map(|image| {
            let key = match image.name {
                "millrace-operator" => "image",
                "kafka" => "images.kafka",
                "zookeeper" => "images.zookeeper",
                "hadoop" => "images.hadoop",
                "druid" => "images.druid",
                "postgres" => "images.postgres",
                "mongo-wire" => "images.mongoWire",
                "millrace-stream" => "images.stream",
                "millrace-whisk" => "images.whisk",
                _ => "images.ballista",
            };
            format!("{key}={}", image.reference)
        })
        .collect();
    release(
        context,
        cluster,
        "millrace-operator",
        OPERATOR_NAMESPACE,
        "helm/millrace-operator",
        &values,
        &[],
    )
}

/// Installs or upgrades the environment: one Platform.
///
/// # Errors
/// The API server refuses it.
pub fn environment(context: &Context, cluster: &Cluster) -> anyhow::Result<()> {
    let values = context
        .root
        .join("helm/millrace-environment/values-dev.yaml");
    release(
        context,
        cluster,
        PLATFORM,
        NAMESPACE,
        "helm/millrace-environment",
        &[],
        &[values],
    )
}

fn release(
    context: &Context,
    cluster: &Cluster,
    name: &str,
    namespace: &str,
    chart: &str,
    values: &[String],
    value_files: &[PathBuf],
) -> anyhow::Result<()> {
    let chart = context.root.join(chart);
    let fingerprint = format!(
        "{} {}",
        files::key(std::slice::from_ref(&chart))?,
        values.join(" ")
    );
    let status = run::output(
        cluster
            .helm(context)
            .args(["status", name, "-n", namespace, "-o", "json"]),
    );
    if let Ok(text) = status {
        let json: Value = serde_json::from_str(&text)?;
        if json["info"]["status"] == "deployed" && json["info"]["description"] == fingerprint {
            return Ok(());
        }
        // An interrupted upgrade leaves the release pending, and helm then refuses every other one.
        if json["info"]["status"]
            .as_str()
            .is_some_and(|s| s.starts_with("pending"))
        {
            let revision = json["version"].as_u64().unwrap_or(1);
            let secret = format!("sh.helm.release.v1.{name}.v{revision}");
            run::output(
                cluster
                    .kubectl()
                    .args(["-n", namespace, "delete", "secret", &secret]),
            )?;
        }
    }
    restricted_namespace(context, cluster, namespace)?;
    let mut command = cluster.helm(context);
    command
        .args(["upgrade", "--install", name])
        .arg(&chart)
        .args([
            "-n",
            namespace,
            "--wait",
            "--timeout",
            "10m",
            "--description",
            &fingerprint,
        ]);
    for file in value_files {
        command.arg("--values").arg(file);
    }
    for value in values {
        command.arg("--set-string").arg(value);
    }
    run::logged(&mut command, &context.log(&format!("helm-{name}"))?)
}

/// The namespace, with the strictest Pod Security profile enforced. One that exists already is used as it is.
fn restricted_namespace(context: &Context, cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    if run::succeeds(cluster.kubectl().args(["get", "namespace", name])) {
        return Ok(());
    }
    let manifest = context.state.join(format!("namespace-{name}.yaml"));
    // Made in one request, so that an interruption cannot leave it without its labels.
    files::replace(
        &manifest,
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n    {MADE_BY}: {}\n",
            cluster::name(context)
        )
        .as_bytes(),
    )?;
    run::output(cluster.kubectl().arg("create").arg("-f").arg(&manifest)).map(|_| ())
}

/// Takes the releases off a cluster that stays, and the namespaces that `up` made there.
///
/// # Errors
/// Something cannot be removed.
pub fn remove(context: &Context, cluster: &Cluster) -> anyhow::Result<()> {
    for (release, namespace) in [
        (PLATFORM, NAMESPACE),
        ("millrace-operator", OPERATOR_NAMESPACE),
    ] {
        let status = run::output(
            cluster
                .helm(context)
                .args(["get", "metadata", release, "-n", namespace, "-o", "json"]),
        );
        // A release of that name which is somebody else's stays.
        if status.is_ok_and(|text| text.contains("\"millrace-")) {
            run::output(cluster.helm(context).args([
                "uninstall",
                release,
                "-n",
                namespace,
                "--wait",
            ]))?;
        }
    }
    let ours = format!("{MADE_BY}={}", cluster::name(context));
    run::output(cluster.kubectl().args([
        "delete",
        "namespace",
        "-l",
        &ours,
        "--ignore-not-found",
        "--wait",
    ]))
    .map(|_| ())
}

/// Waits until the Platform says that it is available, telling what it waits on.
///
/// # Errors
/// It is not within `limit`; the error says what it still waits on.
pub fn wait_ready(cluster: &Cluster, steps: &Steps, limit: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let mut last = String::new();
    loop {
        if let Ok(text) = run::output(
            cluster
                .kubectl()
                .args(["-n", NAMESPACE, "get", "platform", PLATFORM, "-o", "json"]),
        ) {
            let json: Value = serde_json::from_str(&text)?;
            if is_available(&json) {
                return Ok(());
            }
            last = waiting_on(&json);
            steps.note(READY_STEP, &last);
        }
        if Instant::now() > end {
            let pods = run::output(
                cluster
                    .kubectl()
                    .args(["-n", NAMESPACE, "get", "pods", "-o", "wide"]),
            )
            .unwrap_or_default();
            anyhow::bail!("not available after {limit:?}; it waits on {last}\n{pods}");
        }
        std::thread::sleep(Duration::from_millis(500));
        steps.draw();
    }
}

/// Whether the controller has seen the newest spec and calls it available.
fn is_available(platform: &Value) -> bool {
    let generation = &platform["metadata"]["generation"];
    platform["status"]["conditions"]
        .as_array()
        .is_some_and(|conditions| {
            conditions.iter().any(|c| {
                c["type"] == "Available"
                    && c["status"] == "True"
                    && &c["observedGeneration"] == generation
            })
        })
}

fn waiting_on(platform: &Value) -> String {
    let names: BTreeSet<String> = platform["status"]["waitingOn"]
        .as_array()
        .map(|list| {
            list.iter()
                .map(|w| {
                    w["component"]
                        .as_str()
                        .or_else(|| w["name"].as_str())
                        .unwrap_or("?")
                        .to_owned()
                })
                .collect()
        })
        .unwrap_or_default();
    if names.is_empty() {
        "the operator".to_owned()
    } else {
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_old_condition_does_not_count() {
        let mut platform = json!({"metadata": {"generation": 2}, "status": {"conditions": [
            {"type": "Available", "status": "True", "observedGeneration": 1}]}});
        assert!(!is_available(&platform));
        platform["status"]["conditions"][0]["observedGeneration"] = json!(2);
        assert!(is_available(&platform));
    }

    #[test]
    fn what_it_waits_on_is_named_once() {
        let platform = json!({"status": {"waitingOn": [{"component": "b"}, {"component": "a"}, {"component": "b"}]}});
        assert_eq!(waiting_on(&platform), "a, b");
    }
}
