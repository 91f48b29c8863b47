//! Server-side apply of what was built, and removal of what is no longer built.

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions,
};
use kube::core::PartialObjectMeta;

use super::cache::LastApply;
use super::owner::{OWNER_LABEL, Owner};
use super::resources::{Applied, Entry, Prepared, Resources, body_of, fingerprint};
use crate::context::{Context, MANAGER, is_status};
use crate::rbac::Rule;

/// What can go wrong while objects are applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Kubernetes refused, or was not reached.
    #[error("{kind} {name}: {source}")]
    Kubernetes {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// An object of that name is there and belongs to somebody else.
    #[error(
        "{kind} {name}: exists and was not made for this resource; delete or rename it, or choose another name for this resource"
    )]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// Applies what was built and removes what was made for this owner before and is built no longer.
///
/// An object is written only when our content differs from what we last sent, or its generation (resourceVersion where
/// there is none) from that of the answer: drift is corrected, and idle means no writes. `kinds` are all kinds that
/// this component ever makes; orphans are looked for among them.
///
/// # Errors
/// At the first object that cannot be applied; nothing is removed then.
pub async fn apply(
    context: &Context,
    owner: &Owner,
    resources: Resources<Prepared>,
    kinds: &[ApiResource],
) -> Result<Resources<Applied>, ApplyError> {
    let mut applied = Vec::new();
    let mut names = Vec::new();
    for entry in resources.into_entries() {
        names.push((entry.resource.kind.clone(), entry.name.clone()));
        applied.push(apply_one(context, owner, entry).await?);
    }
    names.sort();
    let set = fingerprint(&names);
    if !context.cache.is_tidy(&owner.key(), &set) {
        for kind in kinds {
            remove_orphans(context, owner, kind, &names).await?;
        }
        context.cache.set_tidy(&owner.key(), &set);
    }
    Ok(Resources::from_entries(applied))
}

async fn apply_one(context: &Context, owner: &Owner, entry: Entry) -> Result<Entry, ApplyError> {
    let Entry {
        resource,
        name,
        body,
    } = entry;
    let failed = |source| ApplyError::Kubernetes {
        kind: resource.kind.clone(),
        name: name.clone(),
        source: Box::new(source),
    };
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &owner.namespace, &resource);
    let key = format!("{}/{name}", resource.kind);
    let sent = fingerprint(&body);
    let live = api.get_opt(&name).await.map_err(failed)?;
    if let Some(live) = &live {
        if !owner.owns(&live.metadata) {
            return Err(ApplyError::Foreign {
                kind: resource.kind.clone(),
                name: name.clone(),
            });
        }
        let last = LastApply {
            sent: sent.clone(),
            version: version_of(live),
        };
        if live.metadata.deletion_timestamp.is_none()
            && context.cache.get(&owner.key(), &key) == Some(last)
        {
            return Ok(Entry {
                body: body_of(live),
                resource,
                name,
            });
        }
    }
    let answer = api
        .patch(
            &name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&body),
        )
        .await
        .map_err(failed)?;
    let changed =
        live.is_none_or(|live| live.metadata.resource_version != answer.metadata.resource_version);
    if changed {
        context.metrics.count_write(&resource.kind);
        tracing::info!(
            kind = resource.kind,
            name,
            namespace = owner.namespace,
            owner = owner.name,
            "applied"
        );
    }
    context.cache.put(
        &owner.key(),
        &key,
        LastApply {
            sent,
            version: version_of(&answer),
        },
    );
    Ok(Entry {
        body: body_of(&answer),
        resource,
        name,
    })
}

fn version_of(object: &DynamicObject) -> String {
    match object.metadata.generation {
        Some(generation) => format!(
            "{}/{generation}",
            object.metadata.uid.as_deref().unwrap_or_default()
        ),
        None => object.metadata.resource_version.clone().unwrap_or_default(),
    }
}

async fn remove_orphans(
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
        let wanted = keep.iter().any(|(k, n)| *k == kind.kind && *n == name);
        // The label may have been copied by somebody; the owner reference is what counts.
        if wanted || !owner.owns(&object.metadata) || object.metadata.deletion_timestamp.is_some() {
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

/// What the operator must be allowed to do to apply a kind.
#[must_use]
pub fn rules(kinds: &[ApiResource], why: &str) -> Vec<Rule> {
    kinds
        .iter()
        .map(|kind| {
            let verbs = ["get", "list", "watch", "create", "patch", "delete"];
            Rule::new(&kind.group, &[&kind.plural], &verbs, why)
        })
        .collect()
}
