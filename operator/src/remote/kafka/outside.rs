//! A Kafka that somebody else runs, as a Secret in the form of the Service Binding specification describes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use super::access::Access;
use super::admin::KafkaAdmin;
use super::pool::{ClusterKey, shared_clients};

/// Checks that a Secret can be the binding of a Kafka, and gives the way there; `field` is where its name stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<Access, Invalid> {
    let Some(secret) = secret else {
        return Err(Invalid::new(
            field,
            name,
            "there is no Secret of that name in the namespace",
            "make it with the key bootstrap-servers, and what else the Kafka needs",
        ));
    };
    let none = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&none);
    let access = Access::from_secret(data).map_err(|wrong| cannot(field, name, &wrong))?;
    access.tls().map_err(|wrong| cannot(field, name, &wrong))?;
    Ok(access)
}

fn cannot(field: &str, name: &str, wrong: &Invalid) -> Invalid {
    Invalid::new(
        field,
        name,
        format!(
            "the Secret cannot be used, {}: {}",
            wrong.field, wrong.problem
        ),
        wrong.cure.clone(),
    )
}

/// A client of such a Kafka, or why there is none.
///
/// # Errors
/// As [`check`]; or the address is none.
pub fn admin(
    namespace: &str,
    name: &str,
    secret: Option<&Secret>,
    field: &str,
) -> Result<Arc<KafkaAdmin>, Invalid> {
    let access = check(name, secret, field)?;
    let key = ClusterKey {
        namespace: namespace.to_owned(),
        // No KafkaCluster has a slash in its name.
        name: format!("binding/{name}"),
    };
    shared_clients().connect(&key, &access).map_err(|error| {
        Invalid::new(
            field,
            name,
            format!("the Secret cannot be used: {error}"),
            "correct the Secret",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(data: Value) -> Result<Access, String> {
        let secret: Secret = serde_json::from_value(json!({"data": data})).unwrap();
        check("s", Some(&secret), "spec.binding").map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn what_a_binding_lacks_is_named() {
        // In base64: k:9092, SASL_SSL, TLS, x.
        let (bootstrap, sasl, wrong, any) = ("azo5MDky", "U0FTTF9TU0w=", "VExT", "eA==");
        let plain = said(json!({"bootstrap-servers": bootstrap})).unwrap();
        assert_eq!(plain, Access::plain("k:9092"));
        for (data, names) in [
            (json!({}), "bootstrap-servers"),
            (
                json!({"bootstrap-servers": bootstrap, "security-protocol": sasl, "sasl-mechanism": any, "username": any}),
                "s",
            ),
            (
                json!({"bootstrap-servers": bootstrap, "security-protocol": wrong}),
                "security-protocol",
            ),
            (
                json!({"bootstrap-servers": bootstrap, "private-key": any}),
                "client-certificate",
            ),
        ] {
            let told = said(data).unwrap_err();
            let starts = "spec.binding: s: the Secret cannot be used, ";
            assert!(told.starts_with(starts) && told.contains(names), "{told}");
        }
        let absent = check("s", None, "spec.binding").unwrap_err();
        assert!(absent.problem.contains("no Secret"), "{absent}");
    }
}
