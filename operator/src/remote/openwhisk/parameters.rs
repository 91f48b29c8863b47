//! The parameters of an entity, with those whose values are in Secrets.

use std::collections::BTreeMap;

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
/// [`EntityError::Invalid`] when a Secret or its key is missing.
pub async fn parameters(
    context: &Context,
    namespace: &str,
    plain: &FreeForm,
    from: &[SecretParameter],
) -> Result<BTreeMap<String, Value>, EntityError> {
    let mut parameters: BTreeMap<String, Value> = plain.clone().into_iter().collect();
    for (index, parameter) in from.iter().enumerate() {
        let field = format!("spec.parametersFrom[{index}].secretRef");
        let value = secret_value(context, namespace, &parameter.secret_ref, &field).await?;
        parameters.insert(parameter.name.clone(), Value::String(value));
    }
    Ok(parameters)
}

async fn secret_value(
    context: &Context,
    namespace: &str,
    reference: &KeyRef,
    field: &str,
) -> Result<String, EntityError> {
    let secret = context
        .namespaced::<Secret>(namespace)
        .get_opt(&reference.name)
        .await
        .map_err(KubernetesError::doing("read a Secret with a parameter"))?;
    value_in(secret.as_ref(), reference, field).map_err(EntityError::Invalid)
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
        secret.data = Some([("token".to_owned(), ByteString(vec![0xff, 0xfe]))].into());
        assert!(
            value_in(Some(&secret), &wanted, field)
                .unwrap_err()
                .problem
                .contains("not text")
        );
    }
}
