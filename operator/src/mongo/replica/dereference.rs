//! What is read of Kubernetes before anything is decided.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::keyfile_name;
use crate::context::Context;
use crate::mongo::crd::{Engine, MongoCluster};
use crate::mongo::user_binding_name;
use crate::mongo::validate::users_of;
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::secrets::{self, Found as FoundSecret};
use crate::reconcile::{Error, Owner, storage};

/// What was read of the objects of a cluster.
#[derive(Clone, Debug)]
pub struct Found {
    /// The claim template of the live StatefulSet.
    pub template: Option<PersistentVolumeClaim>,
    /// How many pods the live StatefulSet is to have.
    pub replicas: i32,
    /// How many pods there may be that the set counts on.
    pub counted: i32,
    /// Whether one of them is there and ready, so that somebody may answer.
    pub answers: bool,
    /// The Secret with the keyfile.
    pub keyfile: FoundSecret,
    /// The authority.
    pub authority: BTreeMap<String, ByteString>,
    /// The certificate of the members.
    pub certificate: BTreeMap<String, ByteString>,
    /// The Secrets of users, by user.
    pub users: BTreeMap<String, FoundSecret>,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            template: None,
            replicas: 0,
            counted: 0,
            answers: false,
            keyfile: FoundSecret::Absent,
            authority: BTreeMap::new(),
            certificate: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }
}

pub(in crate::mongo) async fn dereference(
    context: &Context,
    cluster: &MongoCluster,
) -> Result<Found, Error> {
    let owner = Owner::of(cluster)?;
    let name = &owner.name;
    let api = context.namespaced::<StatefulSet>(&owner.namespace);
    let live = api.get_opt(name).await;
    let live = live.map_err(Error::doing("reading the StatefulSet"))?;
    let live = live.filter(|live| owner.owns(&live.metadata));
    let template = live
        .as_ref()
        .and_then(|live| storage::templates_of(live).into_iter().next());
    if cluster.spec.engine == Engine::Wire {
        return Ok(Found {
            template,
            ..Found::default()
        });
    }
    let spec = live.as_ref().and_then(|live| live.spec.as_ref());
    let status = live.as_ref().and_then(|live| live.status.as_ref());
    let mut users = BTreeMap::new();
    for user in users_of(&cluster.spec) {
        let secret = user_binding_name(name, &user.name);
        let found = secrets::find(context, &owner, &secret).await?;
        users.insert(user.name, found);
    }
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or_default();
    // While all is stopped there are none, and the set counts on them all the same.
    let counted = cluster.status.as_ref().and_then(|s| s.counted_pods);
    Ok(Found {
        template,
        replicas,
        counted: counted.unwrap_or_default().max(replicas),
        answers: status.and_then(|status| status.ready_replicas) > Some(0),
        keyfile: secrets::find(context, &owner, &keyfile_name(name)).await?,
        authority: secrets::content(context, &owner, &authority_name(name)).await?,
        certificate: secrets::content(context, &owner, &certificate_name(name)).await?,
        users,
    })
}
