//! Connection details: for clients, and for the operator itself.

use k8s_openapi::api::core::v1::Secret;

use super::super::validate::ValidatedKafka;
use super::super::{CLIENT_PORT, COMPONENT, admin_name, binding_name};
use crate::pods;

/// The address for clients inside Kubernetes.
#[must_use]
pub fn bootstrap(kafka: &ValidatedKafka) -> (String, i32) {
    (
        format!(
            "{}-bootstrap.{}.svc",
            kafka.owner.name, kafka.owner.namespace
        ),
        CLIENT_PORT,
    )
}

/// What clients are given.
pub(super) fn binding(kafka: &ValidatedKafka) -> Secret {
    let (host, port) = bootstrap(kafka);
    Secret {
        metadata: kafka.owner.meta(binding_name(&kafka.owner.name), COMPONENT),
        type_: Some("servicebinding.io/kafka".into()),
        data: Some(pods::secret_data([
            ("type", "kafka".to_owned()),
            ("provider", "millrace".to_owned()),
            ("host", host.clone()),
            ("port", port.to_string()),
            ("uri", format!("kafka://{host}:{port}")),
            ("bootstrap-servers", format!("{host}:{port}")),
        ])),
        ..Secret::default()
    }
}

/// The operator's own way in.
pub(super) fn admin(kafka: &ValidatedKafka) -> Secret {
    let (host, port) = bootstrap(kafka);
    Secret {
        metadata: kafka.owner.meta(admin_name(&kafka.owner.name), COMPONENT),
        type_: Some("servicebinding.io/kafka".into()),
        data: Some(pods::secret_data([
            ("type", "kafka".to_owned()),
            ("provider", "millrace".to_owned()),
            ("bootstrap-servers", format!("{host}:{port}")),
            ("security-protocol", "PLAINTEXT".to_owned()),
        ])),
        ..Secret::default()
    }
}
