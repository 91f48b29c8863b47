//! `millrace status`: a platform and its parts.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{Output, Place, reach};
use crate::registry::registry;
use crate::types::{GROUP, VERSION};

const EVERY: Duration = Duration::from_secs(2);

/// Shows platforms and their parts: what is available, what is waited for. Exit code 1: not all is available
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// A resource; every Platform of the namespace when absent
    #[arg(value_name = "KIND/NAME")]
    resource: Option<String>,
    /// Show it again whenever it has changed, until interrupted
    #[arg(long, short)]
    watch: bool,
}

/// Does it. Gives the exit code.
///
/// # Errors
/// Kubernetes refuses, or there is no such resource.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    let (client, namespace) = reach::client(place).await?;
    let mut shown = String::new();
    loop {
        let objects = all(&client, &namespace).await?;
        let roots = roots(&objects, command.resource.as_deref(), &namespace)?;
        let (mut text, mut available) = (Vec::new(), true);
        if place.output == Output::Json {
            let trees: Vec<Value> = roots.iter().map(|root| tree(root, &objects)).collect();
            writeln!(text, "{}", serde_json::to_string_pretty(&trees)?)?;
        }
        for root in roots {
            if place.output == Output::Table {
                tell(&mut text, root, &objects, 0)?;
            }
            available &= is_available(root);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if text != shown {
            if !shown.is_empty() {
                writeln!(out)?;
            }
            out.write_all(text.as_bytes())?;
            out.flush()?;
            shown = text;
        }
        if !command.watch {
            return Ok(u8::from(!available));
        }
        tokio::time::sleep(EVERY).await;
    }
}

// Every resource of ours in the namespace, as JSON with its kind.
async fn all(client: &Client, namespace: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for component in registry() {
        let names = (component.crd)().spec.names;
        let kind = GroupVersionKind::gvk(GROUP, VERSION, &names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &names.plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let found = match api.list(&ListParams::default()).await {
            Ok(found) => found,
            // An older version of the definitions lacks the kind.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) => return Err(error.into()),
        };
        let mut found: Vec<DynamicObject> = found.items;
        found.sort_by_key(ResourceExt::name_any);
        for object in found {
            let mut body = serde_json::to_value(&object)?;
            body["kind"] = json!(names.kind);
            objects.push(body);
        }
    }
    Ok(objects)
}

pub(super) fn called(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

fn roots<'a>(
    objects: &'a [Value],
    wanted: Option<&str>,
    namespace: &str,
) -> anyhow::Result<Vec<&'a Value>> {
    if let Some(wanted) = wanted {
        let found = objects
            .iter()
            .find(|object| called(object).eq_ignore_ascii_case(wanted));
        let Some(found) = found else {
            bail!(
                "{wanted}: there is no such resource in namespace {namespace}; write it as KIND/NAME, for example Platform/dev"
            );
        };
        return Ok(vec![found]);
    }
    let platforms: Vec<&Value> = objects.iter().filter(|o| o["kind"] == "Platform").collect();
    if !platforms.is_empty() {
        return Ok(platforms);
    }
    if objects.is_empty() {
        bail!("namespace {namespace} has no resource of Millrace; name another by --namespace");
    }
    // Parts that were made one by one.
    Ok(objects.iter().filter(|o| owner(o).is_none()).collect())
}

fn owner(object: &Value) -> Option<&str> {
    object["metadata"]["ownerReferences"][0]["uid"].as_str()
}

fn parts<'a>(of: &Value, objects: &'a [Value]) -> Vec<&'a Value> {
    let uid = of["metadata"]["uid"].as_str();
    objects
        .iter()
        .filter(|object| uid.is_some() && owner(object) == uid)
        .collect()
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

fn is_available(object: &Value) -> bool {
    condition(object, "Available").is_some_and(|c| {
        c["status"] == "True"
            && (c["observedGeneration"].is_null()
                || c["observedGeneration"] == object["metadata"]["generation"])
    })
}

fn tree(object: &Value, objects: &[Value]) -> Value {
    let parts: Vec<Value> = parts(object, objects)
        .into_iter()
        .map(|part| tree(part, objects))
        .collect();
    json!({
        "resource": called(object),
        "available": is_available(object),
        "status": object["status"],
        "parts": parts,
    })
}

fn tell(
    out: &mut impl Write,
    object: &Value,
    objects: &[Value],
    depth: usize,
) -> std::io::Result<()> {
    let indent = "  ".repeat(depth);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let said = match condition(object, "Available") {
        None => "nothing is known of it yet".to_owned(),
        Some(_) if object["spec"]["paused"] == true => "paused".to_owned(),
        Some(c) if c["status"] == "True" && !is_available(object) => {
            "its latest change has not been looked at yet".to_owned()
        }
        Some(c) => text(&c["message"]),
    };
    let sign = if is_available(object) { "ok" } else { "--" };
    writeln!(out, "{indent}{sign} {}  {said}", called(object))?;
    for (type_, word) in [("Progressing", "progressing"), ("Degraded", "degraded")] {
        if let Some(c) = condition(object, type_).filter(|c| c["status"] == "True") {
            let message = text(&c["message"]);
            if message != said {
                let reason = text(&c["reason"]);
                writeln!(out, "{indent}     {word}: {reason}: {message}")?;
            }
        }
    }
    for line in further(&object["status"]) {
        writeln!(out, "{indent}     {line}")?;
    }
    for part in parts(object, objects) {
        tell(out, part, objects, depth + 1)?;
    }
    Ok(())
}

