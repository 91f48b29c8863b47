//! The MongoDB and the Kafka of an OpenWhisk, out of their connection details. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::mongo::external;
use crate::reconcile::secrets;
use crate::remote::kafka::{Access, outside};

/// The database where neither the resource nor the connection details name one.
const DATABASE: &str = "openwhisk";

/// A MongoDB, as drivers are told of it.
#[derive(Clone, PartialEq)]
pub struct Mongo {
    /// The address, with the login in it: nobody else may see it.
    pub uri: String,
    /// The database.
    pub database: String,
    /// The authorities that its certificates may be of, in PEM.
    pub authorities: Option<String>,
}

impl std::fmt::Debug for Mongo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address holds a password.
        f.debug_struct("Mongo")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

fn entry(data: &BTreeMap<String, ByteString>, key: &str) -> Option<String> {
    secrets::text(Some(data), key).map(str::to_owned)
}

impl Mongo {
    /// Reads a binding; `field` is where its name stands, `database` what the resource asks for.
    ///
    /// # Errors
    /// Names the field, the Secret, what it lacks and the cure.
    pub fn read(
        name: &str,
        secret: Option<&Secret>,
        field: &str,
        database: Option<&str>,
    ) -> Result<Self, Invalid> {
        external::check(name, secret, field)?;
        let none = BTreeMap::new();
        let data = secret.and_then(|s| s.data.as_ref()).unwrap_or(&none);
        let host = || {
            let port = entry(data, "port").unwrap_or_else(|| crate::mongo::PORT.to_string());
            format!(
                "mongodb://{}:{port}",
                entry(data, "host").unwrap_or_default()
            )
        };
        let uri = entry(data, "uri").unwrap_or_else(host);
        let database = database
            .map(str::to_owned)
            .or_else(|| entry(data, "database"))
            .or_else(|| path_of(&uri))
            .unwrap_or_else(|| DATABASE.to_owned());
        let authorities = entry(data, "ca.crt");
        Ok(Self {
            uri: with_login(&uri, data, authorities.is_some()),
            database,
            authorities,
        })
    }
}

/// The database that an address names.
fn path_of(uri: &str) -> Option<String> {
    let (_, path) = uri.split_once("://")?.1.split_once('/')?;
    let path = path.split('?').next().unwrap_or_default();
    (!path.is_empty()).then(|| path.to_owned())
}

/// The address with everything in it that a driver has to know: servers of OpenWhisk are given nothing else.
fn with_login(uri: &str, data: &BTreeMap<String, ByteString>, tls: bool) -> String {
    let rest = uri.strip_prefix("mongodb://").unwrap_or(uri);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
    let mut options: Vec<String> = query
        .split('&')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    let says = |options: &[String], names: &[&str]| {
        options.iter().any(|option| {
            let name = option.split('=').next().unwrap_or_default();
            names.iter().any(|known| known.eq_ignore_ascii_case(name))
        })
    };
    let mut login = String::new();
    if let (false, Some(user)) = (hosts.contains('@'), entry(data, "username")) {
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let password = entry(data, "password").unwrap_or_default();
        login = format!("{}:{}@", escaped(&user), escaped(&password));
        if let (false, Some(source)) = (says(&options, &["authSource"]), entry(data, "authSource"))
        {
            options.push(format!("authSource={source}"));
        }
    }
    if tls && !says(&options, &["tls", "ssl"]) {
        options.push("tls=true".to_owned());
    }
    let options = options.join("&");
    let query = if options.is_empty() {
        String::new()
    } else {
        format!("?{options}")
    };
    format!("mongodb://{login}{hosts}/{path}{query}")
}

