//! Server-side apply of what was built, and removal of what is no longer built.

use futures::future::try_join_all;
use kube::api::{Api, ApiResource, DynamicObject, GetParams, Patch, PatchParams};
use serde_json::Value;

use super::approval::{self, Seen};
use super::cache::{LastApply, Settled};
use super::difference::contains;
use super::orphans::remove_orphans;
use super::owner::Owner;
use super::resources::{Applied, Entry, Prepared, Resources, body_of, digest};
use crate::context::{Context, MANAGER, is_status};
use crate::made;

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

impl ApplyError {
    /// Kind and name of the object.
    #[must_use]
    pub fn object(&self) -> (&str, &str) {
        match self {
            Self::Kubernetes { kind, name, .. } | Self::Foreign { kind, name } => (kind, name),
        }
    }
}

/// Applies what was built and removes what was made for this owner before and is built no longer.
///
/// An object is written only when our content differs from what we last sent, its generation (resourceVersion where
/// there is none) from that of the answer, or its metadata lacks something of ours: drift is corrected, and idle means no
/// writes. `kinds` are all kinds that this component ever makes; orphans are looked for among them. Pod templates that
/// only the operator has changed wait for approval, see [`approval`]. Where the same was built as last time, and the
/// watches show every object as it was left, nothing is even read; see [`made`].
///
/// # Errors
/// At the first object that cannot be applied; nothing is removed then.
pub async fn apply(
    context: &Context,
    owner: &Owner,
    resources: Resources<Prepared>,
    kinds: &[ApiResource],
) -> Result<Resources<Applied>, ApplyError> {
    let mut entries = resources.into_entries();
    let built = built(owner, &entries);
    if let Some(applied) = unchanged(context, owner, built, &entries) {
        return Ok(applied);
    }
    context.cache.set_settled(&owner.key(), None);
    let mut live = Vec::with_capacity(entries.len());
    let mut seen = Vec::with_capacity(entries.len());
    // Two looks at once halve the time that a reconcile waits for them. More would keep more connections.
    for pair in entries.chunks(2) {
        let looks = pair.iter().map(|entry| read(context, owner, entry));
        for (entry, found) in pair.iter().zip(try_join_all(looks).await?) {
            seen.push(match &found {
                Some(found) => Some(see(context, owner, entry, body_of(found)).await?),
                None => None,
            });
            live.push(found);
        }
    }
    let pending = approval::hold(
        &mut entries,
        &seen,
        owner,
        &context.settings.build,
        jiff::Timestamp::now(),
    );
    let mut applied = Vec::with_capacity(entries.len());
    let mut names = Vec::with_capacity(entries.len());
    let mut versions = Vec::with_capacity(entries.len());
    for (entry, live) in entries.into_iter().zip(live) {
        names.push((entry.resource.kind.clone(), entry.name.clone()));
        let (entry, version) = apply_one(context, owner, entry, live).await?;
        applied.push(entry);
        versions.push(version);
    }
    names.sort();
    let set = digest(&names);
    if !context.cache.is_tidy(&owner.key(), "parts", set) {
        for kind in kinds {
            remove_orphans(context, owner, kind, &names).await?;
        }
        context.cache.set_tidy(&owner.key(), "parts", set);
    }
    if pending.is_empty() {
        let versions = versions.into();
        let settled = Settled { built, versions };
        context.cache.set_settled(&owner.key(), Some(settled));
    }
    Ok(Resources::from_entries(applied, pending))
}

