//! A Kafka that somebody else runs, as a Secret in the form of the Service Binding specification describes it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use super::admin::KafkaAdmin;
use super::pool::{ClusterKey, shared_clients};

/// The key with the addresses.
const BOOTSTRAP: &str = "bootstrap-servers";
/// The key with how it is spoken.
const PROTOCOL: &str = "security-protocol";

/// Checks that a Secret can be the binding of a Kafka; `field` is where its name stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<String, Invalid> {
    let lacks = |problem: String, cure: &str| Invalid::new(field, name, problem, cure);
    let Some(secret) = secret else {
        return Err(lacks(
            "there is no Secret of that name in the namespace".into(),
            "make it with the key bootstrap-servers, and what else the Kafka needs",
        ));
    };
    let text = |key: &str| {
        let value = secret.data.as_ref()?.get(key)?;
        let text = String::from_utf8_lossy(&value.0).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    let needs = |key: &str| {
        text(key).ok_or_else(|| {
            let protocol = text(PROTOCOL).unwrap_or_else(|| "PLAINTEXT".into());
            lacks(
                format!("the Secret has no {key}, which {protocol} needs"),
                "add that key to the Secret",
            )
        })
    };
    let bootstrap = needs(BOOTSTRAP)?;
    match text(PROTOCOL).as_deref() {
        None | Some("PLAINTEXT" | "SSL") => {}
        Some("SASL_SSL" | "SASL_PLAINTEXT") => {
            for key in ["sasl-mechanism", "username", "password"] {
                needs(key)?;
            }
        }
        Some(other) => {
            return Err(lacks(
                format!("its {PROTOCOL} is {other}"),
                "write PLAINTEXT, SSL, SASL_SSL or SASL_PLAINTEXT",
            ));
        }
    }
    if text("client-certificate").is_some() != text("private-key").is_some() {
        return Err(lacks(
            "the Secret has one of client-certificate and private-key".into(),
            "add the other key to the Secret",
        ));
    }
    Ok(bootstrap)
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
    let bootstrap = check(name, secret, field)?;
    let key = ClusterKey {
        namespace: namespace.to_owned(),
        // No KafkaCluster has a slash in its name.
        name: format!("binding/{name}"),
    };
    shared_clients().client(&key, &bootstrap).map_err(|error| {
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

    fn said(data: Value) -> Result<String, String> {
        let secret: Secret = serde_json::from_value(json!({"data": data})).unwrap();
        check("s", Some(&secret), "spec.binding").map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn what_a_binding_lacks_is_named() {
        // In base64: k:9092, SASL_SSL, TLS, x.
        let (bootstrap, sasl, wrong, any) = ("azo5MDky", "U0FTTF9TU0w=", "VExT", "eA==");
        assert_eq!(
            said(json!({"bootstrap-servers": bootstrap})).unwrap(),
            "k:9092"
        );
        for (data, says) in [
            (json!({}), "no bootstrap-servers, which PLAINTEXT needs"),
            (
                json!({"bootstrap-servers": bootstrap, "security-protocol": sasl, "sasl-mechanism": any, "username": any}),
                "no password, which SASL_SSL needs",
            ),
            (
                json!({"bootstrap-servers": bootstrap, "security-protocol": wrong}),
                "its security-protocol is TLS",
            ),
            (
                json!({"bootstrap-servers": bootstrap, "private-key": any}),
                "one of client-certificate and private-key",
            ),
        ] {
            let told = said(data).unwrap_err();
            assert!(
                told.starts_with("spec.binding: s: ") && told.contains(says),
                "{told}"
            );
        }
        let absent = check("s", None, "spec.binding").unwrap_err();
        assert!(absent.problem.contains("no Secret"), "{absent}");
    }
}
