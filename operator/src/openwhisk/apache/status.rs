//! What is told of an Apache OpenWhisk. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;

use super::reconcile::ready;
use super::validate::ValidatedApache;
use super::{controller_set, invoker_set};
use crate::controller::{Reconciled, status_of};
use crate::openwhisk::binding_name;
use crate::openwhisk::crd::{OpenWhisk, OpenWhiskStatus};
use crate::reconcile::restarts::Rolling;
use crate::reconcile::{Applied, Resources};
use crate::status::{AVAILABLE, DISK_PRESSURE, PROGRESSING, set_condition};
use crate::types::{BindingStatus, tell_stopped};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the key is not where OpenWhisk looks for it, if it is not.
    pub(super) no_key: Option<String>,
    /// The invokers that take activations, if the controller says so.
    pub(super) working: Option<BTreeMap<u32, bool>>,
    /// What became of restarts.
    pub(super) rolling: Rolling,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
}

/// Servers that are there.
#[derive(Clone, Copy, Debug, Default)]
struct There {
    controller: i32,
    invokers: i32,
    pods: i32,
}

pub(super) fn status(
    object: &OpenWhisk,
    whisk: &ValidatedApache,
    applied: &Resources<Applied>,
    seen: &Seen,
) -> Reconciled<OpenWhiskStatus> {
    let name = &whisk.owner.name;
    let pods = |set: &str| {
        let set: Option<StatefulSet> = applied.get(set);
        set.and_then(|set| set.status).map_or(0, |s| s.replicas)
    };
    let (controller, invoker) = (controller_set(name), invoker_set(name));
    let there = There {
        controller: ready(applied, &controller),
        invokers: ready(applied, &invoker),
        pods: pods(&controller) + pods(&invoker),
    };
    let mut status = status_of(object);
    status.pending_restarts = applied.pending().to_vec();
    told(object, whisk, there, status, seen)
}

fn told(
    object: &OpenWhisk,
    whisk: &ValidatedApache,
    there: There,
    mut status: OpenWhiskStatus,
    seen: &Seen,
) -> Reconciled<OpenWhiskStatus> {
    let generation = object.metadata.generation;
    status.uri = Some(whisk.uri());
    status.binding = Some(BindingStatus {
        name: binding_name(&whisk.owner.name),
    });
    // These are of the embedded server's volume.
    (status.disk, status.storage) = (None, None);
    let conditions = &mut status.conditions;
    conditions.retain(|condition| condition.type_ != DISK_PRESSURE);
    let working = match (&whisk.invokers, &seen.working) {
        (None, _) => None,
        (Some(_), Some(working)) => {
            let count = working.values().filter(|works| **works).count();
            Some(i32::try_from(count).unwrap_or(i32::MAX))
        }
        (Some(_), None) => Some(there.invokers),
    };
    status.invokers = working;
    status.restarts = seen.rolling.restarts.clone();
    let lacks = lacks(whisk, there, working, seen);
    let available = lacks.is_none();
    let (reason, message) = lacks.unwrap_or(("Ready", "ready".to_owned()));
    let conditions = &mut status.conditions;
    set_condition(
        conditions, AVAILABLE, available, reason, &message, generation,
    );
    let missing = whisk
        .invokers
        .as_ref()
        .is_some_and(|asked| there.invokers < asked.replicas);
    let (progressing, reason, step) = match &seen.rolling.told {
        Some(told) => (true, "Restarting", told.clone()),
        None if available && !missing => (false, "Settled", String::new()),
        None if available => {
            let told = format!("{} invokers are ready", there.invokers);
            (true, "Starting", told)
        }
        None => (true, "Starting", message),
    };
    set_condition(
        conditions,
        PROGRESSING,
        progressing,
        reason,
        &step,
        generation,
    );
    tell_stopped(conditions, whisk.operation.stopped, there.pods, generation);
    let settled = whisk.operation.stopped || (available && !progressing);
    // Whether invokers take activations changes without a word to Kubernetes.
    Reconciled::Status(status, Duration::from_secs(if settled { 60 } else { 10 }))
}

