//! The Secret by which clients log in as a user: the connection details of the cluster, and name and password. Pure.
//!
//! It is also the memory of what Kafka was last told. It is written after Kafka, so that whatever is cut short between the
//! two is seen as undone and done again.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::password::Password;
use crate::kafka;
use crate::pods::secret_data;
use crate::reconcile::Owner;

/// The component's name in labels.
const COMPONENT: &str = "kafka-user";
/// On the Secret: how many iterations its password was told to Kafka with.
const ITERATIONS: &str = "millrace.dev/scram-iterations";
/// In the Secret: a hash of the password that Kafka was told, to see that somebody has changed it by hand. It stands in
/// the content, where nobody can read it who cannot read the password.
const TOLD: &str = "password-told";
/// On the Secret: what was last followed of those who asked for a new password.
const ROTATED_FOR: &str = "millrace.dev/rotated-for";

/// What is taken over from the connection details of the cluster.
const CONNECTION: [&str; 10] = [
    "type",
    "provider",
    "host",
    "port",
    "uri",
    "bootstrap-servers",
    "external-bootstrap-servers",
    "security-protocol",
    "sasl-mechanism",
    "certificates",
];

/// Entries of a Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

/// Name of the Secret by which clients log in as a user of this resource.
#[must_use]
pub fn binding_name(user: &str) -> String {
    format!("{user}-kafka")
}

/// Name of the Secret with the connection details of a cluster.
#[must_use]
pub fn connection_name(cluster: &str) -> String {
    kafka::binding_name(cluster)
}

/// What Kafka was last told, if it was. Where that is not sure, the number of iterations is 0.
pub(super) fn known(secret: &Secret) -> Option<Password> {
    let data = secret.data.as_ref()?;
    let text = String::from_utf8(data.get("password")?.0.clone()).ok()?;
    let noted = secret.annotations();
    let told = data
        .get(TOLD)
        .is_some_and(|told| told.0 == hash(&text).as_bytes());
    let iterations = noted.get(ITERATIONS).and_then(|text| text.parse().ok());
    Some(Password {
        text,
        iterations: iterations.filter(|_| told).unwrap_or_default(),
        rotated_for: noted.get(ROTATED_FOR).cloned(),
        news: None,
    })
}

fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The Secret of a user.
pub(super) fn secret(owner: &Owner, connection: &Data, user: &str, password: &Password) -> Secret {
    let mut data: Data = connection
        .iter()
        .filter(|(key, _)| CONNECTION.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    data.extend(secret_data([
        ("username", user.to_owned()),
        ("password", password.text.clone()),
        (TOLD, hash(&password.text)),
    ]));
    let mut metadata = owner.meta(binding_name(&owner.name), COMPONENT);
    let mut noted = BTreeMap::from([(ITERATIONS.to_owned(), password.iterations.to_string())]);
    if let Some(asked) = &password.rotated_for {
        noted.insert(ROTATED_FOR.to_owned(), asked.clone());
    }
    metadata.annotations = Some(noted);
    Secret {
        metadata,
        type_: Some("servicebinding.io/kafka".into()),
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::kafka::{Access, Protocol};
    use crate::user::crd::KafkaUser;
    use serde_json::json;

    fn owner() -> Owner {
        let user: KafkaUser = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaUser",
            "metadata": {"name": "alice", "namespace": "ns", "uid": "u"}, "spec": {"kafka": "k"}}))
        .unwrap();
        Owner::of(&user).unwrap()
    }

    #[test]
    fn the_secret_is_a_binding_and_remembers() {
        let connection = secret_data([
            ("type", "kafka".to_owned()),
            ("bootstrap-servers", "k-bootstrap.ns.svc:9094".to_owned()),
            ("security-protocol", "SASL_SSL".to_owned()),
            ("sasl-mechanism", "SCRAM-SHA-512".to_owned()),
            ("certificates", "one\ntwo\n".to_owned()),
            ("something-else", "x".to_owned()),
        ]);
        let password = Password {
            text: "p".into(),
            iterations: 9000,
            rotated_for: Some("1".into()),
            news: None,
        };
        let mut made = secret(&owner(), &connection, "alice@cars", &password);
        assert_eq!(made.name_any(), "alice-kafka");
        assert!(owner().owns(&made.metadata));
        let data = made.data.clone().unwrap();
        assert!(!data.contains_key("something-else"));
        // Both authorities while one takes over from the other.
        assert_eq!(data["certificates"].0, b"one\ntwo\n");
        let access = Access::from_secret(&data).unwrap();
        assert_eq!(access.protocol, Protocol::SaslSsl);
        assert_eq!(access.login.unwrap().username, "alice@cars");
        assert_eq!(known(&made), Some(password));
        let mut edited = made.clone();
        let by_hand = ByteString(b"by hand".to_vec());
        edited
            .data
            .as_mut()
            .unwrap()
            .insert("password".into(), by_hand);
        let edited = known(&edited).unwrap();
        assert_eq!((edited.text.as_str(), edited.iterations), ("by hand", 0));
        made.metadata.annotations = None;
        assert_eq!(known(&made).unwrap().iterations, 0);
        made.data = None;
        assert_eq!(known(&made), None);
    }
}
