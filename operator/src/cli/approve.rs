//! `millrace approve`: restarts that wait because only the operator has changed its mind.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::Args;
use kube::Client;
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
    /// Resources whose restarts may happen, as KIND/NAME or NAME; without any, what waits is shown
    #[arg(value_name = "KIND/NAME")]
    resources: Vec<String>,
    /// All that wait in the namespace
    #[arg(long, conflicts_with = "resources")]
    all: bool,
    /// Look in all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Contexts of the kubeconfig, separated by commas: look in several clusters
    #[arg(long, value_delimiter = ',', value_name = "CONTEXT")]
    contexts: Vec<String>,
}

impl Command {
    fn chooses(&self, one: &Waiting) -> bool {
        self.all || self.resources.iter().any(|wanted| one.is(wanted))
    }
}

struct Waiting {
    client: Client,
    context: Option<String>,
    namespace: String,
    resource: ApiResource,
    name: String,
    restarts: Vec<Value>,
}

impl Waiting {
    fn called(&self) -> String {
        called(&self.resource, &self.name)
    }

    fn is(&self, wanted: &str) -> bool {
        is(&self.resource, &self.name, wanted)
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

    async fn approve(&self) -> Result<(), kube::Error> {
        let (client, resource) = (self.client.clone(), &self.resource);
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, resource);
        let patch = json!({"metadata": {"annotations": {APPROVE: self.revisions()}}});
        let manager = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(&self.name, &manager, &Patch::Merge(&patch))
            .await
            .map(drop)
    }
}

fn called(resource: &ApiResource, name: &str) -> String {
    format!("{}/{name}", resource.kind)
}

/// Whether a resource is meant by its kind and name, or by its name alone.
fn is(resource: &ApiResource, name: &str, wanted: &str) -> bool {
    called(resource, name).eq_ignore_ascii_case(wanted) || name == wanted
}

/// Does it.
///
/// # Errors
/// Kubernetes refuses, or nothing of that name waits.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<()> {
    if let (Some(context), false) = (&place.context, command.contexts.is_empty()) {
        bail!("--contexts: given beside --context {context}; give one of the two");
    }
    let mut waiting = Vec::new();
    let mut looked = Vec::new();
    // Everywhere, before anything is approved: a cluster that cannot be reached leaves nothing half done.
    if command.contexts.is_empty() {
        looked.push(look(place, None, &command, &mut waiting).await?);
    }
    for context in &command.contexts {
        let there = Place {
            context: Some(context.clone()),
            ..place.clone()
        };
        let found = look(&there, Some(context), &command, &mut waiting).await;
        looked.push(found.with_context(|| format!("--contexts: {context}"))?);
    }
    if !command.all && command.resources.is_empty() {
        return show(&waiting, &command, place.output, out);
    }
    for wanted in &command.resources {
        if !waiting.iter().any(|one| one.is(wanted)) {
            bail!(
                "{wanted}: no restart of it waits in {}; `millrace approve` shows what waits",
                looked.join(", ")
            );
        }
    }
    for one in waiting.iter().filter(|one| command.chooses(one)) {
        let told = cells(one, &command).join(" ");
        one.approve().await.with_context(|| told.clone())?;
        writeln!(out, "{told}: approved")?;
    }
    Ok(())
}

/// Finds what waits in one cluster. Says where it has looked.
async fn look(
    place: &Place,
    context: Option<&String>,
    command: &Command,
    waiting: &mut Vec<Waiting>,
) -> anyhow::Result<String> {
    let (client, namespace) = reach::client(place).await?;
    for component in registry() {
        let names = (component.crd)().spec.names;
        if names.kind == "Platform" {
            // It tells what waits in its parts, each of which stands here itself.
            continue;
        }
        let kind = GroupVersionKind::gvk(GROUP, VERSION, &names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &names.plural);
        let api: Api<DynamicObject> = if command.all_namespaces {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), &namespace, &resource)
        };
        for object in api.list(&ListParams::default()).await? {
            let restarts = object.data["status"]["pendingRestarts"].as_array();
            if let (Some(restarts), Some(name)) = (restarts, object.metadata.name.clone()) {
                waiting.push(Waiting {
                    client: client.clone(),
                    context: context.cloned(),
                    namespace: object.metadata.namespace.clone().unwrap_or_default(),
                    resource: resource.clone(),
                    name,
                    restarts: restarts.clone(),
                });
            }
        }
    }
    let looked = if command.all_namespaces {
        "all namespaces".to_owned()
    } else {
        format!("namespace {namespace}")
    };
    Ok(match context {
        Some(context) => format!("{looked} of {context}"),
        None => looked,
    })
}

/// Where a resource is, as far as that is not plain, and its name.
fn cells(one: &Waiting, command: &Command) -> Vec<String> {
    let context = one.context.clone();
    let namespace = command.all_namespaces.then(|| one.namespace.clone());
    let place = context.into_iter().chain(namespace);
    place.chain([one.called()]).collect()
}

fn headings(command: &Command) -> Vec<&'static str> {
    let context = (!command.contexts.is_empty()).then_some("CONTEXT");
    let namespace = command.all_namespaces.then_some("NAMESPACE");
    let place = context.into_iter().chain(namespace);
    place.chain(["RESOURCE", "RESTARTS", "BECAUSE"]).collect()
}

fn show(
    waiting: &[Waiting],
    command: &Command,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if output == Output::Json {
        let all: Vec<Value> = waiting
            .iter()
            .map(|one| {
                json!({"context": one.context, "namespace": one.namespace, "resource": one.called(), "pendingRestarts": one.restarts})
            })
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
                let mut row = cells(one, command);
                row.push(table::cell(&restart["workload"]));
                row.push(table::cell(&restart["reason"]));
                row
            })
        })
        .collect();
    table::write(out, &headings(command), &rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::crd::KafkaCluster;

    #[test]
    fn a_resource_is_meant_by_kind_and_name_or_by_its_name() {
        let kind = ApiResource::erase::<KafkaCluster>(&());
        for (wanted, meant) in [
            ("KafkaCluster/k", true),
            ("kafkacluster/k", true),
            ("k", true),
            ("kafkacluster/other", false),
            ("hdfscluster/k", false),
            ("kafkacluster", false),
        ] {
            assert_eq!(is(&kind, "k", wanted), meant, "{wanted}");
        }
    }
}
