//! What is read of Kubernetes before anything is decided.

use k8s_openapi::api::core::v1::Secret;

use super::rights::handed_on;
use super::validate::{Found, kafka_binding, mongo_binding};
use crate::context::Context;
use crate::openwhisk::crd::{Mode, OpenWhisk};
use crate::rbac::Rule;
use crate::reconcile::{Error, Owner};

/// What the operator must be allowed beyond what it makes.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let mut rules = vec![Rule::new(
        "",
        &["secrets"],
        &["get"],
        "Read the connection details of Kafka and MongoDB of an OpenWhisk.",
    )];
    rules.extend(handed_on());
    rules
}

/// The Secrets that an OpenWhisk refers to: those of its Kafka and of its MongoDB.
#[must_use]
pub fn bindings(whisk: &OpenWhisk) -> [Option<String>; 2] {
    let apache = whisk.spec.apache.as_ref();
    let kafka = apache
        .filter(|_| whisk.spec.mode == Mode::Apache)
        .and_then(|apache| apache.kafka.as_ref());
    [
        kafka.map(|kafka| kafka_binding(kafka).0),
        apache.map(|apache| mongo_binding(&apache.mongo).0),
    ]
}

pub(super) async fn dereference(context: &Context, whisk: &OpenWhisk) -> Result<Found, Error> {
    let owner = Owner::of(whisk)?;
    let secrets = context.namespaced::<Secret>(&owner.namespace);
    let read = async |name: Option<String>| match name {
        None => Ok(None),
        Some(name) => secrets
            .get_opt(&name)
            .await
            .map_err(Error::doing("reading a binding")),
    };
    let [kafka, mongo] = bindings(whisk);
    Ok(Found {
        kafka: read(kafka).await?,
        mongo: read(mongo).await?,
    })
}
