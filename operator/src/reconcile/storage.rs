//! Volumes of StatefulSets: they grow with the spec, and one that somebody made larger by hand is the truth.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Error, Owner};
use crate::context::{Context, MANAGER, is_status};
use crate::disk::{self, Room};
use crate::rbac::Rule;
use crate::types::{Quantity, Storage, StorageGrowth};

/// What became of the volumes of a StatefulSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volumes {
    /// The size of the smallest live claim; `None` while there is none.
    pub size: Option<Quantity>,
    /// Why a claim could not grow, when it could not.
    pub refused: Option<String>,
}

/// The claim template of a StatefulSet. Kubernetes lets nobody change it, so a live one stays as it is.
#[must_use]
pub fn template(
    owner: &Owner,
    component: &str,
    name: &str,
    storage: &Storage,
) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            // Without the owner label: a claim outlives its resource, for no data is deleted unasked.
            labels: Some(owner.labels(component)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: storage.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), ApiQuantity::from(&storage.size))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// The claim template of the live StatefulSet, if there is one.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn live_template(
    context: &Context,
    owner: &Owner,
    set: &str,
) -> Result<Option<PersistentVolumeClaim>, Error> {
    let api = context.namespaced::<StatefulSet>(&owner.namespace);
    let live = api
        .get_opt(set)
        .await
        .map_err(Error::doing("reading the StatefulSet"))?;
    Ok(live
        .filter(|live| owner.owns(&live.metadata))
        .and_then(|live| templates_of(&live).into_iter().next()))
}

/// The claim templates of a live StatefulSet, as they can be sent again.
#[must_use]
pub fn templates_of(set: &StatefulSet) -> Vec<PersistentVolumeClaim> {
    let mut templates = set
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_claim_templates.clone())
        .unwrap_or_default();
    for template in &mut templates {
        // Kubernetes adds defaults and a status; only what was sent is sent again.
        template.status = None;
        if let Some(spec) = &mut template.spec {
            spec.volume_mode = None;
        }
    }
    templates
}

