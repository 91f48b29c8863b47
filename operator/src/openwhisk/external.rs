//! An OpenWhisk that somebody else runs: its connection details are copied to where those of one that runs here are, so
//! that nobody who uses it needs to know the difference.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use super::binding_name;
use super::build::{COMPONENT, kinds};
use super::crd::{OpenWhisk, OpenWhiskStatus};
use super::validate::no_audit;
use crate::context::Context;
use crate::controller::{Reconciled, status_of};
use crate::reconcile::secrets;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources};
use crate::status::{AVAILABLE, PROGRESSING, set_condition};
use crate::types::BindingStatus;

/// The Secret is somebody else's, and no watch tells of its changes.
const AGAIN: Duration = Duration::from_secs(30);

/// Checks that a Secret can be the binding of an OpenWhisk, and gives its address; `field` is where its name stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<String, Invalid> {
    let lacks = |problem: String, cure: &str| Invalid::new(field, name, problem, cure);
    let Some(secret) = secret else {
        return Err(lacks(
            "there is no Secret of that name in the namespace".into(),
            "make it with the keys uri, username and password",
        ));
    };
    let text = |key: &str| secrets::text(secret.data.as_ref(), key);
    for key in ["username", "password"] {
        if text(key).is_none() {
            return Err(lacks(
                format!("the Secret has no {key}"),
                "add that key to the Secret",
            ));
        }
    }
    text("uri")
        .map(str::to_owned)
        .ok_or_else(|| lacks("the Secret has no uri".into(), "add that key to the Secret"))
}

/// The copy.
fn copy(owner: &Owner, secret: &Secret) -> Secret {
    let mut data: BTreeMap<String, ByteString> = secret.data.clone().unwrap_or_default();
    for (key, value) in [("type", "openwhisk"), ("provider", "external")] {
        data.entry(key.into())
            .or_insert_with(|| ByteString(value.as_bytes().to_vec()));
    }
    Secret {
        metadata: owner.meta(binding_name(&owner.name), COMPONENT),
        type_: Some("servicebinding.io/openwhisk".into()),
        data: Some(data),
        ..Secret::default()
    }
}

async fn look(
    context: &Context,
    object: &OpenWhisk,
) -> Result<(Owner, String, Resources<Prepared>), Error> {
    let owner = Owner::of(object)?;
    no_audit(object)?;
    let name = object.spec.binding_secret.clone().unwrap_or_default();
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(&name)
        .await
        .map_err(Error::doing("reading the binding of the OpenWhisk"))?;
    let missing = |invalid| Error::Missing {
        reason: "BindingMissing",
        invalid,
    };
    let uri = check(&name, secret.as_ref(), "spec.bindingSecret").map_err(missing)?;
    let mut resources = Resources::new();
    if let Some(secret) = &secret {
        resources.add(&copy(&owner, secret))?;
    }
    Ok((owner, uri, resources))
}

/// What a reconcile would bring about.
///
/// # Errors
/// As [`reconcile`].
pub async fn prepare(context: &Context, object: &OpenWhisk) -> Result<Preparation, Error> {
    let (owner, _, resources) = look(context, object).await?;
    Ok(Preparation::of(owner, resources, kinds()))
}

/// Keeps the copy of the connection details.
///
/// # Errors
/// The Secret is missing or lacks something; or Kubernetes could not be asked.
pub async fn reconcile(
    context: &Context,
    object: &OpenWhisk,
) -> Result<Reconciled<OpenWhiskStatus>, Error> {
    let (owner, uri, resources) = look(context, object).await?;
    reconcile::apply(context, &owner, resources, &kinds()).await?;
    let generation = object.metadata.generation;
    let mut status = status_of(object);
    status.uri = Some(uri);
    status.binding = Some(BindingStatus {
        name: binding_name(&owner.name),
    });
    let told = "somebody else runs it; its connection details are there";
    let conditions = &mut status.conditions;
    set_condition(conditions, AVAILABLE, true, "External", told, generation);
    set_condition(conditions, PROGRESSING, false, "Settled", "", generation);
    Ok(Reconciled::Status(status, AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn secret(data: Value) -> Secret {
        serde_json::from_value(json!({"data": data})).unwrap()
    }

    #[test]
    fn what_a_binding_lacks_is_named() {
        let whole = json!({"uri": "aHR0cDovL3c6MzIzMw==", "username": "eA==", "password": "eA=="});
        let uri = check("s", Some(&secret(whole.clone())), "spec.bindingSecret");
        assert_eq!(uri.unwrap(), "http://w:3233");
        for key in ["uri", "username", "password"] {
            let mut lacks = whole.clone();
            lacks.as_object_mut().unwrap().remove(key);
            let told = check("s", Some(&secret(lacks)), "spec.bindingSecret").unwrap_err();
            assert!(told.problem.ends_with(&format!("no {key}")), "{told}");
        }
        assert!(check("s", None, "spec.bindingSecret").is_err());
    }

    #[test]
    fn the_copy_says_what_it_is_and_keeps_the_rest() {
        let whisk: OpenWhisk = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "OpenWhisk",
            "metadata": {"name": "w", "namespace": "ns", "uid": "u"}, "spec": {},
        }))
        .unwrap();
        let owner = Owner::of(&whisk).unwrap();
        let copy = copy(&owner, &secret(json!({"uri": "eA==", "type": "bWluZQ=="})));
        let data = copy.data.unwrap();
        assert_eq!(data["type"].0, b"mine");
        assert_eq!(data["provider"].0, b"external");
        assert_eq!(data["uri"].0, b"x");
        assert_eq!(copy.metadata.name.as_deref(), Some("w-binding"));
    }
}
