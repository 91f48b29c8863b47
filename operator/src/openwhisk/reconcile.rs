//! The reconciler of OpenWhisk.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Resource;
use kube::api::{ApiResource, DeleteParams, ListParams};

use super::binding_name;
use super::build::{self, COMPONENT, VOLUME};
use super::crd::{Mode, OpenWhisk, OpenWhiskStatus};
use super::validate::{AUTH_KEY, Live, ValidatedWhisk, validate};
use super::{IMAGE_ACTION, apache, external};
use crate::context::Context;
use crate::controller::{Component, Reconciled, status_of};
use crate::disk;
use crate::network::{self, Reach};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::secrets::{self, Found};
use crate::reconcile::storage::Growing;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources, roll, storage};
use crate::remote::openwhisk::volume;
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, tell_stopped};

/// The reconciler of OpenWhisk.
pub struct Whisks;

impl Component for Whisks {
    type Kind = OpenWhisk;
    type Error = Error;
    const NAME: &'static str = "openwhisk";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("openwhisks", &build::kinds());
        rules.extend(storage::rules());
        rules.extend(apache::rules());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    async fn serves(context: &Context, object: &OpenWhisk) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) if is_apache(object) => apache::serves(context, &owner).await,
            Ok(owner) => pods::set_serves(context, &owner).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, object: &OpenWhisk) -> Result<Preparation, Error> {
        if object.spec.mode == Mode::External {
            return external::prepare(context, object).await;
        }
        if is_apache(object) {
            return apache::prepare(context, object).await;
        }
        let (whisk, resources) = prepare(context, object).await?;
        let mut preparation = Preparation::of(whisk.owner, resources, build::kinds());
        let live = object.status.as_ref().and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &whisk.storage.size);
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        object: &OpenWhisk,
    ) -> Result<Reconciled<OpenWhiskStatus>, Error> {
        if object.spec.mode == Mode::External {
            return external::reconcile(context, object).await;
        }
        if is_apache(object) {
            return apache::reconcile(context, object).await;
        }
        let (whisk, prepared) = prepare(context, object).await?;
        let applied = reconcile::apply(context, &whisk.owner, prepared, &build::kinds()).await?;
        if !has_settled(object) {
            end_pods_of_actions(context, &whisk.owner).await?;
        }
        let set = applied.get::<StatefulSet>(&whisk.owner.name);
        let rolling = match &set {
            Some(set) => roll::roll(context, &whisk.owner, set)
                .await
                .map_err(Error::doing("restarting"))?,
            None => None,
        };
        let status_of_set = set.and_then(|set| set.status);
        let set_pods = status_of_set.as_ref().map(|status| status.replicas);
        let available = status_of_set
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0)
            > 0;
        // Of a server that is not there nobody would answer.
        let room = if available {
            volume::room(&build::uri(&whisk)).await
        } else {
            None
        };
        let growing = Growing {
            template: VOLUME,
            set: &whisk.owner.name,
            replicas: 1,
            storage: &whisk.storage,
            growth: whisk.storage_growth.as_ref(),
        };
        let rooms = |_: &_| room.into_iter().collect();
        let volumes = storage::grow_filling(context, &whisk.owner, &growing, rooms).await?;
        let trouble = if available {
            None
        } else {
            pods::trouble(context, &whisk.owner, COMPONENT).await
        };

        let generation = object.metadata.generation;
        let mut status = status_of(object);
        status.uri = Some(build::uri(&whisk));
        status.pending_restarts = applied.pending().to_vec();
        // These are of the servers of another mode.
        (status.invokers, status.restarts) = (None, Vec::new());
        status.binding = Some(BindingStatus {
            name: binding_name(&whisk.owner.name),
        });
        status.storage = volumes.size.clone().map(|size| size.0);
        let pod = format!("{}-0", whisk.owner.name);
        let rooms = room.map(|room| (pod.as_str(), room));
        // What could not be seen is as it was.
        if let Some(volume) = disk::fullest(rooms, status.disk.as_ref()) {
            status.disk = Some(volume);
        }
        let told = match (&trouble, available) {
            (_, true) => "ready".to_owned(),
            (Some(trouble), false) => trouble.clone(),
            (None, false) => "the pod is starting".to_owned(),
        };
        let conditions = &mut status.conditions;
        set_condition(
            conditions,
            AVAILABLE,
            available,
            if available { "Ready" } else { "PodNotReady" },
            &told,
            generation,
        );
        match &rolling {
            Some(step) => set_condition(
                conditions,
                PROGRESSING,
                true,
                "Restarting",
                step,
                generation,
            ),
            None if available => {
                set_condition(conditions, PROGRESSING, false, "Settled", "", generation)
            }
            None => set_condition(conditions, PROGRESSING, true, "Starting", &told, generation),
        };
        let pods = set_pods.unwrap_or(0);
        tell_stopped(conditions, whisk.operation.stopped, pods, generation);
        if let Some(refused) = &volumes.refused {
            set_condition(
                conditions,
                DEGRADED,
                true,
                "VolumeCannotGrow",
                refused,
                generation,
            );
        }
        let event = disk::tell_volume(
            conditions,
            status.disk.as_ref(),
            "actions cannot be changed and activations are not kept",
            "make it larger (spec.storage.size)",
            generation,
        );
        if let Some((reason, told)) = event {
            let object = object.object_ref(&());
            context.event(&object, true, reason, &told).await;
        }
        let settled = (available || whisk.operation.stopped) && rolling.is_none();
        // That a volume fills sends no event.
        let again = Duration::from_secs(if settled { 60 } else { 15 });
        let used = status.disk.as_ref().map(|disk| disk.used_percent);
        Ok(Reconciled::Status(status, disk::look_again(used, again)))
    }
}

