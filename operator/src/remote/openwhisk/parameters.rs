//! The parameters of an entity, with those whose values are in Secrets.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use serde_json::Value;

use super::entity_error::EntityError;
use crate::action::crd::SecretParameter;
use crate::context::Context;
use crate::remote::resident::KubernetesError;
use crate::types::{FreeForm, KeyRef};

/// All parameters with their values.
///
/// # Errors
/// [`EntityError::Invalid`] when a Secret is missing, or a key of it that is not optional.
pub async fn parameters(
    context: &Context,
    namespace: &str,
    plain: &FreeForm,
    from: &[SecretParameter],
) -> Result<BTreeMap<String, Value>, EntityError> {
    // Several parameters may be of one Secret, and are to be of one version of it.
    let names: BTreeSet<&str> = from.iter().map(|p| p.secret_ref.name.as_str()).collect();
    let mut secrets: BTreeMap<&str, Secret> = BTreeMap::new();
    for name in names {
        let secret = context
            .namespaced::<Secret>(namespace)
            .get_opt(name)
            .await
            .map_err(KubernetesError::doing("read a Secret with a parameter"))?;
        secrets.extend(secret.map(|secret| (name, secret)));
    }
    let mut parameters: BTreeMap<String, Value> = plain.clone().into_iter().collect();
    for (index, parameter) in from.iter().enumerate() {
        let field = format!("spec.parametersFrom[{index}].secretRef");
        let secret = secrets.get(parameter.secret_ref.name.as_str());
        let value = value_of(secret, parameter, &field).map_err(EntityError::Invalid)?;
        parameters.extend(value.map(|text| (parameter.name.clone(), Value::String(text))));
    }
    Ok(parameters)
}

/// The value of a parameter, or none where it is optional and the Secret does not have it.
fn value_of(
    secret: Option<&Secret>,
    parameter: &SecretParameter,
    field: &str,
) -> Result<Option<String>, Invalid> {
    let reference = &parameter.secret_ref;
    let lacks = |secret: &Secret| {
        let data = secret.data.as_ref();
        data.is_none_or(|data| !data.contains_key(&reference.key))
    };
    if parameter.optional && secret.is_some_and(lacks) {
        return Ok(None);
    }
    value_in(secret, reference, field).map(Some)
}

fn value_in(secret: Option<&Secret>, reference: &KeyRef, field: &str) -> Result<String, Invalid> {
    let Some(secret) = secret else {
        return Err(Invalid::new(
            format!("{field}.name"),
            &reference.name,
            "there is no Secret of that name in the namespace",
            "create it, or name one that exists",
        ));
    };
    let Some(value) = secret
        .data
        .as_ref()
        .and_then(|data| data.get(&reference.key))
    else {
        let keys: Vec<&str> = secret
            .data
            .iter()
            .flat_map(|data| data.keys())
            .map(String::as_str)
            .collect();
        return Err(Invalid::new(
            format!("{field}.key"),
            &reference.key,
            format!("Secret {} has no such key", reference.name),
            if keys.is_empty() {
                "put the value into it".to_owned()
            } else {
                format!("give one of {}", keys.join(", "))
            },
        ));
    };
    String::from_utf8(value.0.clone()).map_err(|_| {
        Invalid::new(
            format!("{field}.key"),
            &reference.key,
            format!("its value in Secret {} is not text", reference.name),
            "store it as UTF-8 text, for example as base64",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn reference(name: &str, key: &str) -> KeyRef {
        KeyRef {
            name: name.to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn missing_secrets_are_named_and_values_never_shown() {
        let field = "spec.parametersFrom[0].secretRef";
        let wanted = reference("gateway", "token");
        assert_eq!(
            value_in(None, &wanted, field).unwrap_err().field,
            "spec.parametersFrom[0].secretRef.name"
        );
        let mut secret = Secret {
            data: Some([("other".to_owned(), ByteString(b"hidden".to_vec()))].into()),
            ..Secret::default()
        };
        assert_eq!(
            value_in(Some(&secret), &wanted, field)
                .unwrap_err()
                .to_string(),
            "spec.parametersFrom[0].secretRef.key: token: Secret gateway has no such key; give one of other"
        );
        let optional = |optional| SecretParameter {
            name: "t".to_owned(),
            secret_ref: reference("gateway", "token"),
            optional,
        };
        assert_eq!(value_of(Some(&secret), &optional(true), field), Ok(None));
        assert!(value_of(Some(&secret), &optional(false), field).is_err());
        assert!(value_of(None, &optional(true), field).is_err());
        secret.data = Some([("token".to_owned(), ByteString(vec![0xff, 0xfe]))].into());
        assert!(
            value_in(Some(&secret), &wanted, field)
                .unwrap_err()
                .problem
                .contains("not text")
        );
    }
}
