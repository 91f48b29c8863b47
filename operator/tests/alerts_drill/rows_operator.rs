//! Faults of the operator, and of what it is asked for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::found::resource;
use super::repeat::Repeat;
use super::row::Fault;
use super::scene::Scene;
use crate::drill_support::{LIMIT, NAMESPACE, fresh};

const TAKEN: (&str, &str) = ("zookeeperensemble", "taken");
const FILES: &str = "taken-files";
const SPARE: (&str, &str) = ("openwhisk", "spare");
const OPERATOR_NAMESPACE: &str = "millrace-system";
const LEASE: &str = "millrace-operator";

/// Somebody else has a ConfigMap of the name that a new resource needs.
pub fn name_taken(scene: &Scene) -> Fault {
    let nodes = &scene.nodes;
    // Of a run before.
    let (kind, name) = TAKEN;
    nodes.kubectl(&["delete", kind, name, "--ignore-not-found"]);
    nodes.wait("no files of it", LIMIT, || {
        let look = [
            "get",
            "configmap",
            FILES,
            "--ignore-not-found",
            "-o",
            "name",
        ];
        let left = nodes.try_kubectl(&look).ok()?;
        left.trim().is_empty().then_some(())
    });
    nodes.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": FILES, "namespace": NAMESPACE}, "data": {"of": "somebody else"},
    }));
    let at = Instant::now();
    let spec = json!({"storage": {"size": "256Mi"}, "resources": {"memory": "256Mi", "cpu": "20m"}, "deletionPolicy": "Delete"});
    nodes.apply(&resource("ZooKeeperEnsemble", name, &spec));
    Fault::since(at, |scene| {
        scene.nodes.kubectl(&["delete", "configmap", FILES]);
    })
}

/// A workload is changed by hand, and the marks that say what it was built from are taken off, as an incomplete restore would.
pub fn without_marks(scene: &Scene) -> Fault {
    // An approval of a run before, of the same template.
    let none = json!({"metadata": {"annotations": {"millrace.dev/approve-restart": null}}});
    scene.nodes.patch(SPARE, &none);
    let memory = format!("{}Mi", 520 + fresh() % 50);
    let change = json!({
        "metadata": {"annotations": {"millrace.dev/restart-mark": null, "millrace.dev/sent-template": null}},
        "spec": {"template": {"spec": {"containers": [
            {"name": "openwhisk", "resources": {"limits": {"memory": memory}}},
        ]}}},
    });
    let at = Instant::now();
    let change = change.to_string();
    scene.nodes.kubectl(&[
        "patch",
        "statefulset",
        SPARE.1,
        "--type=strategic",
        "-p",
        &change,
    ]);
    Fault::since(at, |scene| {
        let seen = scene.nodes.wait_get(SPARE.0, SPARE.1);
        let revision = &seen["status"]["pendingRestarts"][0]["revision"];
        let approve =
            json!({"metadata": {"annotations": {"millrace.dev/approve-restart": revision}}});
        scene.nodes.patch(SPARE, &approve);
    })
}

/// Something else has the operator's Lease, and renews it.
pub fn lease_taken(scene: &Scene) -> Fault {
    let nodes = scene.nodes.clone();
    let mut renewals = 0_u32;
    let at = Instant::now();
    let renewing = Repeat::every(Duration::from_secs(1), move || {
        renewals += 1;
        let change = json!({
            "metadata": {"annotations": {"millrace.dev/drill": renewals.to_string()}},
            "spec": {"holderIdentity": "somebody-else"},
        });
        let change = change.to_string();
        let patch = [
            "-n",
            OPERATOR_NAMESPACE,
            "patch",
            "lease",
            LEASE,
            "--type=merge",
            "-p",
            &change,
        ];
        if let Err(error) = nodes.try_kubectl(&patch) {
            eprintln!("{error}");
        }
    });
    Fault::since(at, move |scene| {
        drop(renewing);
        let free = json!({"spec": {"holderIdentity": Value::Null}}).to_string();
        let patch = [
            "-n",
            OPERATOR_NAMESPACE,
            "patch",
            "lease",
            LEASE,
            "--type=merge",
            "-p",
            &free,
        ];
        scene.nodes.answer(&patch);
    })
}
