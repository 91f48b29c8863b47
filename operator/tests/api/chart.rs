//! The environment chart: each of its values files gives what the API server and the operator take, and a wrong value is
//! named before anything is sent.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use millrace_operator::platform::Platforms;
use serde::Deserialize;
use serde_json::Value;

use crate::support::Scene;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/millrace-environment")
}

/// The helm that comes with the local cluster, of the newest build.
fn helm() -> Option<PathBuf> {
    let builds = std::fs::read_dir(millrace_testkit::cache_dir()).ok();
    let mut found: Vec<_> = builds
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let helm = entry.ok()?.path().join("helm");
            let metadata = std::fs::metadata(&helm)
                .ok()
                .filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, helm))
        })
        .collect();
    found.sort();
    if found.is_empty() {
        millrace_testkit::left_out(
            "the environment chart",
            "helm is not in the cache; `cargo xtask test` builds it",
        )
        .unwrap();
    }
    found.pop().map(|(_, helm)| helm)
}

/// `helm template` of a release, if there is a helm.
fn template(values: &Path, more: &[&str]) -> Option<Output> {
    let helm = helm()?;
    let mut command = Command::new(helm);
    command
        .args(["template", "--kube-version", "1.35.0"])
        .arg("env")
        .arg(chart())
        .arg("-f")
        .arg(values)
        .args(more);
    Some(command.output().unwrap())
}

fn values_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(chart())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("values") && name.ends_with(".yaml")
        })
        .collect();
    files.sort();
    files
}

pub async fn every_values_file_gives_a_platform(scene: &Scene) {
    let files = values_files();
    assert!(files.len() >= 4, "{files:?}");
    for (index, file) in files.iter().enumerate() {
        let Some(output) = template(file, &[]) else {
            return;
        };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let mut platforms = 0;
        let objects: Vec<Value> = serde_yaml_ng::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        for object in objects {
            if object["kind"] != "Platform" {
                assert_eq!(object["kind"], "ConfigMap", "{}", file.display());
                continue;
            }
            platforms += 1;
            // Each under a name of its own, for a Platform's Kafka cannot be taken out again.
            let name = format!("env{index}");
            let made = scene.apply("Platform", &name, object["spec"].clone()).await;
            made.unwrap_or_else(|message| panic!("{}: {message}", file.display()));
            assert!(scene.look::<Platforms>(&name).await, "{}", file.display());
        }
        assert_eq!(platforms, 1, "{}", file.display());
    }
}

pub async fn a_wrong_value_is_named(_: &Scene) {
    for (set, says) in [
        ("profile=huge", "profile"),
        ("gateway.replicas=-1", "replicas"),
        ("gateway.tsl.only=true", "tsl"),
        ("detect.zones[0].map=a", "configMap"),
        ("warnings.channels[0]=pigeon", "channels"),
        ("kafkas.partitions=3", "kafkas"),
    ] {
        let values = chart().join("values.yaml");
        let Some(output) = template(&values, &["--set", set]) else {
            return;
        };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(says),
            "{set}: {error}"
        );
    }
}
