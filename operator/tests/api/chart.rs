//! The environment chart: each of its values files gives what the API server and the operator take, and a wrong value is
//! named before anything is sent. The operator's chart: what it makes of the whole cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use millrace_operator::platform::Platforms;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::Scene;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/millrace-environment")
}

fn operator_chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/millrace-operator")
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
            "the charts",
            "helm is not in the cache; `cargo xtask test` builds it",
        )
        .unwrap();
    }
    found.pop().map(|(_, helm)| helm)
}

/// `helm template` of a release, if there is a helm.
fn template(chart: &Path, values: &Path, more: &[&str]) -> Option<Output> {
    let helm = helm()?;
    let mut command = Command::new(helm);
    command
        .args(["template", "--kube-version", "1.35.0"])
        .arg("env")
        .arg(chart)
        .arg("-f")
        .arg(values)
        .args(more);
    Some(command.output().unwrap())
}

/// What a chart makes, without the documents that are comments only.
fn objects(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
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
        let Some(output) = template(&chart(), file, &[]) else {
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
        for object in objects(&text) {
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
        let Some(output) = template(&chart(), &values, &["--set", set]) else {
            return;
        };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(says),
            "{set}: {error}"
        );
    }
}

pub async fn an_operator_for_some_namespaces_makes_nothing_of_the_cluster(_: &Scene) {
    let values = operator_chart().join("values.yaml");
    // Values; whether there are definitions; the ClusterRoles.
    let cases: [(&str, bool, &[&str]); 4] = [
        ("replicas=1", true, &["default-env"]),
        ("watchNamespaces={a,b}", true, &[]),
        ("watchNamespaces={a,b},crds.install=false", false, &[]),
        (
            "watchNamespaces={a},crds.install=false,readNodes=true",
            false,
            &["default-env-nodes"],
        ),
    ];
    for (set, definitions, cluster_roles) in cases {
        let Some(output) = template(&operator_chart(), &values, &["--set", set]) else {
            return;
        };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{set}: {error}");
        let all = objects(&String::from_utf8(output.stdout).unwrap());
        let of = |kind: &str| -> Vec<&Value> {
            let of = all.iter().filter(|object| object["kind"] == kind);
            of.collect()
        };
        let reads_nodes = |role: &&Value| {
            let mut rules = role["rules"].as_array().into_iter().flatten();
            rules.any(|rule| rule["resources"] == json!(["nodes"]))
        };
        let names = |kind: &str, path: &str| -> Vec<&str> {
            let names = of(kind).into_iter().map(|object| object.pointer(path));
            names.map(|name| name.unwrap().as_str().unwrap()).collect()
        };
        assert_eq!(
            names("ClusterRole", "/metadata/name"),
            cluster_roles,
            "{set}"
        );
        let bound = names("ClusterRoleBinding", "/roleRef/name");
        assert_eq!(bound, cluster_roles, "{set}");
        assert!(of("ClusterRole").iter().all(reads_nodes), "{set}");
        assert!(!of("Role").iter().any(reads_nodes), "{set}");
        let defined = !of("CustomResourceDefinition").is_empty();
        assert_eq!(defined, definitions, "{set}");
    }
}

pub async fn an_operator_for_some_namespaces_has_its_rights_in_them(_: &Scene) {
    let values = operator_chart().join("values.yaml");
    let set = ["--set", "watchNamespaces={a,b}"];
    let Some(output) = template(&operator_chart(), &values, &set) else {
        return;
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let all = objects(&String::from_utf8(output.stdout).unwrap());
    let of = |kind: &str| -> Vec<&Value> {
        let of = all
            .iter()
            .filter(|object| object["kind"] == kind && object["metadata"]["name"] == "default-env");
        of.collect()
    };
    for kind in ["Role", "RoleBinding"] {
        let places = of(kind);
        let places = places
            .iter()
            .filter_map(|object| object["metadata"]["namespace"].as_str());
        assert_eq!(places.collect::<Vec<_>>(), ["a", "b"], "{kind}");
    }
    for role in of("Role") {
        let rules = role["rules"].as_array().unwrap();
        let makes = rules.iter().any(|rule| {
            let resources = rule["resources"].as_array().unwrap();
            let verbs = rule["verbs"].as_array().unwrap();
            resources.iter().any(|one| one == "statefulsets")
                && verbs.iter().any(|one| one == "create")
        });
        assert!(makes, "{role}");
    }
    for binding in of("RoleBinding") {
        let subject = json!({"kind": "ServiceAccount", "name": "env", "namespace": "default"});
        assert_eq!(binding["subjects"], json!([subject]));
        let role =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "default-env"});
        assert_eq!(binding["roleRef"], role);
    }
    let mut deployments = all.iter().filter(|object| object["kind"] == "Deployment");
    let pod = &deployments.next().unwrap()["spec"]["template"]["spec"];
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let watched = json!({"name": "MILLRACE_WATCH_NAMESPACES", "value": "a,b"});
    assert!(variables.contains(&watched), "{variables:?}");
}
