//! Nothing of ours holds a deletion for good. What becomes of a thing inside another component is decided by a reconcile, which
//! may never come so far, because the resource or what it names cannot be read: after the time limit it is let go all the same.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::remote::claim;
use crate::remote::release::TIME_LIMIT;
use crate::types::GROUP;

/// When a finalizer that could not be taken off is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What holds a deletion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hold {
    /// It is no deletion, or nothing of ours holds it.
    Nothing,
    /// Our finalizer, for so long yet.
    For(Duration),
    /// Nothing any more: our finalizer was taken off.
    LetGo,
}

/// Takes our finalizer off an object whose deletion waits for longer than the time limit, and says so. `why` is what kept
/// the object from being let go in order.
pub(super) async fn let_go<K>(context: &Context, object: &K, why: &str) -> Hold
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let Some((finalizer, left)) = held(object.meta(), Timestamp::now()) else {
        return Hold::Nothing;
    };
    if !left.is_zero() {
        return Hold::For(left);
    }
    let (kind, name, limit) = (K::kind(&()), object.name_any(), TIME_LIMIT.as_secs());
    let note = format!(
        "{kind} {name} is let go {limit} s after its deletion was asked for; what it stands for may still be there; remove it by hand: {why}"
    );
    tracing::warn!(%kind, %name, namespace = object.namespace(), note, "a deletion is held no longer");
    context
        .event(&object.object_ref(&()), true, "LetGo", &note)
        .await;
    match claim::set_metadata(context, object, &[], finalizer, false).await {
        Ok(()) => Hold::LetGo,
        Err(error) => {
            tracing::warn!(%kind, %name, %error, "a finalizer could not be taken off");
            Hold::For(AGAIN)
        }
    }
}

/// Our finalizer on an object that is being deleted, and for how long yet it may hold it.
fn held(meta: &ObjectMeta, now: Timestamp) -> Option<(&str, Duration)> {
    let asked = meta.deletion_timestamp.as_ref()?;
    let is_ours = |finalizer: &&String| {
        let rest = finalizer.strip_prefix(GROUP);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let finalizer = meta.finalizers.iter().flatten().find(is_ours)?;
    // A clock that runs behind the API server's must not let go early.
    let waited = Duration::try_from(now.duration_since(asked.0)).unwrap_or_default();
    Some((finalizer, TIME_LIMIT.saturating_sub(waited)))
}

#[cfg(test)]
#[path = "overdue_tests.rs"]
pub(super) mod tests;
