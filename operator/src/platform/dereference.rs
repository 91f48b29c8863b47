//! What is read before a platform is built.

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Resource, ResourceExt};

use super::crd::PlatformSpec;
use super::validate::{ADDED_TOKENS, Live};
use super::{build, exposure, external, racks};
use crate::context::{Context, MANAGER};
use crate::flow::{DruidAt, Token};
use crate::job::crd::StreamJob;
use crate::kafka::crd::KafkaCluster;
use crate::reconcile::secrets;
use crate::reconcile::{Error, OWNER_LABEL, Owner};
use crate::remote::ingestion::addresses;
use crate::status::{AVAILABLE, Conditioned, ConditionedStatus, is_true};
use crate::topic::crd::KafkaTopic;
use crate::user::crd::KafkaUser;

/// Reads what a platform is built from.
///
/// # Errors
/// Kubernetes could not be asked.
pub(super) async fn dereference(
    context: &Context,
    owner: &Owner,
    spec: &PlatformSpec,
) -> Result<Live, Error> {
    let wants_topics = spec.kafka.is_some();
    let ours = ListParams::default().labels(&format!("{OWNER_LABEL}={}", owner.uid));
    let jobs = context
        .namespaced::<StreamJob>(&owner.namespace)
        .list_metadata(&ours)
        .await;
    let jobs = jobs
        .map_err(Error::doing("listing StreamJobs"))?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let topics = context
        .namespaced::<KafkaTopic>(&owner.namespace)
        .list(&ours)
        .await;
    let topics = topics.map_err(Error::doing("listing KafkaTopics"))?.items;
    let topics_wait = waits_for(&topics, "its topics").filter(|_| wants_topics);
    let users_wait = match &spec.kafka {
        Some(kafka) if kafka.is_secure() => users_wait(context, owner, &ours).await?,
        _ => None,
    };
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(&build::gateway_secret_name(&owner.name))
        .await
        .map_err(Error::doing("reading the gateway's Secret"))?
        // One on its way out is waited for: until it is gone, making another is refused.
        .filter(|secret| secret.metadata.deletion_timestamp.is_none());
    Ok(Live {
        gateway_secret: secret.is_some(),
        gateway_lacks: secret
            .iter()
            .filter(|_| spec.gateway.is_some())
            .flat_map(lacks)
            .collect(),
        gateway_token: secret
            .as_ref()
            .and_then(|secret| token(secret, "operations-token")),
        gateway_audit_token: secret
            .as_ref()
            .and_then(|secret| token(secret, "audit-token")),
        gateway_admin_token: secret
            .as_ref()
            .and_then(|secret| token(secret, "admin-token")),
        kafka_admin: context
            .namespaced::<Secret>(&owner.namespace)
            .get_opt(&build::kafka_admin(&owner.name))
            .await
            .map_err(Error::doing("reading the way into the Kafka"))?,
        druid_at: druid_at(context, owner, spec).await?,
        kafka_full: kafka_full(context, owner).await?,
        outside: external::look(context, owner, spec).await?,
        racks: racks::look(context, owner, spec).await?,
        apis: exposure::apis(context, spec.gateway.as_ref()).await?,
        jobs,
        topics_wait: topics_wait.or(users_wait),
    })
}

/// Where the platform's Druid is asked; of one whose binding is not there, or will not do, its DruidIngestions say so.
async fn druid_at(
    context: &Context,
    owner: &Owner,
    spec: &PlatformSpec,
) -> Result<Option<DruidAt>, Error> {
    let Some(druid) = &spec.druid else {
        return Ok(None);
    };
    let name = build::druid_binding(&owner.name, druid);
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(&name)
        .await
        .map_err(Error::doing("reading the binding of the Druid"))?;
    Ok(addresses(&name, secret.as_ref(), "spec.druid").ok())
}

/// Whether a volume of the platform's Kafka is so full that nothing more is to be written.
async fn kafka_full(context: &Context, owner: &Owner) -> Result<bool, Error> {
    let kafka = context
        .namespaced::<KafkaCluster>(&owner.namespace)
        .get_opt(&build::kafka_cluster(&owner.name))
        .await
        .map_err(Error::doing("reading the KafkaCluster"))?;
    let status = kafka.and_then(|kafka| kafka.status);
    Ok(status
        .and_then(|status| status.disk)
        .is_some_and(|disk| disk.full))
}

/// The users that cannot log in yet, if there are any.
async fn users_wait(
    context: &Context,
    owner: &Owner,
    ours: &ListParams,
) -> Result<Option<String>, Error> {
    let users = context
        .namespaced::<KafkaUser>(&owner.namespace)
        .list(ours)
        .await
        .map_err(Error::doing("listing KafkaUsers"))?;
    Ok(waits_for(&users.items, "its users of Kafka"))
}

/// Those that are not available yet, or all where none is made.
fn waits_for<K: Conditioned + Resource<DynamicType = ()>>(made: &[K], all: &str) -> Option<String> {
    if made.is_empty() {
        return Some(all.to_owned());
    }
    let available = |one: &&K| {
        let status = one.status_ref();
        status.is_some_and(|status| is_true(status.conditions(), AVAILABLE))
    };
    let waits: Vec<String> = made
        .iter()
        .filter(|one| !available(one))
        .map(ResourceExt::name_any)
        .collect();
    (!waits.is_empty()).then(|| format!("{} {}", K::kind(&()), waits.join(", ")))
}

/// The token of a role; the administrator's where there is none.
fn token(secret: &Secret, of_role: &str) -> Option<Token> {
    let data = secret.data.as_ref()?;
    let name = [of_role, "admin-token"]
        .into_iter()
        .find(|name| data.contains_key(*name))?;
    secrets::text(Some(data), name).map(|text| Token(text.to_owned()))
}

/// The tokens that a Secret lacks. One that somebody else made is used as it is.
fn lacks(secret: &Secret) -> Vec<&'static str> {
    let ours = secret
        .labels()
        .get("app.kubernetes.io/managed-by")
        .is_some_and(|manager| manager == MANAGER);
    let has = |name: &str| secret.data.iter().any(|data| data.contains_key(name));
    ADDED_TOKENS
        .into_iter()
        .filter(|name| ours && !has(name))
        .collect()
}