/// Whether one of these claims is older than its resource, so that a former resource of the name left it. One that is being
/// deleted is not left.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn has_former(
    context: &Context,
    owner: &Owner,
    resource: &ObjectMeta,
    claims: impl Iterator<Item = String>,
) -> Result<bool, Error> {
    let api = context.namespaced::<PersistentVolumeClaim>(&owner.namespace);
    for name in claims {
        let claim = api
            .get_opt(&name)
            .await
            .map_err(Error::doing("reading a volume claim"))?;
        if claim.is_some_and(|claim| is_former(&claim.metadata, resource)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a claim is older than the resource, and stays.
fn is_former(claim: &ObjectMeta, resource: &ObjectMeta) -> bool {
    // One that is on its way out is gone before a pod of a StatefulSet can have it.
    claim.deletion_timestamp.is_none() && claim.creation_timestamp < resource.creation_timestamp
}

/// What the operator must be allowed to do for StatefulSets, beyond applying them.
#[must_use]
pub fn rules() -> Vec<Rule> {
    vec![
        Rule::new(
            "",
            &["persistentvolumeclaims"],
            &["get", "patch"],
            "Grow volumes.",
        ),
        Rule::new(
            "",
            &["pods"],
            &["list", "delete"],
            "See what keeps pods from being ready; restart data pods one at a time.",
        ),
    ]
}

/// Grows the claims `{template}-{set}-0…` to the size asked for, where they are smaller.
///
/// # Errors
/// Kubernetes could not be asked. That a storage class cannot grow is not an error but [`Volumes::refused`].
pub async fn grow(
    context: &Context,
    owner: &Owner,
    template: &str,
    set: &str,
    replicas: i32,
    wanted: &Quantity,
) -> Result<Volumes, kube::Error> {
    let mut volumes = Volumes::default();
    for ordinal in 0..replicas {
        let name = format!("{template}-{set}-{ordinal}");
        grow_one(context, owner, &name, wanted, &mut volumes).await?;
    }
    Ok(volumes)
}

/// Grows one claim, if it is there, and notes what became of it.
async fn grow_one(
    context: &Context,
    owner: &Owner,
    name: &str,
    wanted: &Quantity,
    volumes: &mut Volumes,
) -> Result<(), kube::Error> {
    let api = context.namespaced::<PersistentVolumeClaim>(&owner.namespace);
    let claim = api.get_opt(name).await?;
    let Some(mut size) = claim.as_ref().and_then(requested) else {
        return Ok(());
    };
    if let Step::Grow = step(&size, wanted) {
        let patch = json!({"spec": {"resources": {"requests": {"storage": wanted.0}}}});
        let params = PatchParams {
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        match api.patch(name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => {
                context.metrics.count_write("PersistentVolumeClaim");
                size = wanted.clone();
            }
            Err(kube::Error::Api(status)) if status.code == 403 || status.code == 422 => {
                volumes.refused = Some(format!(
                    "spec.storage.size: {wanted}: the volume {name} cannot grow from {size}: {}; put {size} back, or use a storage class with allowVolumeExpansion",
                    status.message
                ));
            }
            Err(error) => return Err(error),
        }
    }
    keep_smaller(&mut volumes.size, size);
    Ok(())
}

fn keep_smaller(smallest: &mut Option<Quantity>, size: Quantity) {
    if smallest
        .as_ref()
        .is_none_or(|smallest| size.bytes() < smallest.bytes())
    {
        *smallest = Some(size);
    }
}

/// The size of the smallest of the claims `{template}-{set}-0…`, if there is one.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn live_size(
    context: &Context,
    owner: &Owner,
    template: &str,
    set: &str,
    replicas: i32,
) -> Result<Option<Quantity>, Error> {
    let api = context.namespaced::<PersistentVolumeClaim>(&owner.namespace);
    let mut smallest = None;
    for ordinal in 0..replicas {
        let claim = api.get_opt(&format!("{template}-{set}-{ordinal}")).await;
        let claim = claim.map_err(Error::doing("reading a volume claim"))?;
        if let Some(size) = claim.as_ref().and_then(requested) {
            keep_smaller(&mut smallest, size);
        }
    }
    Ok(smallest)
}

/// What the operator must be allowed to do for a volume that belongs to no StatefulSet.
#[must_use]
pub fn single_rule() -> Rule {
    Rule::new(
        "",
        &["persistentvolumeclaims"],
        &["create"],
        "Make a volume that belongs to no StatefulSet: for dumps, or one that several share.",
    )
}

/// Whether there is a claim of that name.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn is_there(context: &Context, owner: &Owner, name: &str) -> Result<bool, Error> {
    let api = context.namespaced::<PersistentVolumeClaim>(&owner.namespace);
    let found = api.get_opt(name).await;
    let found = found.map_err(Error::doing("reading a volume claim"))?;
    Ok(found.is_some())
}

/// Makes a claim that belongs to no StatefulSet, where it is not there, and grows it where it is smaller. It outlives its
/// resource, for no data is deleted unasked.
///
/// # Errors
/// Kubernetes could not be asked. That a storage class cannot grow is told by [`Volumes::refused`].
pub async fn single(
    context: &Context,
    owner: &Owner,
    component: &str,
    name: &str,
    storage: &Storage,
) -> Result<Volumes, Error> {
    let api = context.namespaced::<PersistentVolumeClaim>(&owner.namespace);
    if !is_there(context, owner, name).await? {
        let claim = template(owner, component, name, storage);
        let params = PostParams {
            field_manager: Some(MANAGER.into()),
            ..PostParams::default()
        };
        match api.create(&params, &claim).await {
            Ok(_) => context.metrics.count_write("PersistentVolumeClaim"),
            Err(error) if is_status(&error, 409) => {}
            Err(error) => return Err(Error::doing("making a volume claim")(error)),
        }
    }
    let mut volumes = Volumes::default();
    grow_one(context, owner, name, &storage.size, &mut volumes)
        .await
        .map_err(Error::doing("growing a volume"))?;
    Ok(volumes)
}

/// Volumes that are alike, and how large they are to be.
pub struct Growing<'a> {
    /// Name of the claim template.
    pub template: &'a str,
    /// Name of the StatefulSet.
    pub set: &'a str,
    /// How many pods it has.
    pub replicas: i32,
    /// What the spec asks for.
    pub storage: &'a Storage,
    /// How far they grow by themselves.
    pub growth: Option<&'a StorageGrowth>,
}

/// Grows volumes by the spec, and where one of them fills. `rooms` has the room on each that is known, for the size of the
/// smallest live claim.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn grow_filling(
    context: &Context,
    owner: &Owner,
    growing: &Growing<'_>,
    rooms: impl FnOnce(&Quantity) -> Vec<Room>,
) -> Result<Volumes, Error> {
    let to = async |size: &Quantity| {
        let Growing {
            template,
            set,
            replicas,
            ..
        } = growing;
        let grown = grow(context, owner, template, set, *replicas, size).await;
        grown.map_err(Error::doing("growing volumes"))
    };
    let volumes = to(&growing.storage.size).await?;
    if let (Some(growth), Some(live)) = (growing.growth, &volumes.size)
        && let Some(larger) = disk::grown(growth, rooms(live), live)
    {
        return to(&larger).await;
    }
    Ok(volumes)
}

#[derive(Debug, PartialEq)]
enum Step {
    Keep,
    Grow,
}

/// A claim never shrinks: a larger live one is the truth.
fn step(live: &Quantity, wanted: &Quantity) -> Step {
    match (live.bytes(), wanted.bytes()) {
        (Some(live), Some(wanted)) if live < wanted => Step::Grow,
        _ => Step::Keep,
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests
        .get("storage")
        .map(|quantity| Quantity(quantity.0.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_grow_and_never_shrink() {
        assert_eq!(step(&"1Gi".into(), &"2Gi".into()), Step::Grow);
        assert_eq!(step(&"3Gi".into(), &"2Gi".into()), Step::Keep);
        assert_eq!(step(&"1024Mi".into(), &"1Gi".into()), Step::Keep);
    }

    #[test]
    fn a_claim_that_goes_is_nobodys() {
        let made = |at: &str| -> ObjectMeta {
            serde_json::from_value(json!({"creationTimestamp": at})).unwrap()
        };
        let resource = made("2026-11-01T10:00:00Z");
        let mut former = made("2026-11-01T09:00:00Z");
        assert!(is_former(&former, &resource));
        assert!(!is_former(&made("2026-11-01T10:01:00Z"), &resource));
        former.deletion_timestamp = resource.creation_timestamp.clone();
        assert!(!is_former(&former, &resource));
    }
}
