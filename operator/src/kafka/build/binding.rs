//! Connection details: for clients, and for the operator itself.

use k8s_openapi::api::core::v1::Secret;

use super::super::validate::ValidatedKafka;
use super::super::{
    CLIENT_PORT, COMPONENT, INTERNAL_PORT, SECURE_PORT, admin_name, binding_name, certificates,
};
use crate::pods;

/// The address for clients inside Kubernetes.
#[must_use]
pub fn bootstrap(kafka: &ValidatedKafka) -> (String, i32) {
    let port = if kafka.is_secure() {
        SECURE_PORT
    } else {
        CLIENT_PORT
    };
    (service_host(kafka, "bootstrap"), port)
}

fn service_host(kafka: &ValidatedKafka, service: &str) -> String {
    let (name, namespace) = (&kafka.owner.name, &kafka.owner.namespace);
    format!("{name}-{service}.{namespace}.svc")
}

/// What clients are given. With secure listeners each also needs a user of its own.
pub(super) fn binding(kafka: &ValidatedKafka) -> Secret {
    let (host, port) = bootstrap(kafka);
    let mut data = pods::secret_data([
        ("type", "kafka".to_owned()),
        ("provider", "millrace".to_owned()),
        ("host", host.clone()),
        ("port", port.to_string()),
        ("uri", format!("kafka://{host}:{port}")),
        ("bootstrap-servers", format!("{host}:{port}")),
    ]);
    if let Some(certificates) = &kafka.certificates {
        data.extend(pods::secret_data([
            ("security-protocol", "SASL_SSL".to_owned()),
            ("sasl-mechanism", "SCRAM-SHA-512".to_owned()),
            ("certificates", certificates.rotation.trusted()),
        ]));
    }
    let external = kafka.external.as_ref();
    if let Some(address) = external.and_then(|external| external.bootstrap.as_ref()) {
        data.extend(pods::secret_data([(
            "external-bootstrap-servers",
            address.to_string(),
        )]));
    }
    secret(kafka, binding_name(&kafka.owner.name), data)
}

/// The operator's own way in.
pub(super) fn admin(kafka: &ValidatedKafka) -> Secret {
    let mut data = pods::secret_data([
        ("type", "kafka".to_owned()),
        ("provider", "millrace".to_owned()),
    ]);
    match &kafka.certificates {
        None => {
            let (host, port) = bootstrap(kafka);
            data.extend(pods::secret_data([
                ("bootstrap-servers", format!("{host}:{port}")),
                ("security-protocol", "PLAINTEXT".to_owned()),
            ]));
        }
        Some(certificates) => {
            let host = service_host(kafka, "internal");
            data.extend(pods::secret_data([
                ("bootstrap-servers", format!("{host}:{INTERNAL_PORT}")),
                ("security-protocol", "SSL".to_owned()),
                ("certificates", certificates.rotation.trusted()),
                (
                    "client-certificate",
                    certificates.operator.certificate.clone(),
                ),
                ("private-key", certificates.operator.key.clone()),
                ("issuer", certificates.issuer()),
            ]));
        }
    }
    secret(kafka, admin_name(&kafka.owner.name), data)
}

/// What the nodes hold.
pub(super) fn nodes(kafka: &ValidatedKafka) -> Option<Secret> {
    let held = kafka.certificates.as_ref()?;
    Some(Secret {
        metadata: kafka
            .owner
            .meta(certificates::secret_name(&kafka.owner.name), COMPONENT),
        data: Some(held.node_data()),
        ..Secret::default()
    })
}

fn secret(
    kafka: &ValidatedKafka,
    name: String,
    data: std::collections::BTreeMap<String, k8s_openapi::ByteString>,
) -> Secret {
    Secret {
        metadata: kafka.owner.meta(name, COMPONENT),
        type_: Some("servicebinding.io/kafka".into()),
        data: Some(data),
        ..Secret::default()
    }
}
