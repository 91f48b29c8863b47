//! What is read of Kubernetes before anything is decided.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;

use super::build::VOLUME;
use super::crd::{MOST_MEMBERS, PostgresCluster};
use super::patroni;
use super::validate::asked_roles;
use super::{COMPONENT, role_binding_name, superuser_name};
use crate::context::Context;
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::secrets::{self, Found as FoundSecret};
use crate::reconcile::{Error, Owner, storage};

/// What was read of the objects of a cluster.
#[derive(Clone, Debug)]
pub struct Found {
    /// The claim template of the live StatefulSet.
    pub template: Option<PersistentVolumeClaim>,
    /// How many pods the live StatefulSet is to have.
    pub live: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// Whether there is a StatefulSet whose pods Patroni does not run.
    pub alone: bool,
    /// Whether the volume of the first server is older than the resource.
    pub former_volume: bool,
    /// How many servers a former resource of the name had, by the volumes of others than the first that are older than the
    /// resource: 0 where there are none.
    pub former_members: i32,
    /// Whether pods of a former resource of the name are still on their way out.
    pub former_pods: bool,
    /// The Secret by which members know each other.
    pub patroni: FoundSecret,
    /// The Secret of the superuser.
    pub superuser: FoundSecret,
    /// The authority.
    pub authority: BTreeMap<String, ByteString>,
    /// The certificate of the server.
    pub certificate: BTreeMap<String, ByteString>,
    /// The Secrets of roles, by role.
    pub roles: BTreeMap<String, FoundSecret>,
}

impl Found {
    /// The number of a server whose volume is older than the resource, if there is one.
    #[must_use]
    pub fn former_ordinal(&self) -> Option<i32> {
        let last = (self.former_members > 0).then(|| self.former_members - 1);
        self.former_volume.then_some(0).or(last)
    }
}

impl Default for Found {
    fn default() -> Self {
        Self {
            template: None,
            live: 0,
            ready: 0,
            alone: false,
            former_volume: false,
            former_members: 0,
            former_pods: false,
            patroni: FoundSecret::Absent,
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
    let is_former = async |ordinals: std::ops::Range<i32>| {
        let claims = ordinals.map(|ordinal| format!("{VOLUME}-{name}-{ordinal}"));
        storage::has_former(context, &owner, &cluster.metadata, claims).await
    };
    let former_volume = !initialized && is_former(0..1).await?;
    let is_ha = cluster.spec.members > 1;
    let mut former_members = 0;
    for ordinal in (1..MOST_MEMBERS).rev() {
        if !initialized && former_members == 0 && is_former(ordinal..ordinal + 1).await? {
            former_members = ordinal + 1;
        }
    }
    let set = context
        .namespaced::<StatefulSet>(&owner.namespace)
        .get_opt(name)
        .await
        .map_err(Error::doing("reading the StatefulSet"))?;
    let set = set.filter(|set| owner.owns(&set.metadata));
    let status = set.as_ref().and_then(|set| set.status.as_ref());
    let ready = status.and_then(|status| status.ready_replicas);
    let live = set.as_ref().and_then(|set| set.spec.as_ref()?.replicas);
    let alone = set.as_ref().is_some_and(|set| !is_of_patroni(set));
    // While the set has none, these are of another one.
    let former_pods = if is_ha && !initialized && live.unwrap_or_default() == 0 {
        let labels = owner.selector(COMPONENT);
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let params = ListParams::default().labels(&labels.join(","));
        let api = context.namespaced::<Pod>(&owner.namespace);
        let pods = api.list_metadata(&params).await;
        !pods.map_err(Error::doing("listing pods"))?.items.is_empty()
    } else {
        false
    };
    let patroni = if is_ha {
        secrets::find(context, &owner, &patroni::secret_name(name)).await?
    } else {
        FoundSecret::Absent
    };
    let mut roles = BTreeMap::new();
    for role in asked_roles(&cluster.spec).iter().filter(|role| role.login) {
        let secret = role_binding_name(name, &role.name);
        let found = secrets::find(context, &owner, &secret).await?;
        roles.insert(role.name.clone(), found);
    }
    Ok(Found {
        template: set.as_ref().and_then(|set| {
            let templates = storage::templates_of(set);
            templates.into_iter().next()
        }),
        live: live.unwrap_or_default(),
        ready: ready.unwrap_or_default(),
        alone,
        former_volume,
        former_members,
        former_pods,
        patroni,
        superuser: secrets::find(context, &owner, &superuser_name(name)).await?,
        authority: secrets::content(context, &owner, &authority_name(name)).await?,
        certificate: secrets::content(context, &owner, &certificate_name(name)).await?,
        roles,
    })
}

/// Whether the pods that a StatefulSet makes are run by Patroni.
fn is_of_patroni(set: &StatefulSet) -> bool {
    let template = set.spec.as_ref().map(|spec| &spec.template);
    let labels = template.and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    labels.is_some_and(|labels| labels.contains_key(patroni::SCOPE_LABEL))
}

#[cfg(test)]
mod tests {
    use super::super::build::build;
    use super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_says_whether_patroni_runs_its_pods() {
        for (members, expected) in [(1, false), (3, true)] {
            let resources = build(&valid(json!({"members": members}))).unwrap();
            let set: StatefulSet = resources.get("p").unwrap();
            assert_eq!(is_of_patroni(&set), expected, "{members}");
        }
    }
}