/// A Kafka, as the servers are told of it.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn kafka(name: &str, secret: Option<&Secret>, field: &str) -> Result<Access, Invalid> {
    if secret.is_some_and(lacks_login) {
        return Err(Invalid::new(
            field,
            name,
            "the Kafka lets in its users only, and the connection details name none",
            "name a KafkaUser in spec.apache.kafka.user, or its Secret in spec.apache.kafka.bindingSecret",
        ));
    }
    let access = outside::check(name, secret, field)?;
    if access.certificate.is_some() {
        return Err(Invalid::new(
            field,
            name,
            "logs in by a certificate, which servers of OpenWhisk are not given",
            "give a login by SCRAM over TLS: username, password and sasl-mechanism",
        ));
    }
    Ok(access)
}

/// Whether a Kafka asks who somebody is, and its connection details do not say.
fn lacks_login(secret: &Secret) -> bool {
    let none = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&none);
    let asks = entry(data, "security-protocol").is_some_and(|p| p.starts_with("SASL"));
    asks && entry(data, "username").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::secret_data;
    use crate::remote::kafka::Protocol;

    fn secret<const N: usize>(entries: [(&str, &str); N]) -> Secret {
        Secret {
            data: Some(secret_data(
                entries.map(|(key, value)| (key, value.to_owned())),
            )),
            ..Secret::default()
        }
    }

    fn read<const N: usize>(entries: [(&str, &str); N], database: Option<&str>) -> Mongo {
        Mongo::read("m", Some(&secret(entries)), "spec.apache.mongo", database).unwrap()
    }

    #[test]
    fn the_address_holds_all_that_a_driver_has_to_know() {
        let own = read(
            [
                ("type", "mongodb"),
                (
                    "uri",
                    "mongodb://o:p@a:1,b:1/w?replicaSet=m&authSource=admin&tls=true",
                ),
                ("username", "o"),
                ("database", "w"),
                ("ca.crt", "PEM"),
            ],
            None,
        );
        assert_eq!(
            own.uri,
            "mongodb://o:p@a:1,b:1/w?replicaSet=m&authSource=admin&tls=true"
        );
        assert_eq!(
            (own.database.as_str(), own.authorities.as_deref()),
            ("w", Some("PEM"))
        );
        let theirs = read(
            [
                ("type", "mongodb"),
                ("uri", "mongodb://a:1"),
                ("username", "o@x"),
                ("password", "p/?"),
                ("authSource", "admin"),
                ("ca.crt", "PEM"),
            ],
            Some("mine"),
        );
        assert_eq!(
            theirs.uri,
            "mongodb://o%40x:p%2F%3F@a:1/?authSource=admin&tls=true"
        );
        assert_eq!(theirs.database, "mine");
        let least = read([("type", "mongodb"), ("host", "m.ns.svc")], None);
        assert_eq!(least.uri, "mongodb://m.ns.svc:27017/");
        assert_eq!(least.database, "openwhisk");
        let named = read(
            [("type", "mongodb"), ("uri", "mongodb://m/there?a=b")],
            None,
        );
        assert_eq!(named.database, "there");
        assert!(!format!("{theirs:?}").contains("p%2F"));
    }

    #[test]
    fn a_kafka_of_users_needs_one() {
        let field = "spec.apache.kafka.cluster";
        let plain = secret([("bootstrap-servers", "k:9092")]);
        assert_eq!(
            kafka("k", Some(&plain), field).unwrap().protocol,
            Protocol::Plaintext
        );
        let closed = secret([
            ("bootstrap-servers", "k:9094"),
            ("security-protocol", "SASL_SSL"),
            ("sasl-mechanism", "SCRAM-SHA-512"),
        ]);
        let told = kafka("k", Some(&closed), field).unwrap_err().to_string();
        assert!(told.starts_with("spec.apache.kafka.cluster: k: "), "{told}");
        assert!(told.ends_with("spec.apache.kafka.bindingSecret"), "{told}");
        let by_certificate = secret([
            ("bootstrap-servers", "k:9094"),
            ("security-protocol", "PLAINTEXT"),
            ("client-certificate", "PEM"),
            ("private-key", "PEM"),
        ]);
        let told = kafka("k", Some(&by_certificate), field).unwrap_err();
        assert!(told.problem.contains("certificate"), "{told}");
    }
}