/// Applies objects on which no other one depends, and none of which has pods: one that cannot be applied stays as it is
/// and is told, and the others follow all the same. What was there before is among what is given back.
pub async fn apply_each(
    context: &Context,
    owner: &Owner,
    resources: Resources<Prepared>,
    kinds: &[ApiResource],
) -> (Resources<Applied>, Vec<ApplyError>) {
    let (mut applied, mut failed, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for entry in resources.into_entries() {
        names.push((entry.resource.kind.clone(), entry.name.clone()));
        let live = match read(context, owner, &entry).await {
            Ok(live) => live,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        let before = live.as_ref().map(|live| Entry {
            resource: entry.resource.clone(),
            name: entry.name.clone(),
            body: body_of(live),
        });
        match apply_one(context, owner, entry, live).await {
            Ok((entry, _)) => applied.push(entry),
            Err(error) => {
                failed.push(error);
                applied.extend(before);
            }
        }
    }
    names.sort();
    let set = digest(&names);
    if !context.cache.is_tidy(&owner.key(), "each", set) {
        let before = failed.len();
        for kind in kinds {
            if let Err(error) = remove_orphans(context, owner, kind, &names).await {
                failed.push(error);
            }
        }
        if failed.len() == before {
            context.cache.set_tidy(&owner.key(), "each", set);
        }
    }
    (Resources::from_entries(applied, Vec::new()), failed)
}

/// Applies what has to be there even while the rest waits. Nothing is removed.
///
/// # Errors
/// At the first object that cannot be applied.
pub async fn ensure(
    context: &Context,
    owner: &Owner,
    resources: Resources<Prepared>,
) -> Result<(), ApplyError> {
    for entry in resources.into_entries() {
        let live = read(context, owner, &entry).await?;
        apply_one(context, owner, entry, live).await?;
    }
    Ok(())
}

// A fingerprint of all that an apply depends on but for what is there.
fn built(owner: &Owner, entries: &[Entry]) -> u64 {
    let bodies: Vec<&Value> = entries.iter().map(|entry| &entry.body).collect();
    digest(&(bodies, &owner.intent, &owner.built_by))
}

fn unchanged(
    context: &Context,
    owner: &Owner,
    built: u64,
    entries: &[Entry],
) -> Option<Resources<Applied>> {
    let settled = context.cache.settled(&owner.key())?;
    if settled.built != built {
        return None;
    }
    let objects = entries
        .iter()
        .map(|entry| (entry.resource.kind.as_str(), entry.name.as_str()));
    let made = &context.made;
    let bodies = made.unchanged(&owner.uid, &owner.namespace, objects, &settled.versions)?;
    let entries = entries.iter().zip(bodies).map(|(entry, body)| Entry {
        resource: entry.resource.clone(),
        name: entry.name.clone(),
        body,
    });
    Some(Resources::from_entries(entries.collect(), Vec::new()))
}

fn failure(entry: &Entry, source: kube::Error) -> ApplyError {
    ApplyError::Kubernetes {
        kind: entry.resource.kind.clone(),
        name: entry.name.clone(),
        source: Box::new(source),
    }
}

pub(super) fn objects(context: &Context, owner: &Owner, entry: &Entry) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), &owner.namespace, &entry.resource)
}

// The object as it is, if it is there and ours.
pub(super) async fn read(
    context: &Context,
    owner: &Owner,
    entry: &Entry,
) -> Result<Option<DynamicObject>, ApplyError> {
    let api = objects(context, owner, entry);
    if is_free(context, owner, entry, &api).await? {
        return Ok(None);
    }
    let live = api
        .get_opt(&entry.name)
        .await
        .map_err(|source| failure(entry, source))?;
    match live {
        Some(live) if !owner.owns(&live.metadata) && !owner.lost(&live.metadata) => {
            Err(ApplyError::Foreign {
                kind: entry.resource.kind.clone(),
                name: entry.name.clone(),
            })
        }
        live => Ok(live),
    }
}

// Whether nobody has an object of this name, ours being known from the watch. The API server's cache may answer, as the
// watch itself does: that spares it a read of etcd for each object that is made.
async fn is_free(
    context: &Context,
    owner: &Owner,
    entry: &Entry,
    api: &Api<DynamicObject>,
) -> Result<bool, ApplyError> {
    let kind = &entry.resource.kind;
    if !context.made.lacks(kind, &owner.namespace, &entry.name) {
        return Ok(false);
    }
    match api.get_metadata_with(&entry.name, &GetParams::any()).await {
        Ok(_) => Ok(false),
        Err(error) if is_status(&error, 404) => Ok(true),
        Err(source) => Err(failure(entry, source)),
    }
}

