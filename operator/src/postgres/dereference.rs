//! What is read of Kubernetes before anything is decided.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::build::VOLUME;
use super::crd::PostgresCluster;
use super::{role_binding_name, superuser_name};
use crate::context::Context;
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::secrets::{self, Found as FoundSecret};
use crate::reconcile::{Error, Owner, storage};

/// What was read of the objects of a cluster.
#[derive(Clone, Debug)]
pub struct Found {
    /// The claim template of the live StatefulSet.
    pub template: Option<PersistentVolumeClaim>,
    /// Whether the volume is older than the resource.
    pub former_volume: bool,
    /// The Secret of the superuser.
    pub superuser: FoundSecret,
    /// The authority.
    pub authority: BTreeMap<String, ByteString>,
    /// The certificate of the server.
    pub certificate: BTreeMap<String, ByteString>,
    /// The Secrets of roles, by role.
    pub roles: BTreeMap<String, FoundSecret>,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            template: None,
            former_volume: false,
            superuser: FoundSecret::Absent,
            authority: BTreeMap::new(),
            certificate: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

pub(super) async fn dereference(
    context: &Context,
    cluster: &PostgresCluster,
) -> Result<Found, Error> {
    let owner = Owner::of(cluster)?;
    let name = &owner.name;
    // Once it has worked, a volume says nothing new.
    let initialized = cluster.status.as_ref().is_some_and(|s| s.initialized);
    let former_volume = !initialized
        && storage::has_former(
            context,
            &owner,
            &cluster.metadata,
            [format!("{VOLUME}-{name}-0")].into_iter(),
        )
        .await?;
    let mut roles = BTreeMap::new();
    for role in cluster.spec.roles.iter().filter(|role| role.login) {
        let secret = role_binding_name(name, &role.name);
        let found = secrets::find(context, &owner, &secret).await?;
        roles.insert(role.name.clone(), found);
    }
    Ok(Found {
        template: storage::live_template(context, &owner, name).await?,
        former_volume,
        superuser: secrets::find(context, &owner, &superuser_name(name)).await?,
        authority: secrets::content(context, &owner, &authority_name(name)).await?,
        certificate: secrets::content(context, &owner, &certificate_name(name)).await?,
        roles,
    })
}
