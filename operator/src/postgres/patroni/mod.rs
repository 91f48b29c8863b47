//! Several servers: Patroni beside each of them makes one the primary, lets another take over when it fails, and keeps what
//! it has to remember in ConfigMaps.
//!
//! Who leads is known by a lease in one of these ConfigMaps: whoever cannot renew it stops taking writes before another one
//! may begin. They are Patroni's own, and outlive the resource as the volumes do: who has all that was acknowledged is
//! written there.

mod access;
mod build;
pub mod files;
pub mod gate;
mod reconcile;
mod status;

use super::crd::MemberStatus;
use super::validate::ValidatedPostgres;
use crate::remote::patroni::{Endpoint, PatroniApi};

pub use build::replicas_name;
pub(super) use build::{add, dress, place, primary_selector};
pub(super) use reconcile::{Members, forget, keep_settings, lacks_settings, learn, observe, roll};
pub(super) use status::{behind, is_headless, tell};

/// Port of Patroni's REST API.
pub const API_PORT: i32 = 8008;
/// On pods: to which cluster of Patroni they belong.
pub const SCOPE_LABEL: &str = "millrace.dev/patroni";
/// On pods, by Patroni: whether it is the primary.
pub const ROLE_LABEL: &str = "millrace.dev/role";
/// Its value on the primary. Old versions of Patroni know no other.
pub const PRIMARY: &str = "master";
/// Its value on replicas.
pub const REPLICA: &str = "replica";
/// The role by which members follow each other.
pub const REPLICATION_ROLE: &str = "millrace_replication";

/// What Patroni calls the cluster; its ConfigMaps begin with it.
#[must_use]
pub fn scope(cluster: &str) -> String {
    format!("{cluster}-patroni")
}

/// Name of the Secret by which members know each other, and the operator changes something.
#[must_use]
pub fn secret_name(cluster: &str) -> String {
    format!("{cluster}-patroni")
}

/// The ConfigMaps of Patroni.
#[must_use]
pub fn memory(cluster: &str) -> [String; 4] {
    let scope = scope(cluster);
    ["config", "leader", "sync", "failover"].map(|what| format!("{scope}-{what}"))
}

/// The number of a pod in its StatefulSet.
#[must_use]
pub fn ordinal(pod: &str) -> Option<i32> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// How many servers there were when Patroni last told of its members; 0 where it never has.
#[must_use]
pub fn last_seen(members: &[MemberStatus]) -> i32 {
    let ordinals = members.iter().filter_map(|member| ordinal(&member.pod));
    ordinals.max().map_or(0, |last| last + 1)
}

/// The pods that there are to be, the others of a set that was larger too.
#[must_use]
pub fn pods_of(postgres: &ValidatedPostgres) -> Vec<String> {
    let name = &postgres.owner.name;
    (0..postgres.servers)
        .map(|n| format!("{name}-{n}"))
        .collect()
}

/// The API of all members.
#[must_use]
pub fn api(postgres: &ValidatedPostgres) -> PatroniApi {
    let (name, namespace) = (&postgres.owner.name, &postgres.owner.namespace);
    let members = pods_of(postgres).into_iter().map(|pod| Endpoint {
        host: format!("{pod}.{name}-nodes.{namespace}.svc"),
        pod,
        address: None,
        port: u16::try_from(API_PORT).unwrap_or_default(),
    });
    PatroniApi::new(
        members.collect(),
        &postgres.certificates.trusted,
        &postgres.patroni.api,
    )
}