/// Why actions cannot be invoked, if they cannot.
fn lacks(
    whisk: &ValidatedApache,
    there: There,
    working: Option<i32>,
    seen: &Seen,
) -> Option<(&'static str, String)> {
    let because = |told: String| match &seen.trouble {
        Some(trouble) => format!("{told}: {trouble}"),
        None => told,
    };
    if let Some(problem) = &seen.no_key {
        let told = format!("the key of the namespace is not in MongoDB: {problem}");
        return Some(("KeyMissing", told));
    }
    if there.controller == 0 {
        return Some(("PodNotReady", because("the controller is not ready".into())));
    }
    let asked = whisk.invokers.as_ref()?.replicas;
    (working == Some(0)).then(|| {
        let told = format!("none of {asked} invokers takes activations");
        ("NoInvoker", because(told))
    })
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{apache, lean, valid, whisk};
    use super::*;
    use crate::status::{is_true, message_of};
    use serde_json::Value;

    const ALL: There = There {
        controller: 1,
        invokers: 1,
        pods: 2,
    };

    fn seen_with(spec: Value, there: There, seen: &Seen) -> OpenWhiskStatus {
        let told = told(
            &whisk(spec.clone()),
            &valid(spec),
            there,
            OpenWhiskStatus::default(),
            seen,
        );
        match told {
            Reconciled::Status(status, _) => status,
            Reconciled::Gone => panic!("gone"),
        }
    }

    #[test]
    fn the_volume_of_the_embedded_server_is_not_told_of() {
        let mut before = OpenWhiskStatus::default();
        let conditions = &mut before.conditions;
        set_condition(conditions, DISK_PRESSURE, true, "DiskFull", "full", None);
        let all = with(|_| {});
        let told = told(&whisk(apache()), &valid(apache()), ALL, before, &all);
        let Reconciled::Status(status, _) = told else {
            panic!("gone");
        };
        assert_eq!(message_of(&status.conditions, DISK_PRESSURE), None);
    }

    fn with(seen: impl FnOnce(&mut Seen)) -> Seen {
        let mut all = Seen {
            working: Some(BTreeMap::from([(0, true)])),
            ..Seen::default()
        };
        seen(&mut all);
        all
    }

    #[test]
    fn it_is_available_when_an_invoker_takes_activations() {
        let good = seen_with(apache(), ALL, &with(|_| {}));
        assert!(is_true(&good.conditions, AVAILABLE) && !is_true(&good.conditions, PROGRESSING));
        assert_eq!(good.invokers, Some(1));
        assert_eq!(good.uri.as_deref(), Some("http://w.ns.svc:3233"));
        assert_eq!(good.binding.unwrap().name, "w-binding");
        // A version that does not say is believed by its pods.
        let silent = seen_with(apache(), ALL, &with(|seen| seen.working = None));
        assert!(is_true(&silent.conditions, AVAILABLE));
    }

    #[test]
    fn what_is_lacking_is_told() {
        let message = |there: There, seen: &Seen| {
            let status = seen_with(apache(), there, seen);
            assert!(!is_true(&status.conditions, AVAILABLE));
            message_of(&status.conditions, AVAILABLE)
                .unwrap()
                .to_owned()
        };
        let none = with(|seen| {
            seen.working = Some(BTreeMap::from([(0, false)]));
            seen.trouble = Some("w-invoker-0 has no node".into());
        });
        assert_eq!(
            message(ALL, &none),
            "none of 1 invokers takes activations: w-invoker-0 has no node"
        );
        let key = with(|seen| seen.no_key = Some("m:27017: cannot be reached".into()));
        assert!(message(ALL, &key).starts_with("the key of the namespace is not in MongoDB: m:"));
        let starting = There {
            controller: 0,
            ..ALL
        };
        assert_eq!(
            message(starting, &with(|_| {})),
            "the controller is not ready"
        );
    }

    #[test]
    fn a_lean_one_has_no_invokers_to_wait_for() {
        let there = There {
            invokers: 0,
            pods: 1,
            ..ALL
        };
        let good = seen_with(lean(), there, &with(|seen| seen.working = None));
        assert!(is_true(&good.conditions, AVAILABLE) && !is_true(&good.conditions, PROGRESSING));
        assert_eq!(good.invokers, None);
    }
}
