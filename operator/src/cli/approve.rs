//! `millrace approve`: restarts that wait because only the operator has changed its mind.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::{Output, Place, reach, table};
use crate::reconcile::approval::APPROVE;
use crate::registry::registry;
use crate::types::{GROUP, VERSION};

const MANAGER: &str = "millrace-cli";

/// Shows the restarts that wait, or lets them happen.
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// Resources whose restarts may happen, as KIND/NAME; without any, what waits is shown
    #[arg(value_name = "KIND/NAME")]
    resources: Vec<String>,
    /// All that wait in the namespace
    #[arg(long, conflicts_with = "resources")]
    all: bool,
}

struct Waiting {
    resource: ApiResource,
    name: String,
    restarts: Vec<Value>,
}

impl Waiting {
    fn called(&self) -> String {
        format!("{}/{}", self.resource.kind, self.name)
    }

    // As the annotation names them. A template that was built meanwhile is not approved by this.
    fn revisions(&self) -> String {
        let revisions: Vec<&str> = self
            .restarts
            .iter()
            .filter_map(|restart| restart["revision"].as_str())
            .collect();
        revisions.join(",")
    }
}

/// Does it.
///
/// # Errors
/// Kubernetes refuses, or nothing of that name waits.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<()> {
    let (client, namespace) = reach::client(place).await?;
    let mut waiting = Vec::new();
    for component in registry() {
        let names = (component.crd)().spec.names;
        if names.kind == "Platform" {
            // It tells what waits in its parts, each of which stands here itself.
            continue;
        }
        let kind = GroupVersionKind::gvk(GROUP, VERSION, &names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &names.plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        for object in api.list(&ListParams::default()).await? {
            let restarts = object.data["status"]["pendingRestarts"].as_array();
            if let (Some(restarts), Some(name)) = (restarts, object.metadata.name.clone()) {
                waiting.push(Waiting {
                    resource: resource.clone(),
                    name,
                    restarts: restarts.clone(),
                });
            }
        }
    }
    if !command.all && command.resources.is_empty() {
        return show(&waiting, place.output, out);
    }
    for wanted in &command.resources {
        if !waiting
            .iter()
            .any(|one| one.called().eq_ignore_ascii_case(wanted))
        {
            bail!(
                "{wanted}: no restart of it waits in namespace {namespace}; `millrace approve` shows what waits"
            );
        }
    }
    for one in waiting {
        let called = one.called();
        let chosen = |wanted: &String| called.eq_ignore_ascii_case(wanted);
        if !command.all && !command.resources.iter().any(chosen) {
            continue;
        }
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &namespace, &one.resource);
        let patch = json!({"metadata": {"annotations": {APPROVE: one.revisions()}}});
        let manager = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(&one.name, &manager, &Patch::Merge(&patch))
            .await?;
        writeln!(out, "{called}: approved")?;
    }
    Ok(())
}

fn show(waiting: &[Waiting], output: Output, out: &mut impl Write) -> anyhow::Result<()> {
    if output == Output::Json {
        let all: Vec<Value> = waiting
            .iter()
            .map(|one| json!({"resource": one.called(), "pendingRestarts": one.restarts}))
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    if waiting.is_empty() {
        writeln!(out, "No restart waits for approval.")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = waiting
        .iter()
        .flat_map(|one| {
            one.restarts.iter().map(|restart| {
                vec![
                    one.called(),
                    table::cell(&restart["workload"]),
                    table::cell(&restart["reason"]),
                ]
            })
        })
        .collect();
    table::write(out, &["RESOURCE", "RESTARTS", "BECAUSE"], &rows)?;
    Ok(())
}