/// Whether the embedded server was seen to serve: its volume is known in this mode alone.
fn has_settled(object: &OpenWhisk) -> bool {
    object
        .status
        .as_ref()
        .is_some_and(|status| status.storage.is_some() && is_true(&status.conditions, AVAILABLE))
}

/// Ends what the servers of another mode have left: when they stop they end the pods of their actions, if they still can.
async fn end_pods_of_actions(context: &Context, owner: &Owner) -> Result<(), Error> {
    let api = context.namespaced::<Pod>(&owner.namespace);
    let labels = owner.selector(apache::ACTION);
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let ours = ListParams::default().labels(&labels.join(","));
    let left = api
        .list_metadata(&ours)
        .await
        .map_err(Error::doing("listing pods of actions"))?;
    // Some take a while to end.
    let is_all_ending = left
        .items
        .iter()
        .all(|pod| pod.metadata.deletion_timestamp.is_some());
    if is_all_ending {
        return Ok(());
    }
    api.delete_collection(&DeleteParams::background(), &ours)
        .await
        .map_err(Error::doing("ending pods of actions"))?;
    context.metrics.count_write("Pod");
    Ok(())
}

/// Whether it is Apache OpenWhisk itself.
fn is_apache(object: &OpenWhisk) -> bool {
    matches!(object.spec.mode, Mode::Apache | Mode::Lean)
}

/// Reads, checks and builds; writes nothing.
async fn prepare(
    context: &Context,
    object: &OpenWhisk,
) -> Result<(ValidatedWhisk, Resources<Prepared>), Error> {
    let live = dereference(context, &Owner::of(object)?).await?;
    let whisk = validate(object, live, &context.settings.images)?;
    let mut resources = build::build(&whisk)?;
    network::add(
        &mut resources,
        &context.settings,
        &whisk.owner,
        COMPONENT,
        Reach::Table,
    )?;
    if whisk.image_actions.is_some() {
        network::add(
            &mut resources,
            &context.settings,
            &whisk.owner,
            IMAGE_ACTION,
            Reach::Table,
        )?;
    }
    Ok((whisk, resources))
}

/// What is there of the credentials, which all modes share, and of the embedded server.
pub(super) async fn dereference(context: &Context, owner: &Owner) -> Result<Live, Error> {
    let name = build::auth_name(&owner.name);
    let auth = secrets::find(context, owner, &name).await?;
    let given_auth = match auth {
        Found::Given => {
            let secret = context
                .namespaced::<Secret>(&owner.namespace)
                .get_opt(&name)
                .await
                .map_err(Error::doing("reading the credentials"))?;
            let data = secret.and_then(|secret| secret.data);
            secrets::text(data.as_ref(), AUTH_KEY).map(str::to_owned)
        }
        Found::Absent | Found::Ours(_) => None,
    };
    Ok(Live {
        template: storage::live_template(context, owner, &owner.name).await?,
        auth,
        given_auth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_server_that_was_seen_to_serve_in_this_mode_has_settled() {
        let settled = |status: serde_json::Value| {
            let object: OpenWhisk = serde_json::from_value(json!({
                "apiVersion": "millrace.dev/v1alpha1", "kind": "OpenWhisk",
                "metadata": {"name": "w", "namespace": "ns", "uid": "u"},
                "spec": {}, "status": status,
            }))
            .unwrap();
            has_settled(&object)
        };
        let available = |status: &str| {
            json!([{"type": "Available", "status": status, "reason": "r", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}])
        };
        assert!(settled(
            json!({"storage": "1Gi", "conditions": available("True")})
        ));
        assert!(!settled(
            json!({"storage": "1Gi", "conditions": available("False")})
        ));
        // Of another mode that served.
        assert!(!settled(json!({"conditions": available("True")})));
        assert!(!settled(json!(null)));
    }
}
