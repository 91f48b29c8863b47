//! The engine `mongodb`: a replica set of upstream servers, with users, TLS and dumps.

mod backup;
mod build;
mod dereference;
pub mod files;
mod gate;
mod inside;
mod reconcile;
mod status;

pub(super) use backup::runs as backup_runs;
pub(super) use build::build;
pub use dereference::Found;
pub(super) use dereference::dereference;
pub use inside::{login, wanted};
pub(super) use reconcile::{prepare, reconcile};

use super::PORT;
use super::validate::ValidatedMongo;
use crate::reconcile::Owner;

/// Name of the Secret with the keyfile, by which members, and the operator, log in at each other.
#[must_use]
pub fn keyfile_name(cluster: &str) -> String {
    format!("{cluster}-keyfile")
}

/// Name of the Service by which members have names of their own.
#[must_use]
pub fn nodes_name(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

/// Name of the pod of a member.
#[must_use]
pub fn pod_name(owner: &Owner, ordinal: i32) -> String {
    format!("{}-{ordinal}", owner.name)
}

/// The address of a member, by which the set knows it: it never changes. Without the cluster domain, which nobody outside
/// the kubelet's configuration knows for certain.
#[must_use]
pub fn address(owner: &Owner, ordinal: i32) -> String {
    let (pod, nodes) = (pod_name(owner, ordinal), nodes_name(&owner.name));
    format!("{pod}.{nodes}.{}.svc:{PORT}", owner.namespace)
}

/// The pod of a member by its address.
#[must_use]
pub fn pod_of(address: &str) -> &str {
    address.split('.').next().unwrap_or(address)
}

/// The addresses of all members that are asked for.
#[must_use]
pub fn addresses(mongo: &ValidatedMongo) -> Vec<String> {
    let ordinals = 0..mongo.members;
    ordinals
        .map(|ordinal| address(&mongo.owner, ordinal))
        .collect()
}
