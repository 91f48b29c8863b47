//! Keeps the authorities of a cluster in a Secret that outlives it, as its volumes do.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams};

use super::COMPONENT;
use super::certificates::authority_name;
use super::validate::ValidatedKafka;
use crate::context::{Context, MANAGER};
use crate::reconcile::Error;
use crate::types::DeletionPolicy;

/// Writes the authorities down, if anything has changed.
///
/// # Errors
/// Kubernetes refused, or was not reached.
pub(super) async fn keep(context: &Context, kafka: &ValidatedKafka) -> Result<(), Error> {
    let Some(secret) = secret(kafka) else {
        return Ok(());
    };
    let name = authority_name(&kafka.owner.name);
    let api = context.namespaced::<Secret>(&kafka.owner.namespace);
    let live = api
        .get_opt(&name)
        .await
        .map_err(Error::doing("reading the authority"))?;
    let same = |live: &Secret| {
        live.data == secret.data
            && live.metadata.owner_references.is_some()
                == secret.metadata.owner_references.is_some()
    };
    if live.as_ref().is_some_and(same) {
        return Ok(());
    }
    api.patch(
        &name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&secret),
    )
    .await
    .map_err(Error::doing("keeping the authority"))?;
    context.metrics.count_write("Secret");
    Ok(())
}

fn secret(kafka: &ValidatedKafka) -> Option<Secret> {
    let certificates = kafka.certificates.as_ref()?;
    let owner = &kafka.owner;
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(authority_name(&owner.name)),
            namespace: Some(owner.namespace.clone()),
            labels: Some(owner.labels(COMPONENT)),
            owner_references: (kafka.deletion_policy == DeletionPolicy::Delete)
                .then(|| vec![owner.reference.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(certificates.authority_data()),
        ..Secret::default()
    })
}