// What a status tells besides its conditions, as far as somebody has to know or do something.
fn further(status: &Value) -> Vec<String> {
    let list = |field: &str| status[field].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    for waiting in list("waitingOn") {
        lines.push(format!(
            "waits for {}: {}",
            text(&waiting["component"]),
            text(&waiting["reason"])
        ));
    }
    for restart in list("pendingRestarts") {
        lines.push(format!(
            "restart of {} waits for approval (millrace approve): {}",
            text(&restart["workload"]),
            text(&restart["reason"])
        ));
    }
    lines.extend(list("drain").iter().map(drained));
    for restart in list("restarts") {
        let reasons = restart["reasons"].as_array();
        let reasons: Vec<String> = reasons.into_iter().flatten().map(text).collect();
        let waits = match restart["waitsFor"].as_str() {
            Some(waits) => format!("; waits: {waits}"),
            None => String::new(),
        };
        lines.push(format!(
            "restart of {}: {}{waits}",
            text(&restart["pod"]),
            reasons.join("; ")
        ));
    }
    let certificates = &status["certificates"];
    if certificates.is_object() {
        lines.push(format!(
            "certificates: {}, the first ends {}, their authority {}",
            text(&certificates["phase"]),
            text(&certificates["notAfter"]),
            text(&certificates["authorityNotAfter"])
        ));
    }
    lines
}

/// A node that is drained, in words.
pub(super) fn drained(node: &Value) -> String {
    let id = &node["node"];
    if node["done"] == true {
        return format!("drain of node {id}: done");
    }
    let replicas = &node["replicasLeft"];
    match node["bytesLeft"].as_i64() {
        Some(bytes) => format!("drain of node {id}: {replicas} replicas and {bytes} bytes left"),
        None => format!("drain of node {id}: {replicas} replicas left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str, owner: Option<&str>, available: &str) -> Value {
        let owners: Vec<Value> = owner.iter().map(|uid| json!({"uid": uid})).collect();
        json!({"kind": kind, "metadata": {"name": name, "uid": name, "generation": 2, "ownerReferences": owners},
            "status": {"conditions": [{"type": "Available", "status": available, "observedGeneration": 2, "message": format!("{name} says")}]}})
    }

    fn text(objects: &[Value]) -> String {
        let mut out = Vec::new();
        for root in roots(objects, None, "ns").unwrap() {
            tell(&mut out, root, objects, 0).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_platform_is_told_with_its_parts_and_what_they_wait_for() {
        let mut platform = object("Platform", "p", None, "False");
        platform["status"]["waitingOn"] =
            json!([{"component": "KafkaCluster k", "reason": "0 of 1"}]);
        let mut kafka = object("KafkaCluster", "k", Some("p"), "False");
        kafka["status"]["pendingRestarts"] =
            json!([{"workload": "StatefulSet/k", "reason": "image"}]);
        kafka["status"]["drain"] = json!([{"node": 3, "replicasLeft": 7, "bytesLeft": 100, "done": false}, {"node": 4, "done": true}]);
        kafka["status"]["restarts"] =
            json!([{"pod": "k-0", "reasons": ["certificate"], "waitsFor": "k-1"}]);
        kafka["status"]["certificates"] =
            json!({"phase": "Settled", "notAfter": "t1", "authorityNotAfter": "t2"});
        let alone = object("StreamJob", "alone", None, "True");
        assert_eq!(
            text(&[platform, kafka, alone]),
            "-- Platform/p  p says\n     waits for KafkaCluster k: 0 of 1\n  -- KafkaCluster/k  k says\n       restart of StatefulSet/k waits for approval (millrace approve): image\n       drain of node 3: 7 replicas and 100 bytes left\n       drain of node 4: done\n       restart of k-0: certificate; waits: k-1\n       certificates: Settled, the first ends t1, their authority t2\n"
        );
    }

    #[test]
    fn available_counts_for_the_present_spec_only() {
        let mut job = object("StreamJob", "j", None, "True");
        assert!(is_available(&job));
        job["metadata"]["generation"] = json!(3);
        assert!(!is_available(&job));
        assert!(text(&[job]).contains("has not been looked at yet"));
        assert!(!is_available(&json!({"kind": "StreamJob"})));
    }

    #[test]
    fn a_resource_is_found_by_kind_and_name_however_it_is_written() {
        let all = [object("StreamJob", "j", None, "True")];
        assert_eq!(roots(&all, Some("streamjob/j"), "ns").unwrap().len(), 1);
        let error = roots(&all, Some("j"), "ns").unwrap_err().to_string();
        assert!(error.contains("KIND/NAME"), "{error}");
    }
}
