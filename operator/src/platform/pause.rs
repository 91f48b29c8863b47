//! The parts of a platform rest while it does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::build;
use crate::context::{Context, PAUSER, is_status};
use crate::reconcile::{Error, OWNER_LABEL, Owner};
use crate::types::GROUP;

/// Sets `spec.paused` of all parts, or takes it back. Somebody else who has paused a part has it paused still.
///
/// # Errors
/// Kubernetes refuses; parts before that one stay as they are then.
pub(super) async fn pause(context: &Context, owner: &Owner, paused: bool) -> Result<(), Error> {
    let ours = ListParams::default().labels(&format!("{OWNER_LABEL}={}", owner.uid));
    for kind in build::own_kinds() {
        if kind.group != GROUP {
            continue;
        }
        let api: Api<DynamicObject> =
            Api::namespaced_with(context.client.clone(), &owner.namespace, &kind);
        let parts = api
            .list_metadata(&ours)
            .await
            .map_err(Error::doing("listing the parts of a platform"))?;
        for part in parts {
            if owner.owns(&part.metadata) {
                pause_one(context, &api, &kind, &part.metadata, paused).await?;
            }
        }
    }
    Ok(())
}

async fn pause_one(
    context: &Context,
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    part: &ObjectMeta,
    paused: bool,
) -> Result<(), Error> {
    let name = part.name.as_deref().unwrap_or_default();
    // A manager that has nothing but this: what it asks for no more is unset, unless another one asks for it, too.
    let params = PatchParams::apply(PAUSER).force();
    match api
        .patch(name, &params, &Patch::Apply(body(kind, part, paused)))
        .await
    {
        Ok(answer) => {
            if answer.metadata.resource_version != part.resource_version {
                context.metrics.count_write(&kind.kind);
                tracing::info!(
                    kind = kind.kind,
                    name,
                    namespace = part.namespace,
                    paused,
                    "told to rest or to go on"
                );
            }
            Ok(())
        }
        // It is gone by now.
        Err(error) if is_status(&error, 404) || is_status(&error, 409) => Ok(()),
        Err(error) => Err(Error::doing(
            "pausing the parts of a platform, or letting them go on",
        )(error)),
    }
}

fn body(kind: &ApiResource, part: &ObjectMeta, paused: bool) -> Value {
    let mut body = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        // With the uid nothing is made where a part is gone.
        "metadata": {"name": part.name, "uid": part.uid},
    });
    if paused {
        body["spec"] = json!({"paused": true});
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::crd::StreamJob;
    use crate::registry::registry;

    #[test]
    fn every_part_can_be_paused() {
        let registry = registry();
        let kinds = build::own_kinds()
            .into_iter()
            .chain(build::exposing_kinds());
        for kind in kinds.filter(|kind| kind.group == GROUP) {
            let mut all = registry.iter().map(|component| (component.crd)());
            let crd = all.find(|crd| crd.spec.names.kind == kind.kind);
            let crd = serde_json::to_value(crd.unwrap()).unwrap();
            let fields = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            let paused = &fields["spec"]["properties"]["paused"];
            assert_eq!(paused["type"], "boolean", "{}", kind.kind);
        }
    }

    #[test]
    fn nothing_but_the_pause_is_asked_for_and_then_nothing() {
        let kind = ApiResource::erase::<StreamJob>(&());
        let part = ObjectMeta {
            name: Some("p-detect".into()),
            uid: Some("u".into()),
            ..ObjectMeta::default()
        };
        let mut asked = body(&kind, &part, true);
        assert_eq!(asked["spec"], json!({"paused": true}));
        assert_eq!(asked["metadata"], json!({"name": "p-detect", "uid": "u"}));
        asked.as_object_mut().unwrap().remove("spec");
        assert_eq!(body(&kind, &part, false), asked);
    }
}
