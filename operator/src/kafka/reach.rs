//! The one way into a Kafka cluster: by the Secret `{cluster}-admin`, which says address, certificates and credentials.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::admin_name;
use super::crd::KafkaCluster;
use crate::context::Context;
use crate::rbac::Rule;
use crate::remote::kafka::{Access, ClusterKey, KafkaAdmin, KafkaError, shared_clients};
use crate::status::{AVAILABLE, is_true};

/// Why a cluster cannot be asked, though it should be possible.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// Kubernetes did not give the Secret.
    #[error("cannot read the Secret with the way into Kafka")]
    Kubernetes(#[source] kube::Error),
    /// The Secret does not say how.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// What the operator must be allowed to do to get in.
#[must_use]
pub fn rule() -> Rule {
    Rule::new(
        "",
        &["secrets"],
        &["get"],
        "Read the operator's own way into a Kafka cluster.",
    )
}

/// A client of the cluster `name`, or why there is none yet: `spec.kafka` with its cure.
///
/// # Errors
/// The Secret could not be read, or says something wrong.
pub async fn reach(
    context: &Context,
    namespace: &str,
    name: &str,
    cluster: Option<&KafkaCluster>,
) -> Result<Result<Arc<KafkaAdmin>, Invalid>, ReachError> {
    let refer = |problem: &str, cure: &str| Err(Invalid::new("spec.kafka", name, problem, cure));
    let Some(cluster) = cluster else {
        return Ok(refer(
            "there is no KafkaCluster of that name in the namespace",
            "create it, or name one that exists",
        ));
    };
    let cure = "nothing to do: this resource follows as soon as it is";
    let status = cluster.status.as_ref();
    if !status.is_some_and(|status| is_true(&status.conditions, AVAILABLE)) {
        return Ok(refer("the KafkaCluster is not available yet", cure));
    }
    let key = ClusterKey {
        namespace: namespace.to_owned(),
        name: cluster.name_any(),
    };
    Ok(match admin(context, &key).await? {
        Some(admin) => Ok(admin),
        None => refer("the way into the KafkaCluster is not made yet", cure),
    })
}

/// A client of the cluster, whether or not it is known to answer; `None` when its Secret is not made yet.
///
/// # Errors
/// The Secret could not be read, or says something wrong.
pub async fn admin(
    context: &Context,
    key: &ClusterKey,
) -> Result<Option<Arc<KafkaAdmin>>, ReachError> {
    let secret = context
        .namespaced::<Secret>(&key.namespace)
        .get_opt(&admin_name(&key.name))
        .await
        .map_err(ReachError::Kubernetes)?;
    let Some(data) = secret.and_then(|secret| secret.data) else {
        return Ok(None);
    };
    let access = Access::from_secret(&data).map_err(KafkaError::from)?;
    Ok(Some(shared_clients().connect(key, &access)?))
}
