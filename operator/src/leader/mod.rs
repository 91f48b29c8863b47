//! Leader election by a Lease: of several operators one works, the others stand by.
//!
//! Two never write at once. A leader that has not renewed for [`Timing::renew_deadline`] stops, and a standby takes over
//! only when it has seen no renewal for [`Timing::lease`], which is longer; each measures with its own clock, and nobody
//! compares the times that others have written. Between the two a [`Fence`] in the leader's client refuses to write: a
//! process that was held up and goes on late finds it closed.

mod elector;
mod fence;
mod record;

use std::time::Duration;

pub use elector::{Elector, Lost};
pub use fence::{Fence, Fenced};

use crate::rbac::Rule;

/// How long things take in an election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A standby takes over when it has seen no renewal for so long.
    pub lease: Duration,
    /// A leader that could not renew for so long stops. Shorter than the lease by what a request may take.
    pub renew_deadline: Duration,
    /// Time between two renewals, and between two looks of a standby.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Which Lease is contended for, and by whom.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Name of this process; no other has it, not even a former one of the same pod.
    pub identity: String,
}

impl Candidate {
    /// This process, by the name of its pod where it has one.
    #[must_use]
    pub fn this(namespace: String, lease: String) -> Self {
        let pod = std::env::var("POD_NAME").unwrap_or_else(|_| "operator".into());
        Self {
            namespace,
            lease,
            identity: format!("{pod}_{}", uuid::Uuid::new_v4()),
        }
    }
}

/// What a candidate must be allowed to do in its own namespace.
#[must_use]
pub fn rules() -> Vec<Rule> {
    vec![Rule::new(
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "update"],
        "Decide which of several operators works.",
    )]
}
