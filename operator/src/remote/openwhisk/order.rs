//! Who goes first of what is deleted together: a rule before its trigger and its action, a sequence before its components.
//! Otherwise events would meet a rule whose action is gone.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::entity::Entity;
use crate::context::Context;
use crate::remote::resident::KubernetesError;

/// So long an entity waits for those that name it and are being deleted. Less than the time limit of a deletion, so that it
/// is still removed when one of them does not go.
const TOGETHER: SignedDuration = SignedDuration::from_secs(30);
/// So long it waits for those that are not: one command deletes one resource after the other, and times of deletion are
/// whole seconds.
const ONE_AFTER_THE_OTHER: SignedDuration = SignedDuration::from_secs(3);

/// Whether an entity whose deletion was asked for so long ago waits for one that names it.
fn waits(waited: SignedDuration, other_goes: bool) -> bool {
    let limit = if other_goes {
        TOGETHER
    } else {
        ONE_AFTER_THE_OTHER
    };
    waited < limit
}

/// An entity on its way out, as those are looked for that have to go before it.
#[derive(Clone, Copy)]
pub struct Leaving<'a> {
    context: &'a Context,
    namespace: &'a str,
    openwhisk: &'a str,
    name: &'a str,
    waited: SignedDuration,
}

/// Who has to go before an entity that is being deleted, in words.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn before<K: Entity>(
    context: &Context,
    object: &K,
) -> Result<Option<String>, KubernetesError> {
    let Some(asked) = &object.meta().deletion_timestamp else {
        return Ok(None);
    };
    let place = object.place();
    let leaving = Leaving {
        context,
        namespace: object.meta().namespace.as_deref().unwrap_or_default(),
        openwhisk: &place,
        name: object.name_there(),
        waited: Timestamp::now().duration_since(asked.0),
    };
    object.goes_after(leaving).await
}

impl Leaving<'_> {
    /// The first of a kind that names the entity, lives in the same OpenWhisk and has to go before it.
    ///
    /// # Errors
    /// Kubernetes could not be asked.
    pub async fn first<K: Entity>(
        self,
        names: impl Fn(&K) -> bool + Send,
    ) -> Result<Option<String>, KubernetesError> {
        if !waits(self.waited, true) {
            return Ok(None);
        }
        let namespace = Some(self.namespace);
        for found in self.context.references.to::<K>(namespace, self.name) {
            let others = self.context.namespaced::<K>(self.namespace);
            let other = others.get_opt(&found.name).await;
            let other = other.map_err(KubernetesError::doing("read who uses what is deleted"))?;
            // What is left in place, or was never made, is not waited for.
            let other = other.filter(|other| {
                other.place() == self.openwhisk
                    && names(other)
                    && other.owns()
                    && other.finalizers().iter().any(|f| f == K::FINALIZER)
            });
            if let Some(other) = other
                && waits(self.waited, other.meta().deletion_timestamp.is_some())
            {
                return Ok(Some(format!("{} {}", K::kind(&()), other.name_any())));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::release::TIME_LIMIT;

    #[test]
    fn those_that_go_too_are_waited_for_and_others_only_for_a_moment() {
        for (seconds, other_goes, wait) in [
            (0, true, true),
            (29, true, true),
            (30, true, false),
            (0, false, true),
            (2, false, true),
            (3, false, false),
            // A clock that runs behind the API server's.
            (-5, false, true),
        ] {
            let waited = SignedDuration::from_secs(seconds);
            assert_eq!(waits(waited, other_goes), wait, "{seconds} {other_goes}");
        }
    }

    #[test]
    fn what_waited_in_vain_is_still_removed_within_the_limit() {
        assert!(TOGETHER.unsigned_abs() * 2 <= TIME_LIMIT);
    }
}
