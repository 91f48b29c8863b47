//! What a reconcile would bring about, found by reading alone.

use std::fmt::Display;

use kube::api::ApiResource;

use super::{Owner, Prepared, Resources};
use crate::remote::pipeline::Plan;
use crate::types::Quantity;

/// Objects that are applied together.
#[derive(Debug)]
pub struct Batch {
    /// Whose they are.
    pub owner: Owner,
    /// The objects.
    pub resources: Resources<Prepared>,
    /// All kinds that are made in this way: orphans are looked for among them.
    pub kinds: Vec<ApiResource>,
    /// Whether each is applied for itself, see [`apply_each`](super::apply_each).
    pub each: bool,
}

/// What a reconcile would bring about.
#[derive(Debug, Default)]
pub struct Preparation {
    /// Objects in Kubernetes.
    pub batches: Vec<Batch>,
    /// Everything else that would be done, in plain words: changes inside a system, Secrets that are made once.
    pub steps: Vec<String>,
    /// What would have to wait, and for what.
    pub waiting: Vec<String>,
    /// What would be refused, as field, value, problem and cure.
    pub refused: Vec<String>,
    /// What could not be looked at.
    pub unseen: Vec<String>,
}

impl Preparation {
    /// Objects and nothing else.
    #[must_use]
    pub fn of(owner: Owner, resources: Resources<Prepared>, kinds: Vec<ApiResource>) -> Self {
        let batch = Batch {
            owner,
            resources,
            kinds,
            each: false,
        };
        Self {
            batches: vec![batch],
            ..Self::default()
        }
    }

    /// Nothing can be said yet: something else has to be there first.
    #[must_use]
    pub fn waits(what: String) -> Self {
        Self {
            waiting: vec![what],
            ..Self::default()
        }
    }

    /// It would be refused.
    #[must_use]
    pub fn refuses(why: String) -> Self {
        Self {
            refused: vec![why],
            ..Self::default()
        }
    }

    /// It could not be looked at.
    #[must_use]
    pub fn unseen(why: String) -> Self {
        Self {
            unseen: vec![why],
            ..Self::default()
        }
    }

    /// A kind that cannot be looked into.
    #[must_use]
    pub fn unknown() -> Self {
        Self::unseen("what follows from this kind is not looked into".into())
    }

    /// Notes that volumes of this size would grow, if they would. They never shrink.
    pub fn grow_volumes(&mut self, live: Option<&str>, wanted: &Quantity) {
        let bytes = |size: &str| Quantity(size.to_owned()).bytes();
        if let Some(live) = live
            && bytes(live) < wanted.bytes()
        {
            self.steps
                .push(format!("grow its volumes: {live} → {}", wanted.0));
        }
    }
}

impl<C: Display> From<Plan<C>> for Preparation {
    fn from(plan: Plan<C>) -> Self {
        Self {
            steps: plan.changes.iter().map(C::to_string).collect(),
            refused: plan.refused.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_grow_and_never_shrink() {
        let steps = |live: Option<&str>, wanted: &str| {
            let mut preparation = Preparation::default();
            preparation.grow_volumes(live, &wanted.into());
            preparation.steps
        };
        assert_eq!(steps(Some("1Gi"), "2Gi"), ["grow its volumes: 1Gi → 2Gi"]);
        for (live, wanted) in [(Some("1Gi"), "1024Mi"), (Some("2Gi"), "1Gi"), (None, "1Gi")] {
            assert!(steps(live, wanted).is_empty(), "{live:?} {wanted}");
        }
    }
}
