//! The definitions of the commit before are upgraded to ours: what was stored under them stays as it was, and can be
//! written again.

use std::path::Path;
use std::process::Command;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{World, eventually};

const DEFINITIONS: &str = "manifests/crds";
const SAMPLES: &str = "manifests/samples";

fn git(arguments: &[&str]) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("git")
        .current_dir(root)
        .args(arguments)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The commit whose definitions were others than ours are.
fn former() -> Option<String> {
    if git(&["status", "--porcelain", "--", DEFINITIONS])?
        .trim()
        .is_empty()
    {
        let changes = git(&[
            "log",
            "--first-parent",
            "-n",
            "1",
            "--format=%H",
            "--",
            DEFINITIONS,
        ])?;
        let before = format!("{}^", changes.trim());
        return Some(
            git(&["rev-parse", "--verify", "--quiet", &before])?
                .trim()
                .to_owned(),
        );
    }
    Some(git(&["rev-parse", "HEAD"])?.trim().to_owned())
}

fn documents(commit: &str, directory: &str) -> Vec<Value> {
    let list = git(&["ls-tree", "--name-only", commit, &format!("{directory}/")]).unwrap();
    list.lines()
        .filter(|path| path.ends_with(".yaml"))
        .flat_map(|path| {
            let text = git(&["show", &format!("{commit}:{path}")]).unwrap();
            serde_yaml_ng::Deserializer::from_str(&text)
                .map(|document| Value::deserialize(document).unwrap())
                .collect::<Vec<_>>()
        })
        .filter(|document| document["kind"].is_string())
        .collect()
}

/// Upgrades what the commit before had. Says that it was left out where there is no such commit.
pub async fn definitions_of_the_commit_before_are_upgraded(world: &World) -> anyhow::Result<()> {
    let Some(commit) = former() else {
        return millrace_testkit::left_out("upgrade of definitions", "no history of commits here");
    };
    let scene = world.scene("upgraded").await;
    let client = scene.context.client.clone();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("tests").force();
    let mut kinds = Vec::new();
    for definition in documents(&commit, DEFINITIONS) {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        definitions
            .patch(&name, &params, &Patch::Apply(&definition))
            .await?;
        eventually(&name, || async {
            let conditions = definitions.get(&name).await.unwrap().status?.conditions?;
            let mut established = conditions.iter().filter(|c| c.type_ == "Established");
            established.find(|c| c.status == "True").map(|_| ())
        })
        .await;
        let names = &definition["spec"]["names"];
        kinds.push((
            names["kind"].as_str().unwrap().to_owned(),
            names["plural"].as_str().unwrap().to_owned(),
        ));
    }
    let mut stored = Vec::new();
    for sample in documents(&commit, SAMPLES) {
        let kind = sample["kind"].as_str().unwrap();
        let Some((kind, plural)) = kinds.iter().find(|(known, _)| known == kind) else {
            continue;
        };
        let gvk = GroupVersionKind::gvk("millrace.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &scene.namespace, &resource);
        let object: DynamicObject = serde_json::from_value(sample)?;
        let made = eventually(kind, || async {
            api.create(&PostParams::default(), &object).await.ok()
        })
        .await;
        stored.push((api, object, made));
    }
    assert!(stored.len() > 5, "hardly any samples: {}", stored.len());
    world.install_definitions().await;
    for (api, sample, made) in stored {
        let name = made.metadata.name.clone().unwrap();
        let told = format!("{} {name} of {commit}", made.types.as_ref().unwrap().kind);
        let live = api.get(&name).await?;
        let (before, after) = (&made.data["spec"], &live.data["spec"]);
        for (field, value) in before.as_object().unwrap() {
            assert_eq!(&after[field], value, "{told}: spec.{field}");
        }
        // What its user wrote is still right.
        let params = PatchParams::apply("user").force();
        let written = api.patch(&name, &params, &Patch::Apply(&sample)).await;
        written.unwrap_or_else(|error| panic!("{told}: {error}"));
    }
    Ok(())
}
