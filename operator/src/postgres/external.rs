//! A PostgreSQL that somebody else runs: whether what is known of it is enough. Pure.

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use crate::reconcile::secrets;

/// What clients need.
const NEEDED: [&str; 4] = ["host", "username", "password", "database"];

/// Checks that a Secret can be the binding of a PostgreSQL; `field` is where its name stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<(), Invalid> {
    let lacks = |problem: String, cure: &str| Err(Invalid::new(field, name, problem, cure));
    let Some(secret) = secret else {
        return lacks(
            "there is no Secret of that name in the namespace".into(),
            "make it with host, username, password and database, and where it needs them port and ca.crt",
        );
    };
    let text = |key: &str| secrets::text(secret.data.as_ref(), key);
    if let Some(missing) = NEEDED.into_iter().find(|key| text(key).is_none()) {
        return lacks(format!("it has no {missing}"), "add that key to the Secret");
    }
    match text("port") {
        Some(port) if port.parse::<u16>().is_err() => lacks(
            format!("its port is {port}"),
            "write a number, such as 5432",
        ),
        _ => Ok(()),
    }
}

/// Checks that jobs find a binding by its type; `field` is where its name stands.
///
/// # Errors
/// The Secret has another type, or none.
pub fn is_typed(name: &str, secret: Option<&Secret>, field: &str) -> Result<(), Invalid> {
    let data = secret.and_then(|secret| secret.data.as_ref());
    let type_ = secrets::text(data, "type");
    if type_ == Some("postgresql") {
        return Ok(());
    }
    let problem = match type_ {
        Some(type_) => format!("the Secret is of type {type_}"),
        None => "the Secret has no key type".to_owned(),
    };
    Err(Invalid::new(
        field,
        name,
        problem,
        "name one whose key type is postgresql",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::secret_data;

    #[test]
    fn it_is_told_what_a_binding_lacks() {
        let problem = |secret: Option<&Secret>| {
            let checked = check("s", secret, "spec.postgres.external.bindingSecret");
            checked.err().map(|invalid| invalid.problem)
        };
        assert!(problem(None).unwrap().starts_with("there is no Secret"));
        let mut secret = Secret {
            data: Some(secret_data([
                ("host", "db.example".to_owned()),
                ("username", "score".to_owned()),
                ("database", "scores".to_owned()),
            ])),
            ..Secret::default()
        };
        assert_eq!(problem(Some(&secret)).unwrap(), "it has no password");
        let add = |secret: &mut Secret, key: &str, value: &str| {
            let data = secret.data.get_or_insert_default();
            data.extend(secret_data([(key, value.to_owned())]));
        };
        add(&mut secret, "password", "p");
        assert_eq!(problem(Some(&secret)), None);
        add(&mut secret, "port", "x");
        assert_eq!(problem(Some(&secret)).unwrap(), "its port is x");
    }

    #[test]
    fn jobs_look_for_the_type() {
        let of = |type_: &str| {
            let secret = Secret {
                data: Some(secret_data([("type", type_.to_owned())])),
                ..Secret::default()
            };
            is_typed("s", Some(&secret), "spec.postgresSecret")
        };
        assert!(of("postgresql\n").is_ok());
        assert!(of("kafka").unwrap_err().problem.contains("of type kafka"));
    }
}