// What approval has to know of a live object. Where its marks are gone, Kubernetes itself is asked whether its pods would
// change: it knows all defaults.
pub(super) async fn see(
    context: &Context,
    owner: &Owner,
    entry: &Entry,
    body: Value,
) -> Result<Seen, ApplyError> {
    let mut would = None;
    if approval::lacks_marks(entry, &body) {
        let dry = PatchParams::apply(MANAGER).force().dry_run();
        let answer = objects(context, owner, entry)
            .patch(&entry.name, &dry, &Patch::Apply(&entry.body))
            .await
            .map_err(|source| failure(entry, source))?;
        would = Some(body_of(&answer));
    }
    Ok(Seen { body, would })
}

async fn apply_one(
    context: &Context,
    owner: &Owner,
    entry: Entry,
    live: Option<DynamicObject>,
) -> Result<(Entry, u64), ApplyError> {
    let key = digest(&(&entry.resource.kind, &entry.name));
    let sent = digest(&entry.body);
    if let Some(live) = &live {
        let last = LastApply {
            sent,
            version: version_of(live),
        };
        let body = body_of(live);
        if live.metadata.deletion_timestamp.is_none()
            && context.cache.get(&owner.key(), key) == Some(last)
            && has_ours(&body, &entry.body)
        {
            context.made.remember(&entry.resource.kind, live);
            let version = made::version(&live.metadata);
            return Ok((Entry { body, ..entry }, version));
        }
    }
    let answer = objects(context, owner, &entry)
        .patch(
            &entry.name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&entry.body),
        )
        .await
        .map_err(|source| failure(&entry, source))?;
    let changed =
        live.is_none_or(|live| live.metadata.resource_version != answer.metadata.resource_version);
    if changed {
        context.metrics.count_write(&entry.resource.kind);
        tracing::info!(
            kind = entry.resource.kind,
            name = entry.name,
            namespace = owner.namespace,
            owner = owner.name,
            "applied"
        );
    }
    context.made.remember(&entry.resource.kind, &answer);
    context.cache.put(
        &owner.key(),
        key,
        LastApply {
            sent,
            version: version_of(&answer),
        },
    );
    let version = made::version(&answer.metadata);
    let body = body_of(&answer);
    Ok((Entry { body, ..entry }, version))
}

// Whether the metadata of a live object still holds all of ours: no generation changes with it. What others added beside
// is theirs.
fn has_ours(live: &Value, ours: &Value) -> bool {
    let (live, ours) = (&live["metadata"], &ours["metadata"]);
    let list = |of: &Value| {
        of["ownerReferences"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let there = list(live);
    contains(&live["labels"], &ours["labels"])
        && contains(&live["annotations"], &ours["annotations"])
        && list(ours)
            .iter()
            .all(|one| there.iter().any(|other| contains(other, one)))
}

fn version_of(object: &DynamicObject) -> u64 {
    let meta = &object.metadata;
    match meta.generation {
        Some(generation) => digest(&(&meta.uid, generation)),
        None => digest(&meta.resource_version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_of_ours_is_missed_and_that_of_others_is_not() {
        let ours = json!({"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"},
            "ownerReferences": [{"uid": "u", "controller": true}]}});
        let with = |pointer: &str, value: Value| {
            let mut live = json!({"metadata": {"labels": {"a": "1", "theirs": "x"}, "annotations": {"b": "2"},
                "ownerReferences": [{"uid": "other"}, {"uid": "u", "controller": true, "name": "n"}], "generation": 1}});
            *live.pointer_mut(pointer).unwrap() = value;
            live
        };
        assert!(has_ours(&with("/metadata/generation", json!(2)), &ours));
        for (pointer, value) in [
            ("/metadata/labels", json!({"theirs": "x"})),
            ("/metadata/labels/a", json!("2")),
            ("/metadata/annotations", Value::Null),
            ("/metadata/ownerReferences", json!([{"uid": "other"}])),
            ("/metadata/ownerReferences/1/controller", json!(false)),
        ] {
            assert!(!has_ours(&with(pointer, value), &ours), "{pointer}");
        }
        assert!(has_ours(&json!({"metadata": {}}), &json!({"metadata": {}})));
    }
}
