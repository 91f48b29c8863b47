//! Removal of what was made for an owner before and is built no longer.

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::core::PartialObjectMeta;

use super::apply::ApplyError;
use super::owner::{OWNER_LABEL, Owner};
use crate::context::{Context, is_status};

/// Removes the objects of a kind that were made for this owner, except those to keep, given as kind and name.
///
/// # Errors
/// The objects cannot be listed, or one cannot be removed.
pub(super) async fn remove_orphans(
    context: &Context,
    owner: &Owner,
    kind: &ApiResource,
    keep: &[(String, String)],
) -> Result<(), ApplyError> {
    let failed = |name: &str, source| ApplyError::Kubernetes {
        kind: kind.kind.clone(),
        name: name.to_owned(),
        source: Box::new(source),
    };
    let of_kind = keep.iter().filter(|(k, _)| *k == kind.kind);
    let kept: Vec<&str> = of_kind.map(|(_, name)| name.as_str()).collect();
    let (uid, namespace) = (&owner.uid, &owner.namespace);
    let names = kept.iter().copied();
    if context.made.has_only(uid, &kind.kind, namespace, names) == Some(true) {
        return Ok(());
    }
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(context.client.clone(), &owner.namespace, kind);
    let params = ListParams::default().labels(&format!("{OWNER_LABEL}={}", owner.uid));
    let made = match api.list_metadata(&params).await {
        Ok(made) => made,
        // An API that is not installed here has no objects.
        Err(error) if is_status(&error, 404) => return Ok(()),
        Err(error) => return Err(failed("", error)),
    };
    for object in made {
        let Some(name) = object.metadata.name.clone() else {
            continue;
        };
        // The label may have been copied by somebody; the owner reference is what counts.
        if kept.contains(&name.as_str())
            || !owner.owns(&object.metadata)
            || object.metadata.deletion_timestamp.is_some()
        {
            continue;
        }
        let exactly_this = DeleteParams::background().preconditions(Preconditions {
            uid: object.metadata.uid.clone(),
            resource_version: None,
        });
        match api.delete(&name, &exactly_this).await {
            Ok(_) => {
                context.metrics.count_write(&kind.kind);
                tracing::info!(
                    kind = kind.kind,
                    name,
                    owner = owner.name,
                    "removed: it is built no longer"
                );
            }
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(failed(&name, error)),
        }
    }
    Ok(())
}
