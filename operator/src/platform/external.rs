//! Parts of a platform that somebody else runs: whether what is known of them is enough.

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use super::crd::{External, PlatformSpec, WaitingOn};
use crate::context::Context;
use crate::job::lake;
use crate::mongo::external as mongo;
use crate::openwhisk::external as openwhisk;
use crate::postgres::external as postgres;
use crate::reconcile::{Error, Owner};
use crate::remote::ingestion::check as check_druid;
use crate::remote::kafka::outside as kafka;
use crate::status::told;

const KAFKA: &str = "spec.kafka.external.bindingSecret";
const HDFS: &str = "spec.hdfs.external.bindingSecret";
const POSTGRES: &str = "spec.postgres.external.bindingSecret";
const DRUID: &str = "spec.druid.external.bindingSecret";
const MONGO: &str = "spec.mongo.external.bindingSecret";
const OPENWHISK: &str = "spec.openwhisk.external.bindingSecret";

/// What is known of the parts that somebody else runs.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The Secret of the Kafka, if that is somebody else's and the Secret will do.
    pub kafka: Option<Secret>,
    /// What is missing, with the cure.
    pub missing: Vec<Invalid>,
    /// The same of what no job of the platform needs: they do not wait for it.
    pub missing_aside: Vec<Invalid>,
}

impl Outside {
    /// What is waited for.
    #[must_use]
    pub fn waiting_on(&self) -> Vec<WaitingOn> {
        let waits = |invalid: &Invalid| WaitingOn {
            component: format!("Secret {}", invalid.value),
            reason: told(&invalid.to_string()),
        };
        let all = self.missing.iter().chain(&self.missing_aside);
        all.map(waits).collect()
    }
}

/// Reads the Secrets and checks them.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn look(context: &Context, owner: &Owner, spec: &PlatformSpec) -> Result<Outside, Error> {
    let secrets = context.namespaced::<Secret>(&owner.namespace);
    let read = async |external: &External| {
        let secret = secrets.get_opt(&external.binding_secret).await;
        secret.map_err(Error::doing("reading the binding of a part"))
    };
    let mut outside = Outside::default();
    let part = spec.kafka.as_ref();
    if let Some(external) = part.and_then(|kafka| kafka.external.as_ref()) {
        let name = &external.binding_secret;
        let secret = secrets
            .get_opt(name)
            .await
            .map_err(Error::doing("reading the binding of the Kafka"))?;
        match kafka::check(name, secret.as_ref(), KAFKA) {
            Ok(_) => outside.kafka = secret,
            Err(invalid) => outside.missing.push(invalid),
        }
    }
    let part = spec.hdfs.as_ref();
    if let Some(external) = part.and_then(|hdfs| hdfs.external.as_ref()) {
        let secret = read(external).await?;
        let checked = lake::check(&external.binding_secret, secret.as_ref(), HDFS);
        outside.missing.extend(checked.err());
    }
    let part = spec.postgres.as_ref();
    if let Some(external) = part.and_then(|postgres| postgres.external.as_ref()) {
        let secret = read(external).await?;
        let checked = postgres::check(&external.binding_secret, secret.as_ref(), POSTGRES);
        outside.missing_aside.extend(checked.err());
    }
    let part = spec.mongo.as_ref();
    if let Some(external) = part.and_then(|mongo| mongo.external.as_ref()) {
        let secret = read(external).await?;
        let checked = mongo::check(&external.binding_secret, secret.as_ref(), MONGO);
        outside.missing_aside.extend(checked.err());
    }
    let part = spec.druid.as_ref();
    if let Some(external) = part.and_then(|druid| druid.external.as_ref()) {
        let secret = read(external).await?;
        let checked = check_druid(&external.binding_secret, secret.as_ref(), DRUID);
        outside.missing_aside.extend(checked.err());
    }
    let part = spec.openwhisk.as_ref();
    if let Some(external) = part.and_then(|openwhisk| openwhisk.external.as_ref()) {
        let secret = read(external).await?;
        let checked = openwhisk::check(&external.binding_secret, secret.as_ref(), OPENWHISK);
        outside.missing.extend(checked.err());
    }
    Ok(outside)
}
