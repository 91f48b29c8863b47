//! How Druid reaches a Kafka, in the words of a Kafka consumer. Pure.
//!
//! Druid shows a supervisor to everybody who may read it. So a password, or a key, is in a file of the servers, and the
//! specification says where: the consumer itself reads it there when it is made (KIP-297, KIP-421).

use std::collections::BTreeMap;

use crate::druid::KAFKA_SECRETS;
use crate::remote::kafka::{Access, Protocol};

/// What reads a value from a file, in Kafka's clients.
const FROM_FILES: &str = "org.apache.kafka.common.config.provider.DirectoryConfigProvider";
/// What logs in by a password that is never sent.
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

/// Whether something of a Secret has to be in files of Druid's servers.
#[must_use]
pub fn needs_files(access: &Access) -> bool {
    access.login.is_some() || access.certificate.is_some()
}

/// Whether a name or a password can stand in what a consumer logs in by, which has quotation marks around it.
#[must_use]
pub fn can_be_quoted(text: &str) -> bool {
    !text.contains(['"', '\\']) && !text.chars().any(char::is_control)
}

/// The settings of a consumer that gets in as `access` says. `secret` is where that was read, `group` the name that Kafka knows it
/// by: it never joins a group.
#[must_use]
pub fn consumer(access: &Access, secret: &str, group: &str) -> BTreeMap<String, String> {
    let mut all = vec![("bootstrap.servers", access.bootstrap.clone())];
    let protocol = match access.protocol {
        Protocol::Plaintext => None,
        Protocol::Ssl => Some("SSL"),
        Protocol::SaslSsl => Some("SASL_SSL"),
        Protocol::SaslPlaintext => Some("SASL_PLAINTEXT"),
    };
    if let Some(protocol) = protocol {
        all.push(("security.protocol", protocol.to_owned()));
        all.push(("group.id", group.to_owned()));
    }
    let file = |key: &str| format!("${{files:{KAFKA_SECRETS}/{secret}:{key}}}");
    if let (Protocol::Ssl | Protocol::SaslSsl, Some(authorities)) =
        (access.protocol, &access.authorities)
    {
        // It is no secret, and a new one is another specification.
        all.push(("ssl.truststore.type", "PEM".to_owned()));
        all.push(("ssl.truststore.certificates", authorities.clone()));
    }
    if access.certificate.is_some() {
        all.push(("ssl.keystore.type", "PEM".to_owned()));
        let chain = file("client-certificate");
        all.push(("ssl.keystore.certificate.chain", chain));
        all.push(("ssl.keystore.key", file("private-key")));
    }
    if let Some(login) = &access.login {
        let (name, password) = (&login.username, file("password"));
        let jaas = format!("{SCRAM} required username=\"{name}\" password=\"{password}\";");
        all.push(("sasl.mechanism", login.mechanism.clone()));
        all.push(("sasl.jaas.config", jaas));
    }
    if needs_files(access) {
        all.push(("config.providers", "files".to_owned()));
        all.push(("config.providers.files.class", FROM_FILES.to_owned()));
    }
    let all = all.into_iter();
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::kafka::Login;

    #[test]
    fn where_nobody_asks_for_anything_only_the_address_is_told() {
        let told = consumer(&Access::plain("k:9092"), "s", "g");
        let expected = BTreeMap::from([("bootstrap.servers".to_owned(), "k:9092".to_owned())]);
        assert_eq!(told, expected);
    }

    #[test]
    fn a_login_is_told_without_its_password() {
        let access = Access {
            protocol: Protocol::SaslSsl,
            authorities: Some("PEM".into()),
            login: Some(Login {
                mechanism: "SCRAM-SHA-512".into(),
                username: "cars@x".into(),
                password: "hidden".into(),
            }),
            ..Access::plain("k:9094")
        };
        let told = consumer(&access, "cars-kafka", "druid-t");
        let expected = [
            ("bootstrap.servers", "k:9094"),
            ("config.providers", "files"),
            (
                "config.providers.files.class",
                "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
            ),
            ("group.id", "druid-t"),
            (
                "sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"cars@x\" \
                 password=\"${files:/etc/kafka-secrets/cars-kafka:password}\";",
            ),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("security.protocol", "SASL_SSL"),
            ("ssl.truststore.certificates", "PEM"),
            ("ssl.truststore.type", "PEM"),
        ];
        let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_certificate_and_its_key_are_read_from_files() {
        let access = Access {
            protocol: Protocol::Ssl,
            authorities: Some("PEM".into()),
            certificate: Some(("C".into(), "hidden".into())),
            ..Access::plain("k:9094")
        };
        let told = consumer(&access, "s", "g");
        assert_eq!(
            told["ssl.keystore.key"],
            "${files:/etc/kafka-secrets/s:private-key}"
        );
        assert!(!told.values().any(|value| value.contains("hidden")));
        assert!(told.contains_key("config.providers") && needs_files(&access));
    }

    #[test]
    fn what_would_end_a_quotation_is_known() {
        assert!(can_be_quoted("a b'$c;-_"));
        for bad in ["a\"b", "a\\b", "a\nb"] {
            assert!(!can_be_quoted(bad), "{bad}");
        }
    }
}
