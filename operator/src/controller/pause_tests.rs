use std::future;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::controller::overdue::tests::{Asked, context};
use crate::controller::{Reconciled, reconcile_one, status_of};
use crate::platform::crd::{Platform, PlatformStatus};
use crate::rbac::Rule;

/// What was done, in its order.
static DONE: Mutex<Vec<&str>> = Mutex::new(Vec::new());

#[derive(Debug, thiserror::Error)]
#[error("a part is not to be had")]
struct Refusal;

impl Failure for Refusal {
    fn reason(&self) -> &'static str {
        "PartRefused"
    }
}

/// Has parts that go on, and cannot be paused.
struct Parts;

impl Component for Parts {
    type Kind = Platform;
    type Error = Refusal;
    const NAME: &'static str = "parts";
    const HAS_PARTS: bool = true;

    fn rules() -> Vec<Rule> {
        Vec::new()
    }

    fn pause(
        _: &Context,
        _: &Platform,
        paused: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        if paused {
            return future::ready(Err(Refusal));
        }
        DONE.lock().unwrap().push("woken");
        future::ready(Ok(()))
    }

    fn reconcile(
        _: &Context,
        object: &Platform,
    ) -> impl Future<Output = Result<Reconciled<PlatformStatus>, Refusal>> + Send {
        DONE.lock().unwrap().push("applied");
        let status = Reconciled::Status(status_of(object), Duration::from_secs(60));
        future::ready(Ok(status))
    }
}

fn platform(paused: bool, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Platform",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 2},
        "spec": {"paused": paused},
        "status": {"conditions": [{"type": PAUSED, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn read(platform: Value) -> Platform {
    serde_json::from_value(platform).unwrap()
}

fn notes(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().unwrap();
    let notes = asked.iter().filter_map(|(_, body)| body["note"].as_str());
    notes.map(str::to_owned).collect()
}

#[tokio::test]
async fn parts_go_on_once_the_spec_was_applied() {
    let rested = platform(false, WITH_PARTS, "m");
    let (context, _) = context(rested.clone());
    let done = reconcile_one::<Parts>(&context, &read(rested)).await;
    done.unwrap();
    assert_eq!(*DONE.lock().unwrap(), ["applied", "woken"]);
}

#[tokio::test]
async fn a_pause_that_failed_is_told_once() {
    let begun = platform(true, PAUSING, "the parts are being paused");
    let (context, asked) = context(begun.clone());
    let failed = reconcile_one::<Parts>(&context, &read(begun)).await;
    failed.unwrap_err();
    let told = notes(&asked);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("a part is not to be had"), "{told:?}");
    let counted = context.metrics.text();
    assert!(counted.contains(r#"outcome="PartRefused""#), "{counted}");
    // Its status says so by now.
    let again = read(platform(true, PAUSING, &told[0]));
    let failed = reconcile_one::<Parts>(&context, &again).await;
    failed.unwrap_err();
    assert_eq!(notes(&asked), told);
}
