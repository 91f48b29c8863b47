//! A MongoDB that somebody else runs: whether what is known of it is enough. Pure.

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use crate::reconcile::secrets;

/// Checks that a Secret can be the binding of a MongoDB; `field` is where its name stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<(), Invalid> {
    let lacks = |problem: String, cure: &str| Err(Invalid::new(field, name, problem, cure));
    let Some(secret) = secret else {
        return lacks(
            "there is no Secret of that name in the namespace".into(),
            "make it with type: mongodb and uri, and where it needs them username, password, database and ca.crt",
        );
    };
    let text = |key: &str| secrets::text(secret.data.as_ref(), key);
    // Jobs find a binding by its type.
    match text("type") {
        Some("mongodb") => {}
        Some(other) => {
            return lacks(
                format!("the Secret is of type {other}"),
                "name one whose key type is mongodb",
            );
        }
        None => {
            return lacks(
                "the Secret has no key type".into(),
                "add type: mongodb to the Secret",
            );
        }
    }
    match (text("uri"), text("host")) {
        (None, None) => lacks(
            "it has neither uri nor host".into(),
            "add uri: mongodb://HOST:PORT to the Secret",
        ),
        (Some(uri), _) if !uri.starts_with("mongodb://") => {
            // The address may hold a password, so it is not shown.
            lacks(
                "its uri is no mongodb://…".into(),
                "write mongodb://HOST:PORT[,HOST:PORT…]/DATABASE",
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::secret_data;

    #[test]
    fn it_is_told_what_a_binding_lacks() {
        let problem = |entries: Option<&[(&'static str, &str)]>| {
            let secret = entries.map(|entries| Secret {
                data: Some(
                    entries
                        .iter()
                        .flat_map(|(k, v)| secret_data([(*k, (*v).to_owned())]))
                        .collect(),
                ),
                ..Secret::default()
            });
            let checked = check("s", secret.as_ref(), "spec.mongo.external.bindingSecret");
            checked.err().map(|invalid| invalid.problem)
        };
        assert!(problem(None).unwrap().starts_with("there is no Secret"));
        assert_eq!(
            problem(Some(&[("uri", "mongodb://x")])).unwrap(),
            "the Secret has no key type"
        );
        assert_eq!(
            problem(Some(&[("type", "kafka")])).unwrap(),
            "the Secret is of type kafka"
        );
        assert_eq!(
            problem(Some(&[("type", "mongodb")])).unwrap(),
            "it has neither uri nor host"
        );
        let srv = problem(Some(&[
            ("type", "mongodb"),
            ("uri", "mongodb+srv://u:secret@x"),
        ]))
        .unwrap();
        assert!(!srv.contains("secret"), "{srv}");
        assert_eq!(problem(Some(&[("type", "mongodb"), ("host", "x")])), None);
    }
}
